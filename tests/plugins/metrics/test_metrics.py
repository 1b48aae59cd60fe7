import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api import Outcome
from robench.testing import MetricTests
from robench_plugins.metrics.ranking import HitRate, Map, Mrr, Ndcg, Precision, Recall
from robench_plugins.metrics.stability import Jaccard, Rbo
from robench_plugins.metrics.targets import TargetHitRate, TargetNdcg, TargetPercentile


class TestNdcg(MetricTests):
    metric = Ndcg


class TestRecall(MetricTests):
    metric = Recall


class TestHitRate(MetricTests):
    metric = HitRate


class TestPrecision(MetricTests):
    metric = Precision


class TestMrr(MetricTests):
    metric = Mrr


class TestMap(MetricTests):
    metric = Map


class TestTargetHitRate(MetricTests):
    metric = TargetHitRate


class TestTargetNdcg(MetricTests):
    metric = TargetNdcg


class TestTargetPercentile(MetricTests):
    metric = TargetPercentile


class TestRbo(MetricTests):
    metric = Rbo


class TestJaccard(MetricTests):
    metric = Jaccard


def outcome(rows, top=None, clean=None, targets=None, candidates=100):
    """Returns an outcome with the given ranks, one row per user."""
    indptr = np.concatenate([[0], np.cumsum([len(r) for r in rows])]).astype(np.int64)
    n = len(rows)
    top = np.zeros((n, 10), dtype=np.int64) if top is None else np.asarray(top, dtype=np.int64)
    ranks = np.concatenate([np.empty(0, np.int64), *(np.asarray(r, dtype=np.int64) for r in rows)])
    targets = None if targets is None else np.asarray(targets, dtype=np.int64)
    return Outcome(indptr, ranks, top, np.full(n, candidates, dtype=np.int64), targets, clean)


@given(
    st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=5, unique=True), min_size=1, max_size=6),
    st.integers(1, 12),
)
@settings(deadline=None)
def test_ranking_metrics_equal_naive_loops(rows, k):
    measured = outcome(rows)
    for user, ranks in enumerate(rows):
        hits = sorted(r for r in ranks if r <= k)
        ideal = sum(1 / math.log2(1 + r) for r in range(1, min(k, len(ranks)) + 1))
        assert Ndcg().per_user(measured, k)[user] == pytest.approx(sum(1 / math.log2(1 + r) for r in hits) / ideal)
        assert Recall().per_user(measured, k)[user] == pytest.approx(len(hits) / len(ranks))
        assert HitRate().per_user(measured, k)[user] == bool(hits)
        assert Precision().per_user(measured, k)[user] == pytest.approx(len(hits) / k)
        assert Mrr().per_user(measured, k)[user] == pytest.approx(1 / hits[0] if hits else 0)
        precision = sum((place + 1) / r for place, r in enumerate(sorted(ranks)) if r <= k)
        assert Map().per_user(measured, k)[user] == pytest.approx(precision / min(k, len(ranks)))


def test_one_item_at_rank_three():
    measured = outcome([[3]])
    assert Ndcg().per_user(measured, 10)[0] == 0.5
    assert Mrr().per_user(measured, 10)[0] == pytest.approx(1 / 3)


def test_target_metrics_are_per_target_and_then_averaged():
    # Target 0 has two eligible users and one hit. Target 1 has one eligible user, a hit. Target 2 has no eligible user.
    targets = [[5, 50, 0], [0, 0, 1], [0, 0, 0]]
    measured = outcome([[1], [1], [1]], targets=targets)
    assert TargetHitRate().per_user(measured, 10).mean() == pytest.approx((1 / 2 + 1) / 2)
    assert TargetNdcg().per_user(measured, 10).mean() == pytest.approx((1 / math.log2(6) / 2 + 1) / 2)
    percentile = ((1 - 4 / 99 + 1 - 49 / 99) / 2 + 1) / 2
    assert TargetPercentile().per_user(measured, 0).mean() == pytest.approx(percentile)


def test_identical_lists_have_exactly_one_and_disjoint_lists_zero():
    top = np.arange(20).reshape(2, 10)
    same = outcome([[1], [1]], top=top, clean=outcome([[1], [1]], top=top))
    other = outcome([[1], [1]], top=top + 100, clean=same)
    for metric in (Rbo(), Jaccard()):
        assert metric.per_user(same, 10).tolist() == [1.0, 1.0]
        assert metric.per_user(other, 10).tolist() == [0.0, 0.0]


def test_two_empty_lists_are_identical():
    top = np.full((1, 10), -1)
    same = outcome([[1]], top=top, clean=outcome([[1]], top=top))
    assert Rbo().per_user(same, 10)[0] == Jaccard().per_user(same, 10)[0] == 1


def test_identical_short_lists_have_one_too():
    top = np.array([[4, 2, 7, *[-1] * 7]])
    same = outcome([[1]], top=top, clean=outcome([[1]], top=top))
    assert Rbo().per_user(same, 10)[0] == pytest.approx(1)
    assert Jaccard().per_user(same, 10)[0] == 1


@given(st.permutations(range(12)), st.permutations(range(12)))
@settings(deadline=None, max_examples=50)
def test_rbo_and_jaccard_equal_naive_sums(one, two):
    measured = outcome([[1]], top=[one[:10]], clean=outcome([[1]], top=[two[:10]]))
    total = sum(0.9 ** (d - 1) * len(set(one[:d]) & set(two[:d])) / d for d in range(1, 11))
    most = sum(0.9 ** (d - 1) for d in range(1, 11))
    assert Rbo().per_user(measured, 10)[0] == pytest.approx(total / most)
    both = len(set(one[:10]) & set(two[:10]))
    assert Jaccard().per_user(measured, 10)[0] == pytest.approx(both / (20 - both))
    assert most == pytest.approx((1 - 0.9**10) / 0.1)
