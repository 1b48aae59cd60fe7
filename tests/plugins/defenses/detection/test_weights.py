"""Tests detectors that give suspicious users less weight."""

import numpy as np
import pytest
from tests.plugins.defenses.detection.worlds import BANDWAGON, REAL, TARGETS, poisoned

from robench.api import Rng
from robench.engine.fit.sanitising import sanitise
from robench.testing import DefenseTests
from robench_plugins.defenses.detection.degree_sad import DegreeSad
from robench_plugins.defenses.detection.detector import estimate_quantile
from robench_plugins.defenses.detection.fap import Fap
from robench_plugins.defenses.detection.near_duplicate import NearDuplicate
from robench_plugins.defenses.detection.pca_varselect import PcaVarSelect

DETECTORS = [DegreeSad, Fap, NearDuplicate, PcaVarSelect]


class TestWeighingNearDuplicate(DefenseTests):
    defense = NearDuplicate
    settings = {"action": "weigh"}


class TestWeighingDegreeSad(DefenseTests):
    defense = DegreeSad
    settings = {"action": "weigh"}


def test_the_weight_is_one_up_to_the_quantile_and_then_falls_like_one_over_the_excess():
    # The median is 3, the median deviation is 1, and the quantile of 0.995 is 3 + 2.5758 · 1.4826.
    scores = np.array([1.0, 2, 2, 3, 3, 4, 4, 3 + 2 * 3.81896, 3 + 10 * 3.81896])
    weights = NearDuplicate().weights(scores)
    np.testing.assert_allclose(weights, [1, 1, 1, 1, 1, 1, 1, 0.5, 0.1], rtol=1e-4)
    bound = estimate_quantile(scores, 0.995)
    assert NearDuplicate().weights(np.append(scores, bound))[-1] == 1


def test_without_spread_every_user_above_the_median_is_dropped():
    np.testing.assert_array_equal(NearDuplicate().weights(np.array([0.0, 0, 0])), [1, 1, 1])


def test_a_leaf_of_fakes_alone_has_no_weight_and_one_half_has_all():
    np.testing.assert_allclose(DegreeSad().weights(np.array([0, 0.5, 0.75, 1])), [1, 1, 0.5, 0])


@pytest.mark.parametrize("kind", DETECTORS)
def test_each_interaction_is_kept_with_the_weight_of_its_user(kind):
    train = poisoned(BANDWAGON, 6)
    detector, draws = kind.make(action="weigh"), 60
    kept = np.zeros(train.n_users)
    expected = np.zeros(train.n_users)
    for seed in range(draws):
        cleaned = detector.sanitise(train, Rng(seed))
        expected += detector.weights(cleaned.suspicion) * train.lengths()
        kept += cleaned.train.lengths()
    dropped = kind().flags(cleaned.suspicion)
    assert dropped.any()
    np.testing.assert_array_equal(
        kept[expected == draws * train.lengths()], (draws * train.lengths())[expected == draws * train.lengths()]
    )
    # 5 standard deviations of a sum of at most draws · length independent choices
    assert (np.abs(kept - expected) <= 5 * np.sqrt(np.maximum(expected, 1))).all()
    assert kept[dropped].sum() < draws * train.lengths()[dropped].sum()


def test_the_host_gets_fewer_counts_of_the_promoted_items():
    train = poisoned(BANDWAGON, 6)
    counts = {
        action: sanitise(NearDuplicate.make(action=action), train, Rng(3)).train.counts()[TARGETS].sum()
        for action in ("drop", "weigh")
    }
    genuine = train.rows_in(np.arange(REAL)).counts()[TARGETS].sum()
    assert counts["drop"] <= genuine < counts["weigh"] < train.counts()[TARGETS].sum()


def test_the_new_setting_leaves_the_ids_of_earlier_cells():
    assert "action" not in NearDuplicate.Config().resolved()
    assert NearDuplicate.Config(action="weigh").resolved()["action"] == "weigh"
