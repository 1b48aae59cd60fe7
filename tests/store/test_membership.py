"""Tests the numbers of membership attacks against loops and hand computations."""

import numpy as np
import pytest

from robench.store.membership import compute_placements, compute_rate, measure_membership, summarise_membership


def brute(high, low):
    """Returns the AUROC and its variance by DeLong et al., by loops."""
    wins = [[1.0 if a > b else 0.5 if a == b else 0.0 for b in low] for a in high]
    rows = [sum(row) / len(low) for row in wins]
    columns = [sum(row[j] for row in wins) / len(high) for j in range(len(low))]
    area = sum(rows) / len(rows)
    first = sum((value - area) ** 2 for value in rows) / (len(rows) - 1)
    second = sum((value - area) ** 2 for value in columns) / (len(columns) - 1)
    return area, first / len(rows) + second / len(columns), rows, columns


def test_the_auroc_and_its_interval_are_those_of_the_loops():
    rng = np.random.default_rng(0)
    high, low = rng.integers(0, 9, 30) + 2.0, rng.integers(0, 9, 20) * 1.0
    area, variance, rows, columns = brute(high.tolist(), low.tolist())
    scores, member = np.concatenate([low, high]), np.repeat([False, True], [20, 30])
    numbers = measure_membership(scores, member)
    assert (numbers["members"], numbers["non_members"]) == (30, 20)
    assert numbers["auroc"] == pytest.approx(area)
    assert numbers["auroc_low"] == pytest.approx(area - 1.959964 * variance**0.5)
    assert numbers["auroc_high"] == pytest.approx(area + 1.959964 * variance**0.5)
    placed = compute_placements(high, low)
    np.testing.assert_allclose(placed[0], rows)
    np.testing.assert_allclose(placed[1], columns)


def test_the_rate_allows_one_percent_of_the_others_above_the_threshold():
    low = np.arange(200.0)  # two of 200 may be above: the threshold is 197
    assert compute_rate(np.array([197.0, 197.5, 198.0, 500.0]), low) == 0.75
    assert compute_rate(np.array([98.0, 99.0, 99.5]), np.arange(99.0)) == pytest.approx(2 / 3)  # none may be above 98
    assert compute_rate(np.full(3, 5.0), np.full(10, 5.0)) == 0


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(1)
    member = np.repeat([True, False], 100)
    one, two = rng.normal(size=200) + member * 2, rng.normal(size=200)
    alone, both = summarise_membership([one], member), summarise_membership([one, two], member)
    assert both["auroc"] == pytest.approx((alone["auroc"] + summarise_membership([two], member)["auroc"]) / 2)
    assert both["auroc_high"] - both["auroc_low"] > 3 * (alone["auroc_high"] - alone["auroc_low"])


def test_intervals_hold_the_true_value_in_most_worlds():
    truth, inside = 0.7602, 0  # Φ(1 / √2)
    member = np.repeat([True, False], 60)
    for seed in range(200):
        scores = np.random.default_rng(seed).normal(size=120) + member
        high, low = compute_placements(scores[member], scores[~member])
        half = 1.96 * (high.var(ddof=1) / 60 + low.var(ddof=1) / 60) ** 0.5
        inside += abs(high.mean() - truth) < half
    assert 0.90 <= inside / 200 <= 0.99


def test_without_members_there_is_no_number():
    numbers = measure_membership(np.arange(4.0), np.zeros(4, dtype=bool))
    assert numbers["auroc"] is numbers["tpr_low"] is None
