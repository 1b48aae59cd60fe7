"""Tests which items the profiles of fake users hold, and in which order."""

import numpy as np

from robench.api import Interactions, Rng
from robench_plugins.attacks.poisoning.bandwagon import Bandwagon
from robench_plugins.attacks.poisoning.random_profiles import RandomProfiles

TARGETS = np.array([0, 1])
TRAIN = Interactions.from_rows([[7, 8, 9], [7, 8, 9], [7, 8, 9], [2, 3, 4]], 10)


def rows_of(attack):
    return attack.profiles(TRAIN, targets=TARGETS, n_users=12, profile_size=5, rng=Rng(0)).rows


def test_a_bandwagon_is_of_the_most_popular_items():
    for row in rows_of(Bandwagon.make(popular=1)):
        assert set(row.tolist()) == {0, 1, 7, 8, 9}


def test_targets_stand_anywhere_in_a_profile():
    for attack in (Bandwagon.make(popular=1), RandomProfiles.make()):
        places = {place for row in rows_of(attack) for place in np.isin(row, TARGETS).nonzero()[0].tolist()}
        assert places == set(range(5))
