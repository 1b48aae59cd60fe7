"""Tests accuracy, precision, recall and F1 of likes and dislikes.

Plain loops and scikit-learn give the expected values.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from robench.api import Outcome
from robench.tables.stats import compute_interval
from robench.testing import MetricTests
from robench_plugins.metrics.classification import Accuracy, LikeF1, LikePrecision, LikeRecall

METRICS = (Accuracy, LikePrecision, LikeRecall, LikeF1)


class TestAccuracy(MetricTests):
    metric = Accuracy


class TestLikePrecision(MetricTests):
    metric = LikePrecision


class TestLikeRecall(MetricTests):
    metric = LikeRecall


class TestLikeF1(MetricTests):
    metric = LikeF1


def outcome(likes, dislikes):
    """Returns an outcome with the given probabilities of a like.

    Args:
        likes: the probabilities for the items that each user likes, one row per user.
        dislikes: the probabilities for the items that each user dislikes, one row per user.
    """
    indptr = np.cumsum([0, *map(len, likes)]).astype(np.int64)
    flat = [np.array([p for row in rows for p in row], dtype=np.float64) for rows in (likes, dislikes)]
    n, users = len(flat[0]), len(likes)
    empty = np.full((users, 10), -1, dtype=np.int64)
    return Outcome(indptr, np.ones(n, np.int64), empty, np.full(users, 9), likes=flat[0], dislikes=flat[1])


def means(outcome):
    """Returns each metric's mean over the users."""
    return [float(metric().per_user(outcome, 0).mean()) for metric in METRICS]


def test_four_users_by_hand():
    # TP: .9, .6, .7. FN: .5 (a tie is not a like), .2. FP: .8. TN: .1, .4, .5. One negative is missing.
    measured = outcome([[0.9, 0.5], [0.6], [0.2], [0.7]], [[0.1, np.nan], [0.8], [0.4], [0.5]])
    assert means(measured) == pytest.approx([6 / 9, 3 / 4, 3 / 5, 6 / 9])


def test_a_model_that_likes_nothing_has_no_precision():
    assert means(outcome([[0.1], [0.5]], [[0.2], [0.0]])) == [0.5, 0, 0, 0]


def test_a_model_that_likes_everything_is_right_by_half():
    assert means(outcome([[0.9], [0.6]], [[0.7], [0.8]])) == pytest.approx([0.5, 0.5, 1, 2 / 3])


PROBABILITIES = st.sampled_from([0.0, 0.2, 0.5, 0.500001, 0.7, 1.0])
PAIRS = st.lists(st.lists(st.tuples(PROBABILITIES, PROBABILITIES), min_size=1, max_size=3), min_size=1, max_size=12)


def predictions(rows):
    """Returns the true labels and the predicted labels, one per probability."""
    truth = [label for row in rows for _ in row for label in (1, 0)]
    return truth, [int(p > 0.5) for row in rows for pair in row for p in pair]


@settings(max_examples=150, deadline=None)
@given(rows=PAIRS)
def test_they_equal_plain_loops(rows):
    tp = fp = fn = tn = 0
    for truth, predicted in zip(*predictions(rows), strict=True):
        if truth and predicted:
            tp += 1
        elif truth:
            fn += 1
        elif predicted:
            fp += 1
        else:
            tn += 1
    precision, recall = tp / (tp + fp) if tp + fp else 0.0, tp / (tp + fn)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    measured = outcome([[p for p, _ in row] for row in rows], [[p for _, p in row] for row in rows])
    expected = [(tp + tn) / (tp + tn + fp + fn), precision, recall, f1]
    assert means(measured) == pytest.approx(expected, abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(rows=PAIRS)
def test_they_equal_scikit_learn(rows):
    truth, predicted = predictions(rows)
    measured = outcome([[p for p, _ in row] for row in rows], [[p for _, p in row] for row in rows])
    scores = [f(truth, predicted, zero_division=0) for f in (precision_score, recall_score, f1_score)]
    assert means(measured) == pytest.approx([accuracy_score(truth, predicted), *scores], abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_the_interval_of_a_ratio_is_that_of_resampled_ratios(metric):
    """The interval from linearised values agrees with a bootstrap interval.

    The bootstrap resamples users, and computes the ratio itself.
    """
    generator = np.random.default_rng(0)
    counts = generator.integers(1, 4, 400)
    users = zip(counts, generator.random(400), strict=True)
    rows = [list(zip(s / 2 + generator.random(n) / 2, generator.random(n), strict=True)) for n, s in users]

    def measured(rows):
        return outcome([[p for p, _ in row] for row in rows], [[p for _, p in row] for row in rows])

    _, low, high = compute_interval(metric().per_user(measured(rows), 0)[None])
    ratios = [
        metric().per_user(measured([rows[u] for u in generator.integers(0, 400, 400)]), 0).mean() for _ in range(1000)
    ]
    bootstrap = np.quantile(ratios, [0.025, 0.975])
    assert (low, high) == pytest.approx(tuple(bootstrap), abs=0.15 * (bootstrap[1] - bootstrap[0]))
