import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from robench.tables.poisoning import compute_null_interval, decide_verdict
from robench.tables.stats import (
    Interval,
    adjust_p_values,
    bootstrap_mean,
    compute_interval,
    compute_paired_p,
    compute_rank_ranges,
)


def test_the_bootstrap_agrees_with_the_normal_interval_of_a_mean():
    values = np.random.default_rng(3).normal(5, 2, 800)
    low, high = bootstrap_mean(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(800)
    assert low == pytest.approx(values.mean() - half, abs=0.03)
    assert high == pytest.approx(values.mean() + half, abs=0.03)


def test_resamples_are_the_same_in_any_blocks_kept_or_not(monkeypatch):
    values = np.random.default_rng(4).normal(0, 1, 300)
    kept = bootstrap_mean(values)
    assert bootstrap_mean(values) == kept
    monkeypatch.setattr("robench.tables.stats.BLOCK", 300 * 7)
    assert bootstrap_mean(values) == kept


def test_resamples_are_gathered_in_pieces_with_the_same_bits(monkeypatch):
    values = np.random.default_rng(4).normal(0, 1, 300)
    draws = np.random.default_rng(0).integers(0, 300, (2_000, 300))
    means = values[draws].mean(1)
    monkeypatch.setattr("robench.tables.stats.PIECE", 300 * 7)
    assert bootstrap_mean(values) == tuple(np.quantile(means, [0.025, 0.975]))


@given(st.integers(2, 60), st.floats(0, 3), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_student_t_decides_alone_only_if_it_is_the_wider_interval(users, spread, seed):
    generator = np.random.default_rng(seed)
    values = generator.exponential(1, users) ** 3 + spread * generator.normal(0, 1, (3, 1))
    width = np.subtract(*bootstrap_mean(values.mean(0))[::-1])
    student = 2 * scipy_stats.t.ppf(0.975, 2) * values.mean(1).std(ddof=1) / np.sqrt(3)
    found = compute_interval(values)
    assert found.high - found.low == pytest.approx(max(width, student))


def test_the_wider_of_the_two_intervals_is_taken():
    generator = np.random.default_rng(0)
    calm = np.tile(generator.normal(0, 1, 400), (3, 1))
    found = compute_interval(calm)
    assert (found.low, found.high) == pytest.approx(bootstrap_mean(calm[0]))
    wild = calm + np.array([[-1.0], [0.0], [1.0]])
    found = compute_interval(wild)
    t = scipy_stats.t.ppf(0.975, 2) / np.sqrt(3)
    assert found.high - found.mean == pytest.approx(t)
    assert compute_interval(calm[:1]).high == bootstrap_mean(calm[0])[1]


def test_users_without_a_value_are_left_out():
    values = np.array([[1.0, np.nan, 3.0], [1.0, 5.0, 3.0]])
    assert compute_interval(values).mean == 2


def test_intervals_cover_the_truth():
    generator = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        found = compute_interval(generator.exponential(1.0, (1, 150)))
        inside += found.low <= 1 <= found.high
    assert 178 <= inside <= 200


def test_p_values_are_exact_where_few_differences_are_not_zero():
    assert compute_paired_p(np.array([1.0, 1.0, 1.0, 0.0, 0.0])) == 2 / 8
    assert compute_paired_p(np.zeros(9)) == 1
    assert compute_paired_p(np.array([1.0, -1.0])) == 1


def test_patterns_that_tie_with_the_observed_sum_count():
    # Sums of thirds and whole numbers often tie. Rounding that broke the ties would make p too small.
    differences = np.array([1 / 3] * 7 + [-1 / 3] * 5 + [1.0] * 3 + [-1.0] * 2 + [2 / 3] * 3)
    thirds = np.rint(differences * 3).astype(int)
    sums = {0: 1}
    for d in thirds.tolist():
        spread: dict[int, int] = {}
        for total, ways in sums.items():
            for new in (total + d, total - d):
                spread[new] = spread.get(new, 0) + ways
        sums = spread
    exact = sum(ways for total, ways in sums.items() if abs(total) >= abs(thirds.sum())) / 2 ** len(thirds)
    assert compute_paired_p(differences) == pytest.approx(exact, abs=0.012)
    assert compute_paired_p(-differences) == compute_paired_p(differences)


def test_p_values_are_uniform_without_an_effect_and_small_with_one():
    generator = np.random.default_rng(2)
    p = [compute_paired_p(generator.normal(0, 1, 60)) for _ in range(150)]
    assert scipy_stats.kstest(p, "uniform").pvalue > 0.01
    assert compute_paired_p(generator.normal(1, 1, 60)) < 0.001


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(deadline=None)
def test_holm_is_what_the_textbook_says(values):
    adjusted = adjust_p_values(values)
    order = np.argsort(values, kind="stable")
    running = 0.0
    for place, index in enumerate(order):
        running = max(running, min(1.0, values[index] * (len(values) - place)))
        assert adjusted[index] == pytest.approx(running)
    assert all(a >= v for a, v in zip(adjusted, values, strict=True))


def test_rows_that_are_not_told_apart_share_a_rank_range():
    generator = np.random.default_rng(4)
    base = generator.normal(0, 1, (1, 500))
    noise = generator.normal(0, 1, (1, 500))
    rows = [base + 2, base + 0.001 * noise, base - 2]
    assert compute_rank_ranges(rows, higher_is_better=True) == [(1, 1, 1), (2, 2, 2), (3, 3, 3)]
    same = [base, base + 0.5 * (noise - noise.mean()), base - 2]
    ranges = compute_rank_ranges(same, higher_is_better=True)
    assert [r[1:] for r in ranges] == [(1, 2), (1, 2), (3, 3)]
    assert compute_rank_ranges(rows, higher_is_better=False)[0] == (3, 3, 3)


def test_the_null_control_is_what_retraining_does():
    means = [0.1, 0.2, 0.3]
    control = compute_null_interval(means)
    assert control.high == pytest.approx(scipy_stats.t.ppf(0.975, 2) * 0.1 * np.sqrt(2 / 3))
    assert decide_verdict(Interval(0.5, control.high + 0.01, 0.9), control) == "rises"
    assert decide_verdict(Interval(0.5, control.high - 0.01, 0.9), control) == "none"
    assert decide_verdict(Interval(-0.5, -0.9, control.low - 0.01), control) == "falls"
    assert compute_null_interval([0.3]).high == np.inf


def test_the_null_control_is_left_by_one_retraining_in_twenty():
    generator = np.random.default_rng(5)
    outside = 0
    for _ in range(2000):
        clean, again = generator.normal(0, 1, 3), generator.normal(0, 1, 3)
        outside += abs((again - clean).mean()) > compute_null_interval(list(clean)).high
    assert 0.03 < outside / 2000 < 0.07


def test_bounds_cut_an_interval_and_leave_its_mean():
    values = np.array([[0.0, 0.1, 0.0], [0.9, 1.0, 0.8]])
    free, cut = compute_interval(values), compute_interval(values, (0.0, 1.0))
    assert free.low < 0
    assert free.high > 1
    assert cut == (free.mean, 0.0, 1.0)
