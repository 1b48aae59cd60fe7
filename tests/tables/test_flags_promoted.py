"""Tests the flags of tables about promoted items.

The gap between two attacks is an average over items, because the promoted items are a sample.
"""

import numpy as np
import pytest
from scipy.stats import t
from tests.fakes import L2, MEMBER, METRICS, USERS, World, ranks, row

from robench.tables.comparisons import make_promotion_yardsticks
from robench.tables.results import read_results

PROMOTE = {**L2, "goal": "promote"}
PROMOTED_TABLES = {**PROMOTE, "surface": "parameters"}
TITLES = {**PROMOTE, "surface": "text", "norm": "words"}
VERSION = {"config": {"version": 3}, "members": [{**MEMBER, "damage": 0.1}]}


@pytest.fixture(autouse=True)
def _few_targets_are_enough(monkeypatch):
    """Allows tables with few promoted items, so that their number raises no flag."""
    monkeypatch.setattr("robench.tables.flags.LEAST_TARGETS", 0)


def reached(*users, n=USERS):
    """Returns target ranks with one row per item.

    A number in ``users`` says how many users, from the first one on, have the item in the top 10. None means that all
    users own the item.
    """
    return {
        "arrays": {
            "target_ranks": [[0] * n if count is None else [10] * count + [11] * (n - count) for count in users],
        }
    }


def table(folder, threat, attacks, seeds=(0, 1), n=USERS):
    """Returns the row of mf under the given attacks.

    Each attack is (name, ε, number of users that each item reaches, more entries of the cell).
    """
    world = World(folder, [{**threat, "metric": "t-hr@10", "epsilon": 0.05}])
    world.targets["count"] = len(attacks[0][2])
    for seed in seeds:
        world.cell(np.full(n, 99), seed=seed, **reached(*[0] * len(attacks[0][2]), n=n))
        for name, epsilon, users, more in attacks:
            version = VERSION if name == "auto" else {}
            found = {**version, **more, **reached(*users, n=n)}
            world.cell(np.full(n, 99), seed=seed, attack=name, epsilon=epsilon, threat=threat, **found)
    return row(world.build())


def in_sets(folder, threat, pgd):
    """Returns the row of mf under ``auto`` and pgd, with several target sets.

    For every set, ``auto`` reaches 20 users. The attack pgd reaches ``pgd[seed][set]`` users. None means that the cell
    of pgd was not measured.
    """
    world = World(folder, [{**threat, "metric": "t-hr@10", "epsilon": 0.05}])
    world.targets["sets"] = max(map(len, pgd))
    for seed, sets in enumerate(pgd):
        world.cell(np.full(USERS, 99), seed=seed, **reached(*[0] * world.targets["sets"]))
        for number, users in enumerate(sets):
            more = {"threat": threat, "target_set": number, "epsilon": 0.05, "seed": seed}
            world.cell(np.full(USERS, 99), attack="auto", **more, **VERSION, **reached(20))
            if users is not None:
                world.cell(np.full(USERS, 99), attack="pgd", **more, **reached(users))
    return row(world.build())


@pytest.mark.parametrize("threat", [PROMOTE, TITLES], ids=["per user", "titles"])
@pytest.mark.parametrize(
    ("weak", "strong", "name"),
    [
        (("auto", 0.05), ("pgd", 0.05), "stronger than the ensemble"),
        (("pgd", 0.05), ("random-noise", 0.05), "no better than random"),
        (("pgd", 0.05), ("pgd", 0.01), "not monotone in ε"),
    ],
)
def test_an_attack_that_reaches_less_than_a_weaker_one_is_told(tmp_path, threat, weak, strong, name):
    few, many = (20, 25, 30, 22, 28), (60, 62, 70, 61, 68)
    for wrong, (one, two) in enumerate([(many, few), (few, many)]):
        found = table(tmp_path / str(wrong), threat, [(*weak, one, {}), (*strong, two, {})])
        assert found.flags == (name if wrong else ""), "of what is weaker"


def test_the_numbers_of_a_gap_are_shares_of_users(tmp_path):
    found = table(tmp_path / "w", TITLES, [("auto", 0.05, (20, 30, 10), {}), ("typo", 0.05, (40, 50, 30), {})])
    (note,) = found.notes
    assert note.numbers["gap"] == pytest.approx(20 / USERS)
    assert note.numbers["reached"] == pytest.approx(40 / USERS)


