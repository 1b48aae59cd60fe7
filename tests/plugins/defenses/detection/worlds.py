"""Provides a small world of real users in communities, and of fake users."""

import numpy as np

from robench.api import Interactions, Rng
from robench.engine.fit.sanitising import sanitise
from robench.store.detection import measure_detection
from robench_plugins.attacks.poisoning.bandwagon import Bandwagon
from robench_plugins.attacks.poisoning.random_profiles import RandomProfiles

REAL, ITEMS = 120, 90
TARGETS = np.array([7, 55])


def real_users(seed=0):
    """Returns 120 users in three communities of taste, with 8 to 16 of 90 items."""
    generator = np.random.default_rng(seed)
    rows = []
    for user in range(REAL):
        weights = 1 / (1 + np.arange(ITEMS) % 30) ** 0.7
        weights[np.arange(ITEMS) // 30 != user % 3] *= 0.05
        rows.append(generator.choice(ITEMS, generator.integers(8, 17), replace=False, p=weights / weights.sum()))
    return Interactions.from_rows(rows, ITEMS)


def poisoned(attack, fakes, train=None, size=14):
    """Returns the training data with the rows of fake users at the end."""
    train = real_users() if train is None else train
    return train.appended(attack.profiles(train, targets=TARGETS, n_users=fakes, profile_size=size, rng=Rng(5)).rows)


def detect(train, defense):
    """Returns numbers on how well a defence detects the fake users of ``poisoned``."""
    result = sanitise(defense, train, Rng(0))
    return measure_detection(result.suspicion, result.flagged, REAL)


BANDWAGON = Bandwagon.make(popular=1.0)
RANDOM = RandomProfiles.make()
