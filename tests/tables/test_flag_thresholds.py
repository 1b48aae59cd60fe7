"""Tests values just below and just above each threshold of the flags."""

import numpy as np
import pytest
from tests.fakes import EMBEDDING, L2, USERS, World, ranks, row


def flags(folder, seeds):
    """Returns the flags of a row.

    Args:
        folder: The folder for the results.
        seeds: For each seed, the clean ranks, the ranks under pgd and under random noise, and more entries for the
            cell of pgd.
    """
    world = World(folder, [EMBEDDING])
    for seed, (clean, pgd, noise, more) in enumerate(seeds):
        world.cell(clean, seed=seed)
        world.cell(pgd, seed=seed, attack="pgd", epsilon=0.05, **more)
        world.cell(noise, seed=seed, attack="random-noise", epsilon=0.05)
    return row(world.build()).flags


@pytest.mark.parametrize(("hits", "found"), [(49, "low power"), (50, "no better than random")])
def test_a_gap_is_judged_from_fifty_hit_users_on(tmp_path, hits, found):
    clean, weak, strong = (ranks(good, 99) for good in (hits, hits, hits - 30))
    assert flags(tmp_path / "w", [(clean, weak, strong, {})] * 2) == found


@pytest.mark.parametrize(("measure", "found"), [("ndcg@10", "low power"), ("ndcg@20", "no better than random")])
def test_users_are_hit_within_the_cutoff_of_the_measure_that_judges(tmp_path, measure, found):
    """Sixty users have their item at rank 15."""
    world = World(tmp_path / "w", [{**EMBEDDING, "metric": measure, "k": 20}])
    world.metrics = [measure]
    threat, losses = {**L2, "k": 20}, {name: np.ones(USERS) for name in ("loss", "clean_loss")}
    clean, weak, strong = ([15] * good + [99] * (USERS - good) for good in (60, 60, 20))
    for seed in (0, 1):
        world.cell(clean, seed=seed)
        world.cell(weak, seed=seed, attack="pgd", epsilon=0.05, threat=threat, arrays=losses)
        world.cell(strong, seed=seed, attack="random-noise", epsilon=0.05, threat=threat, arrays=losses)
    assert found in row(world.build()).flags


def test_hit_users_are_counted_per_fit(tmp_path):
    """The two fits have 48 and 51 hits, so the mean is 49.5.

    Only this mean decides. The number of users that are hits in at least one fit does not matter.
    """
    seeds = [(ranks(n, 99), ranks(n, 99), ranks(n - 30, 99), {}) for n in (48, 51)]
    assert flags(tmp_path / "w", seeds) == "low power"


@pytest.mark.parametrize(("share", "found"), [(0.009, ""), (0.011, "hidden gradients")])
def test_gradients_may_be_zero_for_one_user_in_a_hundred(tmp_path, share, found):
    seeds = [(ranks(150, 99), ranks(60, 99), ranks(140, 99), {"zero": share})] * 2
    assert flags(tmp_path / "w", seeds) == found


@pytest.mark.parametrize(("error", "found"), [(9e-4, ""), (1.1e-3, "not additive")])
def test_a_declared_sum_may_round(tmp_path, error, found):
    world = World(tmp_path / "w", [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(60, 99), seed=seed, attack="pgd", epsilon=0.05, diagnostics={"additive_error": error})
    shown = row(world.build())
    assert shown.flags == found
    assert (shown.rank is None) == bool(found)


def test_the_worst_fit_s_share_of_zero_gradients_is_told(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for seed, share in enumerate((0.5, 0.02)):
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(60, 99), seed=seed, attack="pgd", epsilon=0.05, zero=share)
    (note,) = row(world.build()).notes
    assert note.numbers == {"attack": "pgd", "share": 0.5}


@pytest.mark.parametrize(("loss", "found"), [(1.05, ""), (1.15, "loss up, ranks unchanged")])
def test_a_loss_is_up_from_a_tenth_of_its_clean_value_on(tmp_path, loss, found):
    losses = {"arrays": {"loss": np.full(USERS, loss), "clean_loss": np.ones(USERS)}}
    same = ranks(150, 99)
    assert flags(tmp_path / "w", [(same, same, same, losses)] * 2) == found


def left(*kept):
    """Returns the ranks of all users under an attack.

    The rank is 1 for users in the given ranges, and 99 for all others.
    """
    found = np.full(USERS, 99)
    for first, last in kept:
        found[first:last] = 1
    return found


# Without an attack all 200 users are hit, so gaps are shares of users and the threshold is .02.
@pytest.mark.parametrize(
    ("gaps", "found"),
    [
        # Random points break 5 users (2.5%) that pgd does not break. No resample of the users reverses the gap.
        ([(left((0, 105)), left((0, 100)))] * 2, "no better than random"),
        # The gap is 2.5% again. Random points alone break 20 users, and pgd alone breaks 15.
        ([(left((0, 120)), left((0, 100), (120, 135)))] * 2, ""),
        # The mean gap is 3.5%, and its interval over users excludes 0. But the gaps of the fits are 10% and −3%.
        ([(left((0, 120)), left((0, 100))), (left((0, 100)), left((0, 106)))], ""),
    ],
)
def test_a_gap_counts_where_its_interval_excludes_zero(tmp_path, gaps, found):
    pgd, noise = (np.mean([pair[side] == 1 for pair in gaps]) for side in (0, 1))
    assert pgd - noise > 0.02, "a gap beyond the threshold"
    assert flags(tmp_path / "w", [(ranks(USERS, 99), *pair, {}) for pair in gaps]) == found


@pytest.mark.parametrize(("rank", "found"), [(9, ""), (8, "no better than random")])
def test_a_gap_below_two_percent_is_none_however_certain(tmp_path, rank, found):
    """NDCG@10 is .289, .301 or .315 if all users have rank 10, 9 or 8.

    The clean value is 1, so the gaps to rank 10 are .012 and .026.
    """
    pgd, noise = np.full(USERS, rank), np.full(USERS, 10)
    assert flags(tmp_path / "w", [(ranks(USERS, 99), pgd, noise, {})] * 2) == found


MEMBERS = [
    {"name": "random-noise", "kind": "floor", "everyone": True, "steps": None, "users": USERS, "queries": 40},
    {"name": "pgd-40", "kind": "gradient", "everyone": True, "steps": 40, "users": USERS, "queries": 40},
]
MEMBERS = [{**member, "gradients": 0, "first_breaks": 0} for member in MEMBERS]


@pytest.mark.parametrize(
    ("noise", "pgd", "found"),
    [
        (left((0, 5)), left(), "no better than random"),  # the gap is 2.5% of users
        (left((0, 20)), left((20, 35)), ""),  # the gap is 2.5% again: 20 users minus 15 users
        (left((0, 4)), left(), ""),  # the gap is 2%, which does not exceed the threshold
    ],
)
def test_between_members_of_an_ensemble_it_is_the_same(tmp_path, noise, pgd, found):
    """A gap between members is a difference in the share of broken users.

    The gap raises no flag if its interval contains 0, or if it is at most 2%.
    """
    broke = np.stack([noise == 1, pgd == 1], 1).astype(np.int8)
    world = World(tmp_path / "w", [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(USERS, 99), seed=seed)
        more = {"arrays": {"member_broke": broke}, "members": MEMBERS}
        world.cell(ranks(100, 99), seed=seed, attack="auto", epsilon=0.05, **more)
    assert row(world.build()).flags == found