@pytest.mark.parametrize("threat", [PROMOTE, PROMOTED_TABLES, TITLES], ids=["per user", "tables", "titles"])
def test_one_lucky_item_is_no_gap_and_one_lucky_user_is_none_either(tmp_path, threat):
    """One of five items reaches 60 more users, or one more user, than under ``auto``.

    A gap at a single item raises no flag, and neither does a gap of a single user.
    """
    attacks = [("auto", 0.05, (20, 20, 20, 20, 20), {}), ("typo", 0.05, (20, 20, 20, 20, 80), {})]
    assert table(tmp_path / "items", threat, attacks).flags == ""
    attacks[1] = ("typo", 0.05, (20, 20, 20, 20, 21), {})
    assert table(tmp_path / "user", threat, attacks).flags == ""


def test_few_titles_are_judged_by_student_s_t_too(tmp_path):
    """The gaps of all four items are above 0.

    Student's t interval over the four items contains 0, so no flag is raised.
    """
    attacks = [("auto", 0.05, (20, 20, 20, 20), {}), ("typo", 0.05, (21, 22, 24, 60), {})]
    assert table(tmp_path / "w", TITLES, attacks).flags == ""


@pytest.mark.parametrize(("more", "name"), [(2, ""), (6, "stronger than the ensemble")])
def test_a_gap_counts_from_a_fiftieth_of_what_the_stronger_attack_reaches(tmp_path, more, name):
    """The weaker attack reaches 150 users, and the stronger one 152 or 156.

    For each of the 10 items, the gap is 2 of 152 users (1.3%) or 6 of 156 users (3.8%).
    """
    attacks = [("auto", 0.05, (150,) * 10, {}), ("typo", 0.05, (150 + more,) * 10, {})]
    assert table(tmp_path / "w", TITLES, attacks).flags == name


@pytest.mark.parametrize(("threat", "name"), [(PROMOTE, "black-box beats white-box"), (TITLES, "")])
def test_a_search_that_reaches_more_is_told_but_not_on_titles(tmp_path, threat, name):
    """A search may put words before a title.

    The gradients of a title's own words do not suggest such words.
    """
    attacks = [("pgd", 0.05, (20, 20, 22), {}), ("random-search", 0.05, (80, 80, 82), {})]
    assert table(tmp_path / "w", threat, attacks).flags == name


@pytest.mark.parametrize(("n", "name"), [(49, "low power"), (50, "stronger than the ensemble")])
def test_fewer_than_fifty_users_who_can_be_reached_decide_nothing(tmp_path, n, name):
    attacks = [("auto", 0.05, (5, 6), {}), ("pgd", 0.05, (40, 41), {})]
    made = table(tmp_path / "w", PROMOTE, attacks, n=n)
    assert (made.flags, made.rank is None) == (name, name == "low power")


def test_of_two_sets_the_one_that_fewer_users_can_be_reached_with_counts(tmp_path):
    world = World(tmp_path / "w", [{**PROMOTE, "metric": "t-hr@10", "epsilon": 0.05}])
    world.targets["sets"] = 2
    world.cell(np.full(60, 99), **reached(0, 0, n=60))
    for number, own in enumerate((0, 11)):
        arrays = {"target_ranks": [[0] * own + [1] * (60 - own)]}
        more = {"threat": PROMOTE, "target_set": number, "epsilon": 0.05, "arrays": arrays}
        world.cell(np.full(60, 99), attack="pgd", **more)
    (note,) = [note for note in row(world.build()).notes if note.flag == "low power"]
    assert note.numbers == {"users": 49}


@pytest.mark.parametrize("threat", [PROMOTE, TITLES], ids=["per user", "titles"])
def test_users_who_have_an_item_are_neither_reached_nor_missed(tmp_path, threat):
    """User 0 owns the first item, and all users own the last item.

    A rank of 0 marks an owned item. Pairs of a user and an owned item do not count.
    """
    world = World(tmp_path / "w", [{**threat, "metric": "t-hr@10", "epsilon": 0.05}])
    world.targets["count"] = 3
    for seed in (0, 1):
        for attack, users, more in (("none", 0, {}), ("auto", 20, VERSION), ("pgd", 80, {})):
            first = [0] + [1] * users + [50] * (USERS - 1 - users)
            arrays = {"target_ranks": [first, [*first[1:], 50], [0] * USERS]}
            where = {} if attack == "none" else {"attack": attack, "epsilon": 0.05, "threat": threat}
            world.cell(np.full(USERS, 99), seed=seed, arrays=arrays, **where, **more)
    (note,) = row(world.build()).notes
    assert note.flag == "stronger than the ensemble"
    gap, most = np.mean([60 / (USERS - 1), 60 / USERS]), np.mean([80 / (USERS - 1), 80 / USERS])  # two items
    assert note.numbers["gap"] == pytest.approx(gap)
    assert note.numbers["reached"] == pytest.approx(most)


