import numpy as np
import pytest
from tests.plugins.defenses.detection.worlds import BANDWAGON, RANDOM, REAL, detect, poisoned, real_users

from robench.api import Interactions, Rng
from robench.testing import DefenseTests
from robench_plugins.defenses.detection.fap import Fap, propagate


class TestFap(DefenseTests):
    defense = Fap


class TestFapWithATree(DefenseTests):
    defense = Fap
    settings = {"seeded_by": "degree-sad", "seeds": 3}


def naive(rows, n_items, seeds, tolerance=0.01):
    """Returns each user's probability of being fake, by loops over users and items.

    The users in ``seeds`` have the probability 1. The loops end when no probability changes by more than ``tolerance``.
    """
    users = {user: float(user in seeds) for user in range(len(rows))}
    while True:
        items = {}
        for item in range(n_items):
            having = [user for user, row in enumerate(rows) if item in row]
            items[item] = sum(users[user] for user in having) / len(having) if having else 0
        after = {user: 1 if user in seeds else sum(items[i] for i in row) / len(row) for user, row in enumerate(rows)}
        change = max(abs(after[user] - users[user]) for user in users)
        users = after
        if change <= tolerance:
            return list(users.values())


@pytest.mark.parametrize("seeds", [[0], [1, 3], [0, 1, 2, 3, 4]])
def test_probabilities_are_those_of_the_loops(seeds):
    rows = [[0, 1, 2], [2, 3], [4, 0, 1, 3], [1], [5]]
    probabilities = propagate(Interactions.from_rows(rows, 7), np.array(seeds))
    np.testing.assert_allclose(probabilities, naive(rows, 7, seeds))


def test_suspicion_spreads_from_caught_fake_users_to_the_others():
    numbers = detect(poisoned(BANDWAGON, 6), Fap.make(seeds=2))
    assert numbers["auroc"] == 1
    assert numbers["recall"] == 1


def test_from_real_users_it_spreads_to_real_users():
    numbers = detect(poisoned(RANDOM, 6), Fap())
    assert numbers["recall"] < 0.5
    assert numbers["flagged_real"] >= 5


def test_the_seeds_are_dropped_even_from_clean_data():
    assert detect(real_users(), Fap.make(seeds=4))["flagged_real"] >= 4


def test_the_seeds_are_those_of_the_other_detector():
    train = poisoned(BANDWAGON, 6)
    scores = Fap.make(seeds=6).scores(train, Rng(0))
    assert (scores[REAL:] == 1).all()


def test_it_knows_what_the_detector_of_its_seeds_knows():
    assert Fap().known_attacks() == ()
    assert Fap.make(seeded_by="degree-sad").known_attacks() == ("random-profiles", "segment")
