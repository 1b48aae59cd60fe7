"""Tests how often comparisons of equal and of better victims have a verdict."""

import numpy as np

from robench.comparison.differences import Family, Pair, build_differences, pair_fits

FAMILY = Family("d", "s", None, None, "ndcg@10", "clean", higher_is_better=True)


def make_pair(rng, *, fits=3, users=100, effect=0.0):
    """Returns a pair of victims whose mean values differ by ``effect``."""
    base = rng.random(users) * 0.3

    def values(shift):
        return base + shift + 0.05 * rng.standard_normal((fits, 1)) + 0.2 * rng.standard_normal((fits, users))

    return Pair("a", "b", values(0.0), values(effect), "users", blind=False, ranked=True, notes=())


def share_of_verdicts(rng, worlds, size=1, **more):
    """Returns the share of worlds with a decided verdict among ``size`` pairs."""
    decided = 0
    for _ in range(worlds):
        found = build_differences(FAMILY, [make_pair(rng, **more) for _ in range(size)])
        decided += any(one.verdict.startswith(("gains", "loses")) for one in found)
    return decided / worlds


def test_equal_victims_rarely_win():
    rng = np.random.default_rng(0)
    assert share_of_verdicts(rng, 400) <= 0.072, "5% and two standard errors of 400 worlds"
    assert share_of_verdicts(rng, 100, size=4) <= 0.094, "Holm's method holds the whole table to 5%"


def test_a_better_victim_wins():
    rng = np.random.default_rng(1)
    assert share_of_verdicts(rng, 100, effect=0.5) > 0.9


def test_one_fit_of_each_gives_no_verdict():
    rng = np.random.default_rng(2)
    assert share_of_verdicts(rng, 100, fits=1, effect=0.5) == 0.0


def test_a_blind_pair_counts_in_the_adjustment_and_has_no_verdict():
    rng = np.random.default_rng(3)
    pair = make_pair(rng, effect=0.1)
    hidden = Pair("c", "d", pair.a, pair.b, "users", blind=True, ranked=False, notes=())
    (alone,) = build_differences(FAMILY, [pair])
    first, second = build_differences(FAMILY, [pair, hidden])
    assert first.p_value == min(1.0, 2 * alone.p_value)
    assert (second.p_value, second.verdict) == (None, "")


def test_fits_are_paired_by_seed_if_possible():
    assert pair_fits([0, 1, 2], [0, 1, 2]) == ([0, 1, 2], [0, 1, 2], "")
    assert pair_fits([0, 1], [1, 5]) == ([1], [0], "only the common seeds 1 count")
    assert pair_fits([4, 5], [1, 2, 3])[:2] == ([0, 1], [0, 1])