def test_an_interval_over_items_is_the_wider_of_two(tmp_path):
    gaps = np.array([18, 20, 22, 24, 19, 21])
    attacks = [("auto", 0.05, (*(20,) * 6, None), {}), ("typo", 0.05, (*(20 + gaps), None), {})]
    (note,) = table(tmp_path / "w", TITLES, attacks).notes
    low, high = t.interval(0.95, 5, gaps.mean() / USERS, gaps.std(ddof=1) / USERS / 6**0.5)
    assert (note.numbers["low"], note.numbers["high"]) == pytest.approx((low, high))


@pytest.mark.parametrize("threat", [TITLES, PROMOTE], ids=["titles", "per user"])
def test_target_sets_are_more_items_and_the_same_users(tmp_path, threat):
    """Each of three sets has one item, and only the item of the last set has a gap."""
    assert in_sets(tmp_path / "w", threat, [[20, 20, 90]] * 2).flags == ""


def test_target_sets_are_more_items_for_the_interval(tmp_path):
    """The interval covers the items of the two sets that both seeds have.

    A single item would have no interval. The third set is left out, because only one seed has it.
    """
    notes = in_sets(tmp_path / "w", TITLES, [[60, 61, 62], [61, 62, None]]).notes
    note = next(note for note in notes if note.flag == "stronger than the ensemble")
    assert note.numbers["gap"] == pytest.approx(41 / USERS)


def test_the_items_of_all_target_sets_count_alike(tmp_path):
    """The first 100 users own the items of the first two sets.

    The gap of these items is 60 of 100 users, and the gap of the other two items is 60 of 200 users.
    """
    world = World(tmp_path / "w", [{**PROMOTE, "metric": "t-hr@10", "epsilon": 0.05}])
    world.targets["sets"] = 4
    for seed in (0, 1):
        world.cell(np.full(USERS, 99), seed=seed, **reached(0, 0, 0, 0))
        for number, own in enumerate((100, 100, 0, 0)):
            more = {"threat": PROMOTE, "target_set": number, "epsilon": 0.05, "seed": seed}
            for attack, users in (("auto", 120), ("pgd", 180)):
                arrays = {"target_ranks": [[0] * own + [1] * (users - own) + [50] * (USERS - users)]}
                version = VERSION if attack == "auto" else {}
                world.cell(np.full(USERS, 99), attack=attack, arrays=arrays, **more, **version)
    (note,) = row(world.build()).notes
    assert note.numbers["gap"] == pytest.approx((0.6 + 0.3) / 2)


def test_an_attack_is_stronger_only_if_it_is_by_what_the_host_chooses_with_too(tmp_path):
    """The attack pgd brings two items into the top 10, and ``auto`` brings only one.

    But the host prefers the ranks 1 and 50 of ``auto`` to the ranks 9 and 10 of pgd, so no flag is raised.
    """
    world = World(tmp_path / "w", [{**PROMOTE, "metric": "t-hr@10", "epsilon": 0.05}])
    world.targets["count"] = 2
    for seed in (0, 1):
        for attack, found, more in (("none", (50, 50), {}), ("auto", (1, 50), VERSION), ("pgd", (9, 10), {})):
            arrays = {"target_ranks": [[rank] * USERS for rank in found]}
            where = {} if attack == "none" else {"attack": attack, "epsilon": 0.05, "threat": PROMOTE}
            world.cell(np.full(USERS, 99), seed=seed, arrays=arrays, **where, **more)
    assert row(world.build()).flags == ""


