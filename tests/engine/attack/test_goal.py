"""Tests the losses, damage and breaks of both goals against plain loops."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api.rng import Rng
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.goal import Goal, eligible_targets
from robench.testing.worlds import reference_victim
from robench_plugins.attacks.embedding.apgd import Apgd
from robench_plugins.attacks.embedding.cw import CarliniWagner
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.random_noise import RandomNoise

TARGETS = np.array([3, 17, 30])


def worlds(seed, held, masked, n=12, values=5):
    """Returns random scores with many ties for 4 users, and held-out items.

    The scores are float64 [4, n], and −inf for the last ``masked`` items. The held-out items are int64 [4, held]. Each
    user has at least one of them, and −1 fills the rest of the row.
    """
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, values, (4, n)).astype(float)
    scores[:, n - masked :] = -math.inf
    items = np.full((4, held), -1)
    for user in range(4):
        chosen = generator.choice(n - masked, generator.integers(1, held + 1), replace=False)
        items[user, : len(chosen)] = chosen
    return torch.from_numpy(scores), torch.from_numpy(items)


def ndcg(ranks, k):
    """Returns the NDCG@k of one user's held-out items, given their ranks."""
    best = sum(1 / math.log2(1 + r) for r in range(1, min(k, len(ranks)) + 1))
    return sum(1 / math.log2(1 + r) for r in ranks if r <= k) / best


def rank(row, item, others):
    """Returns the rank of a held-out item, computed item by item.

    Ties count as in ``rank/ranking.py``. Of two held-out items with the same score, the one with the smaller id comes
    first. All other items with the same score come before ``item``.
    """
    same = [j for j in range(len(row)) if j != item and row[j] == row[item]]
    ahead = sum(row[j] > row[item] for j in range(len(row)))
    return 1 + ahead + sum(j not in others or j < item for j in same)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 3), st.integers(1, 6))
def test_a_user_is_broken_when_no_held_out_item_is_in_the_top_k(seed, held, masked, k):
    scores, items = worlds(seed, held, masked)
    goal = Goal("untargeted", items, k)
    for user in range(4):
        own = [i for i in items[user].tolist() if i >= 0]
        ranks = [rank(scores[user].tolist(), i, own) for i in own]
        assert bool(goal.broken(scores)[user]) == all(r > k for r in ranks)
        assert float(goal.damage(scores)[user]) == pytest.approx(-sum(1 / math.log2(1 + r) for r in ranks))
        assert float(goal.damage_at_k(scores)[user]) == pytest.approx(-ndcg(ranks, k))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(0, 3), st.integers(1, 6))
def test_items_are_promoted_when_all_of_them_are_in_the_top_k(seed, held, masked, k):
    scores, items = worlds(seed, held, masked)
    goal = Goal("promote", items, k)
    for user in range(4):
        row, own = scores[user].tolist(), [i for i in items[user].tolist() if i >= 0]
        ranks = [1 + sum(s > row[i] for s in row) for i in own]
        assert bool(goal.broken(scores)[user]) == all(r <= k for r in ranks)
        assert float(goal.damage(scores)[user]) == pytest.approx(sum(1 / math.log2(1 + r) for r in ranks))
        assert float(goal.damage_at_k(scores)[user]) == pytest.approx(ndcg(ranks, k))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_margin_of_promotion_is_positive_just_when_the_items_are_in(k):
    generator = torch.Generator().manual_seed(k)
    scores = torch.randn(400, 12, generator=generator)
    items = torch.tensor([[0, 1, -1]]).expand(400, 3) if k > 1 else torch.tensor([[0, -1, -1]]).expand(400, 3)
    goal = Goal("promote", items, k)
    broken = goal.broken(scores)
    assert 0 < int(broken.sum()) < 400
    assert torch.equal(goal.loss(scores, "margin") > 0, broken)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_margin_of_held_out_items_is_positive_just_when_the_user_is_broken(k):
    generator = torch.Generator().manual_seed(k)
    scores = torch.randn(400, 12, generator=generator)
    goal = Goal("untargeted", torch.tensor([[0, 1, -1]]).expand(400, 3), k)
    broken = goal.broken(scores)
    assert 0 < int(broken.sum()) < 400
    assert torch.equal(goal.loss(scores, "margin") > 0, broken)


@pytest.mark.parametrize("name", ["ce", "margin", "bpr", "hinge", "ndcg"])
def test_promotion_gains_as_the_item_rises(name):
    scores = torch.zeros(1, 8)
    goal = Goal("promote", torch.tensor([[2]]), 3)
    values = []
    for height in (-1.0, 0.5, 2.0):
        scores[0, 2] = height
        values.append(float(goal.loss(scores, name)[0]))
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_who_has_a_promoted_item_is_left_out_of_it():
    bench = reference_victim("pairwise")
    (chunk,) = bench.chunks()
    eligible = eligible_targets(chunk, TARGETS)
    for row, user in enumerate(bench.users.tolist()):
        own = set(bench.history.row(user).tolist()) | set(bench.held.row(user).tolist())
        assert [t for t in eligible[row].tolist() if t >= 0] == [t for t in TARGETS.tolist() if t not in own]


@pytest.mark.parametrize("kind", ["pairwise", "sequence"])
@pytest.mark.parametrize("attack", [Pgd, Apgd])
def test_promotion_lifts_the_targets_more_than_random_points_do(kind, attack):
    bench = reference_victim(kind)
    goal = {"goal": "promote", "norm": "l2"}
    clean = bench.clean(TARGETS).arrays["target_ranks"]
    attacked = bench.attacked(attack.make(**goal, steps=10), 0.3, "", TARGETS).arrays["target_ranks"]
    noise = bench.attacked(RandomNoise.make(**goal, draws=14), 0.3, "", TARGETS).arrays["target_ranks"]
    np.testing.assert_array_equal(attacked == 0, clean == 0)
    assert attacked[clean > 0].mean() < noise[clean > 0].mean() < clean[clean > 0].mean()


def test_carlini_and_wagner_promotes_with_less_than_the_budget_of_who_is_in_already():
    bench = reference_victim("pairwise")
    measurement = bench.attacked(CarliniWagner.make(goal="promote", steps=20, search=4), 10.0, "p", TARGETS[:1])
    ranks, radius = measurement.arrays["target_ranks"][0], measurement.arrays["radius"]
    there = measurement.arrays["hit"] & np.isfinite(radius)
    assert there.sum() > 10
    assert (ranks[there] <= 10).all()


def test_promotion_without_a_target_is_an_error():
    with pytest.raises(ValueError, match="nothing to promote"):
        list(
            reference_victim("pairwise")
            .surface("embedding")
            .arenas(Pgd.make(goal="promote"), 0.1, Costs(), Diagnosis(), None)
        )


def test_the_ranks_of_epsilon_zero_are_the_clean_ones():
    bench = reference_victim("sequence")
    arrays = bench.attacked(Pgd.make(goal="promote", steps=3), 0.0, "", TARGETS).arrays
    clean = bench.clean(TARGETS).arrays
    for name in ("target_ranks", "ranks", "top"):
        np.testing.assert_array_equal(arrays[name], clean[name])
    assert Rng(0).child("a") == Rng(0, ("a",))
