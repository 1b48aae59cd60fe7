import numpy as np
import pytest
from tests.plugins.defenses.detection.worlds import BANDWAGON, RANDOM, detect, poisoned, real_users

from robench.api import Interactions, Rng
from robench.testing import DefenseTests
from robench_plugins.defenses.detection import near_duplicate
from robench_plugins.defenses.detection.near_duplicate import NearDuplicate


class TestNearDuplicate(DefenseTests):
    defense = NearDuplicate


@pytest.mark.parametrize("block", [1, 500, 1 << 22])
def test_scores_are_the_largest_jaccard_similarities(block, monkeypatch):
    monkeypatch.setattr(near_duplicate, "BLOCK_ENTRIES", block)
    train = poisoned(RANDOM, 6)
    sets = [set(train.row(user).tolist()) for user in range(train.n_users)]
    naive = [max(len(a & b) / len(a | b) for b in sets if b is not a) for a in sets]
    np.testing.assert_allclose(NearDuplicate().scores(train, Rng(0)), naive)


def test_fake_users_with_the_same_fillers_are_caught():
    numbers = detect(poisoned(BANDWAGON, 6), NearDuplicate())
    assert numbers["auroc"] == numbers["recall"] == 1
    assert numbers["false_alarms"] < 0.05


def test_fake_users_with_independent_fillers_slip_through():
    numbers = detect(poisoned(RANDOM, 6), NearDuplicate())
    assert numbers["auroc"] < 0.5
    assert numbers["recall"] == 0


def test_repeated_items_and_empty_rows_count_for_nothing():
    train = Interactions.from_rows([[1, 1, 2], [2, 1], [], [3, 4]], 5)
    scores, flags = NearDuplicate().suspicion(train, Rng(0))
    np.testing.assert_allclose(scores, [1, 1, 0, 0])
    assert not flags[2]


def test_clean_data_raise_few_alarms():
    assert detect(real_users(), NearDuplicate())["false_alarms"] < 0.05
