import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from robench.tables.stats import (
    adjust_p_values,
    compute_interval,
    compute_rank_ranges,
    estimate_mean,
)

FILMS = np.array([[0.47, 0.03, 0.07, 0.16, 0.24]])  # the share of users with each promoted film, one seed


def crossed(generator, seeds, units, *, of_seeds=0.0, of_units=0.0):
    """Returns values with random effects of seeds and units, and with noise."""
    noise = generator.normal(0, 1, (seeds, units))
    return noise + generator.normal(0, 1, (seeds, 1)) * of_seeds + generator.normal(0, 1, (1, units)) * of_units


def test_five_promoted_films_decide_as_little_as_student_s_t_says():
    found = compute_interval(FILMS)
    half = scipy_stats.t.ppf(0.975, 4) * FILMS.std(ddof=1) / np.sqrt(5)
    assert found == pytest.approx((0.194, 0.194 - half, 0.194 + half))
    assert found.low < 0
    assert found.high == pytest.approx(0.41, abs=0.001)
    assert estimate_mean(FILMS).units_to_decide() == 6  # the interval just contains 0


def test_one_seed_gives_the_interval_over_units():
    values = np.random.default_rng(3).normal(5, 2, (1, 800))
    half = scipy_stats.t.ppf(0.975, 799) * values.std(ddof=1) / np.sqrt(800)
    assert compute_interval(values)[1:] == pytest.approx((values.mean() - half, values.mean() + half))


def test_equal_seeds_give_the_interval_of_one_seed():
    values = np.random.default_rng(3).exponential(1, (1, 300))
    assert compute_interval(np.tile(values, (5, 1))) == pytest.approx(compute_interval(values))


def test_seeds_alone_give_student_s_t_over_seeds():
    shifts = np.array([[0.1], [0.2], [0.6]])
    expected = scipy_stats.ttest_1samp(shifts[:, 0], 0)
    found = estimate_mean(shifts + np.zeros((1, 40)))
    assert found.compute_p() == pytest.approx(expected.pvalue)
    assert found.interval()[1:] == pytest.approx(tuple(expected.confidence_interval()))
    assert estimate_mean(shifts).compute_p() == pytest.approx(expected.pvalue)


def test_mean_squares_are_those_of_the_two_way_analysis_of_variance():
    values = crossed(np.random.default_rng(5), 4, 30, of_seeds=0.5, of_units=2.0)
    total = np.square(values - values.mean()).sum()
    of_seeds = 30 * np.square(values.mean(1) - values.mean()).sum() / 3
    of_units = 4 * np.square(values.mean(0) - values.mean()).sum() / 29
    error = (total - 3 * of_seeds - 29 * of_units) / (3 * 29)
    found = estimate_mean(values)
    assert found.by_seeds == pytest.approx(of_seeds / 120)
    assert found.by_units == pytest.approx((of_units - error) / 120)
    assert found.by_both == pytest.approx(error / 120)


def test_equal_rows_do_not_differ_and_constant_differences_do():
    for shape in ((1, 50), (3, 50), (3, 1), (1, 1)):
        assert estimate_mean(np.zeros(shape)).compute_p() == 1
    assert estimate_mean(np.full((3, 50), 0.1)).compute_p() == pytest.approx(0)
    assert estimate_mean(np.full((1, 1), 0.1)).compute_p() == 1
    assert compute_interval(np.full((1, 1), 0.1))[1:] == (-math.inf, math.inf)


def test_seeds_that_tie_by_chance_are_no_certainty():
    values = np.array([[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0]])
    assert values.mean(1).tolist() == [0.2, 0.2]
    assert estimate_mean(values).compute_p() > 0.05


def test_users_without_a_value_are_left_out():
    values = np.array([[1.0, np.nan, 3.0], [1.0, 5.0, 3.0]])
    assert compute_interval(values).mean == 2
    assert all(map(math.isnan, compute_interval(np.full((2, 3), np.nan))))


@given(st.integers(2, 6), st.integers(2, 40), st.floats(0, 2), st.floats(0, 2), st.floats(-1, 1), st.integers(0, 99))
@settings(max_examples=80, deadline=None)
def test_an_interval_contains_0_if_the_test_does_not_reject(seeds, units, of_seeds, of_units, shift, seed):
    values = shift + crossed(np.random.default_rng(seed), seeds, units, of_seeds=of_seeds, of_units=of_units)
    found = estimate_mean(values)
    low, high = found.interval()[1:]
    assert (low <= 0 <= high) == (found.compute_p() >= 0.05)
    mean, mirrored_high, mirrored_low = estimate_mean(-values).interval()
    assert found.interval() == pytest.approx((-mean, -mirrored_low, -mirrored_high))


def test_bounds_cut_an_interval_and_leave_its_mean():
    values = np.array([[0.0, 0.1, 0.0], [0.9, 1.0, 0.8]])
    free, cut = compute_interval(values), compute_interval(values, (0.0, 1.0))
    assert free.low < 0
    assert free.high > 1
    assert cut == (free.mean, 0.0, 1.0)


def test_more_seeds_or_more_units_decide_where_they_can():
    values = crossed(np.random.default_rng(7), 3, 200, of_seeds=0.5)
    values += 0.3 - values.mean()
    found = estimate_mean(values)
    assert found.compute_p() > 0.05
    seeds = found.seeds_to_decide()
    assert 3 < seeds < 60
    assert found.units_to_decide() is None  # the noise of the fits stays
    assert seeds < found.seeds_to_decide(0.01)
    flat = np.tile(0.05 + np.random.default_rng(8).normal(0, 1, (1, 200)), (3, 1))
    assert estimate_mean(flat).seeds_to_decide() is None  # the seeds are equal, and only more users help
    assert estimate_mean(flat).units_to_decide() > 200


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


def test_rows_that_cannot_be_separated_share_a_rank_range():
    generator = np.random.default_rng(4)
    base, noise = generator.normal(0, 1, (1, 500)), generator.normal(0, 1, (3, 500))
    rows = [base + 2 + 0.01 * noise, base + 0.001 * noise, base - 2 + 0.01 * noise]
    assert compute_rank_ranges(rows, higher_is_better=True) == [(1, 1, 1), (2, 2, 2), (3, 3, 3)]
    assert compute_rank_ranges(rows, higher_is_better=False)[0] == (3, 3, 3)
    same = [base + 0 * noise, base + 0.5 * (noise - noise.mean()), base - 2 + 0 * noise]
    assert [r[1:] for r in compute_rank_ranges(same, higher_is_better=True)] == [(1, 2), (1, 2), (3, 3)]


def test_one_seed_leaves_every_order_open():
    base = np.random.default_rng(4).normal(0, 1, (1, 500))
    assert compute_rank_ranges([base, base + 2], higher_is_better=True) == [(2, 1, 2), (1, 1, 2)]
