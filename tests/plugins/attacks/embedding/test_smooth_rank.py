import math

import numpy as np
import pytest
import torch
from tests.engine.attack.test_goal import worlds

from robench.testing import EmbeddingAttackTests
from robench.testing.worlds import reference_victim
from robench_plugins.attacks.embedding.apgd import Apgd
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.smooth_rank import SmoothRank, smooth_gains


class TestSmoothRank(EmbeddingAttackTests):
    attack = SmoothRank
    settings = {"steps": 20}


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_gain_is_that_of_a_smooth_rank_over_the_rivals(sign):
    for seed in range(10):
        scores, items = worlds(seed, held=3, masked=2)
        scores += torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed), dtype=scores.dtype)
        values = smooth_gains(scores, items, width=0.3, k=4, sign=sign)
        for row, padded, value in zip(scores.tolist(), items.tolist(), values.tolist(), strict=True):
            own = [item for item in padded if item >= 0]
            rivals = sorted((s for j, s in enumerate(row) if j not in own and s > -math.inf), reverse=True)
            unit = 0.3 * float(np.std(rivals[:4]))
            ranks = [1 + sum(1 / (1 + math.exp((row[y] - s) / unit)) for s in rivals) for y in own]
            assert value == pytest.approx(sign * sum(1 / math.log2(1 + rank) for rank in ranks) / len(own), rel=1e-5)


def test_a_narrow_width_gives_the_true_gain():
    scores, items = torch.randn(5, 40, generator=torch.Generator().manual_seed(0)), torch.arange(5)[:, None]
    ranks = 1 + (scores > scores.gather(1, items)).sum(1)
    assert torch.allclose(smooth_gains(scores, items, width=1e-4, k=10, sign=1), 1 / torch.log2(1.0 + ranks))


def left(victim, attack):
    """Returns the mean NDCG@10 that an attack leaves."""
    ranks = victim.attacked(attack, 0.05, "").arrays["ranks"]
    return float(np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0).mean())


@pytest.mark.parametrize("kind", ["pairwise", "sequence"])
def test_users_that_stay_in_the_list_fall_within_it(kind):
    victim = reference_victim(kind)
    others = (Apgd.make(norm="l2", loss="margin", steps=40), Pgd.make(norm="l2", loss="ce", steps=40))
    assert left(victim, SmoothRank.make(norm="l2", steps=40)) < min(left(victim, other) for other in others)
