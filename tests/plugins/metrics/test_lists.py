"""Tests the metrics of recommended lists against values computed by hand."""

import numpy as np
import pytest

from robench.api.metric import ItemFacts, Outcome
from robench.testing import MetricTests
from robench_plugins.metrics.lists import Coverage, Diversity, Gini, ListPopularity, Novelty

TOP = np.array([[0, 1, 2], [0, 1, -1], [-1, -1, -1]])
GENRES = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]], dtype=np.bool_)
FACTS = ItemFacts(np.array([8, 4, 1, 0, 2]), 8, GENRES)


class TestCoverage(MetricTests):
    metric = Coverage


class TestGini(MetricTests):
    metric = Gini


class TestListPopularity(MetricTests):
    metric = ListPopularity


class TestNovelty(MetricTests):
    metric = Novelty


class TestDiversity(MetricTests):
    metric = Diversity


def values(metric, k=3, top=TOP, items=FACTS):
    n = len(top)
    outcome = Outcome(np.arange(n + 1), np.ones(n, np.int64), top, np.full(n, 5), items=items)
    return metric.make().per_user(outcome, k)


def test_coverage_is_the_share_of_items_in_some_list():
    np.testing.assert_array_equal(values(Coverage), [0.6] * 3)
    np.testing.assert_array_equal(values(Coverage, k=1), [0.2] * 3)


def test_gini_follows_its_formula():
    # The items are in 2, 2, 1, 0 and 0 lists: 0·(−4) + 0·(−2) + 1·0 + 2·2 + 2·4 = 12, divided by 5 · 5.
    np.testing.assert_allclose(values(Gini), [12 / 25] * 3)


def test_gini_is_0_for_equal_exposure_and_near_1_for_one_item():
    assert values(Gini, top=np.array([[0, 1, 2, 3, 4]]), k=5)[0] == 0
    facts = ItemFacts(np.ones(1000, np.int64), 8, np.zeros((1000, 0), np.bool_))
    assert values(Gini, top=np.zeros((4, 1), np.int64), k=1, items=facts)[0] == pytest.approx(0.999)


def test_popularity_is_the_mean_count_of_the_list():
    np.testing.assert_allclose(values(ListPopularity), [13 / 3, 6, np.nan])
    np.testing.assert_allclose(values(ListPopularity, k=1), [8, 8, np.nan])


def test_novelty_is_the_mean_self_information():
    np.testing.assert_allclose(values(Novelty), [(0 + 1 + 3) / 3, 0.5, np.nan])


def test_an_item_without_interactions_counts_as_one_with_one():
    np.testing.assert_allclose(values(Novelty, top=np.array([[3]]), k=1), [3])


def test_diversity_is_the_mean_jaccard_distance_of_genres():
    # Items 0 and 1 share one of two genres, and item 2 shares none.
    np.testing.assert_allclose(values(Diversity), [(0.5 + 1 + 1) / 3, 0.5, np.nan])


def test_items_without_genres_do_not_count_as_different():
    np.testing.assert_allclose(values(Diversity, top=np.array([[0, 1, 3], [0, 3, 4]])), [0.5, np.nan])


@pytest.mark.parametrize("metric", [Coverage, Gini, ListPopularity, Novelty, Diversity])
def test_without_facts_there_is_no_value(metric):
    assert np.isnan(values(metric, items=None)).all()