def test_ranks_behind_the_top_k_count_only_where_the_host_counts_them(tmp_path):
    """Both attacks bring one of two items into the top 10.

    The attacks differ only in the rank of the other item.
    """
    attacks = (("none", (99, 99), {}), ("auto", (10, 90), VERSION), ("pgd", (10, 11), {}))
    for threat in (PROMOTE, {**PROMOTE, "surface": "parameters"}):
        world = World(tmp_path / threat["surface"], [{**threat, "metric": "t-hr@10", "epsilon": 0.05}])
        world.targets["count"] = 2
        for attack, found, more in attacks:
            arrays = {"target_ranks": [[rank] * USERS for rank in found]}
            where = {} if attack == "none" else {"attack": attack, "epsilon": 0.05, "threat": threat}
            world.cell(np.full(USERS, 99), arrays=arrays, **where, **more)
        world.build()
        results = read_results(world.store.folder, METRICS)
        cells = {cell.attack: cell for cell in results.cells}
        hits, gains = make_promotion_yardsticks(results, threat["surface"])
        assert (hits.left(cells["auto"]) == hits.left(cells["pgd"])).all()
        same = (gains.left(cells["auto"]) == gains.left(cells["pgd"])).all()
        assert same == (threat["surface"] == "parameters")


def test_the_top_k_is_the_attack_s_own(tmp_path):
    """Rank 10 is in the top 10 but not in the top 5."""
    attacks = [("auto", 0.05, (20,) * 3, {}), ("pgd", 0.05, (90,) * 3, {})]
    assert table(tmp_path / "ten", PROMOTE, attacks).flags == "stronger than the ensemble"
    assert table(tmp_path / "five", {**PROMOTE, "k": 5}, attacks).flags == ""


@pytest.mark.parametrize(("items", "name"), [(2, "low power"), (3, "stronger than the ensemble")])
def test_fewer_than_three_titles_decide_nothing(tmp_path, items, name):
    attacks = [("auto", 0.05, (20,) * items, {}), ("typo", 0.05, (60, 61, 62)[:items], {})]
    assert table(tmp_path / "w", TITLES, attacks).flags == name


def test_a_seed_in_which_little_was_measured_does_not_hide_what_all_seeds_have(tmp_path):
    """Only one of the three seeds has the second set.

    The flag is therefore decided by the first set, over all three seeds.
    """
    notes = in_sets(tmp_path / "w", PROMOTE, [[80, None], [80, None], [80, 20]]).notes
    note = next(note for note in notes if note.flag == "stronger than the ensemble")
    assert note.numbers["gap"] == pytest.approx(60 / USERS)


def test_seeds_with_no_set_in_common_are_not_compared(tmp_path):
    assert "stronger than the ensemble" not in in_sets(tmp_path / "w", PROMOTE, [[80, None], [None, 80]]).flags


def test_titles_are_judged_over_seeds_too(tmp_path):
    """Within a fit the three items agree, but the two fits disagree."""
    world = World(tmp_path / "w", [{**TITLES, "metric": "t-hr@10", "epsilon": 0.05}])
    world.targets["count"] = 3
    for seed, users in ((0, 21), (1, 90)):
        world.cell(np.full(USERS, 99), seed=seed, **reached(0, 0, 0))
        more = {"threat": TITLES, "epsilon": 0.05, "seed": seed}
        world.cell(np.full(USERS, 99), attack="auto", **more, **VERSION, **reached(20, 20, 20))
        world.cell(np.full(USERS, 99), attack="typo", **more, **reached(users, users + 1, users + 2))
    assert row(world.build()).flags == ""


@pytest.mark.parametrize(("surface", "name"), [("embedding", "black-box beats white-box"), ("text", "")])
def test_a_search_through_titles_that_lets_more_fall_says_nothing_either(tmp_path, surface, name):
    threat = {**L2, "surface": surface}
    world = World(tmp_path / "w", [{**threat, "metric": "ndcg@10", "epsilon": 0.05}])
    losses = {"arrays": {"loss": np.ones(USERS), "clean_loss": np.ones(USERS)}}
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        for attack, left in (("pgd", 100), ("random-search", 60)):
            world.cell(ranks(left, 99), seed=seed, attack=attack, epsilon=0.05, threat=threat, **losses)
    assert row(world.build()).flags == name


def test_of_another_goal_nothing_is_judged(tmp_path):
    demote = {**L2, "goal": "demote"}
    world = World(tmp_path / "w", [{**demote, "metric": "t-hr@10", "epsilon": 0.05}])
    for seed in (0, 1):
        world.cell(ranks(20, 99), seed=seed, **reached(20))
        world.cell(ranks(10, 99), seed=seed, attack="pgd", epsilon=0.05, threat=demote, **reached(10))
    assert row(world.build()).flags == ""
