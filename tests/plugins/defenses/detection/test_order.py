"""Tests that suspicion depends on the data, and not on the place of a row."""

import numpy as np
import pytest
from tests.plugins.defenses.detection.worlds import RANDOM, poisoned

from robench.api import Rng
from robench_plugins.defenses.detection.degree_sad import DegreeSad
from robench_plugins.defenses.detection.fap import propagate
from robench_plugins.defenses.detection.near_duplicate import NearDuplicate
from robench_plugins.defenses.detection.pca_varselect import PcaVarSelect


@pytest.mark.parametrize("kind", [NearDuplicate, DegreeSad, PcaVarSelect])
def test_suspicion_does_not_depend_on_the_order_of_rows(kind):
    train = poisoned(RANDOM, 6)
    order = np.random.default_rng(0).permutation(train.n_users)
    scores, moved = (kind().scores(data, Rng(4)) for data in (train, train.rows_in(order)))
    assert np.ptp(scores) > 0
    if kind is PcaVarSelect:  # its iteration starts from a random vector
        np.testing.assert_allclose(moved, scores[order], rtol=1e-6)
    else:
        np.testing.assert_array_equal(moved, scores[order])


def test_suspicion_spreads_in_the_same_way_in_any_order():
    train = poisoned(RANDOM, 6)
    order = np.random.default_rng(0).permutation(train.n_users)
    places = np.argsort(order)[[3, 60, 121]]
    np.testing.assert_allclose(propagate(train.rows_in(order), places), propagate(train, np.array([3, 60, 121]))[order])
