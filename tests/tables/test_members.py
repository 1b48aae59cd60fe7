"""Tests tables under an ensemble: title, flags from members, and costs."""

import numpy as np
import pytest
from tests.fakes import EDITS, EMBEDDING, L2, PARAMETERS, TABLES, USERS, World, ranks, row

from robench.report.markdown import to_markdown

VERSION = {"config": {"version": 3}}
POOL = [("random-noise", "floor", None, 40), ("pgd-10", "gradient", 10, 12), ("pgd-40", "gradient", 40, 42)]
POOL += [("apgd", "gradient", 50, 51), ("random-search", "black-box", None, 300)]


def pool(broke, everyone=(True, True, True, False, True)):
    """Returns the arrays and the record rows of members.

    A number n in ``broke`` means that the member broke the first n users. None means that the member did not run.
    """
    table = np.zeros((USERS, len(POOL)), dtype=np.int8)
    for number, count in enumerate(broke):
        table[:, number] = -1 if count is None else np.arange(USERS) < count
    first = np.where((table == 1).any(1), (table == 1).argmax(1), -1)
    rows = [
        {
            "name": name,
            "kind": kind,
            "everyone": whole,
            "steps": steps,
            "users": USERS,
            "queries": queries * USERS,
            "gradients": 0,
            "first_breaks": int((first == number).sum()),
        }
        for number, ((name, kind, steps, queries), whole) in enumerate(zip(POOL, everyone, strict=True))
    ]
    return {"arrays": {"member_broke": table, "first": first}, "members": rows, **VERSION}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "w", [EMBEDDING])


def filled(world, broke=(20, 60, 60, 70, 50), left=130, **more):
    for seed in (0, 1):
        world.cell(ranks(USERS, 99), seed=seed)
        world.cell(ranks(left, 99), seed=seed, attack="auto", epsilon=0.05, **pool(broke), **more)
    return world


def test_a_table_with_an_ensemble_is_the_ensemble_s_alone_and_says_its_version(world):
    filled(world)
    for seed in (0, 1):
        world.cell(ranks(129, 99), seed=seed, attack="pgd", epsilon=0.05)
    tables = world.build()
    assert tables.leaderboard[0].title == "auto@3"
    assert row(tables).attack_set == "auto@3"
    assert row(tables).worst == pytest.approx(130 / USERS)


def test_an_ensemble_of_somebody_else_is_a_custom_attack_set(world):
    for seed in (0, 1):
        world.cell(ranks(USERS, 99), seed=seed)
        more = {**pool((20, 60, 60, 70, 50)), "kind": "ensemble"}
        world.cell(ranks(130, 99), seed=seed, attack="mine", epsilon=0.05, **more)
    tables = world.build()
    assert tables.leaderboard[0].title == "custom attack set"
    assert row(tables).attack_set == "custom: mine@3"


def test_another_attack_that_takes_more_is_told(world):
    filled(world)
    for seed in (0, 1):
        world.cell(ranks(100, 99), seed=seed, attack="pgd", epsilon=0.05)
    assert row(world.build()).flags == "stronger than the ensemble"


@pytest.mark.parametrize(("small", "large", "flags"), [(60, 100, "not monotone in ε"), (100, 60, "")])
def test_an_ensemble_that_takes_less_with_more_is_told(world, small, large, flags):
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        for epsilon, left in ((0.01, small), (0.05, large)):
            more = pool((20, 60, 60, 70, 50))
            world.cell(ranks(left, 99), seed=seed, attack="auto", epsilon=epsilon, **more)
    assert row(world.build()).flags == flags


@pytest.mark.parametrize(
    ("broke", "flags", "ranked"),
    [
        ((20, 60, 60, 70, 50), "", True),
        ((60, 5, 5, 10, 50), "no better than random; black-box beats white-box", False),
        ((20, 60, 40, 70, 50), "more steps are weaker", True),
        ((20, 60, 60, 70, 90), "black-box beats white-box", False),
        ((20, 60, 60, 70, 72), "", True),
    ],
)
def test_members_that_ran_on_everybody_raise_the_alarms(world, broke, flags, ranked):
    found = row(filled(world, broke).build())
    assert set(found.flags.split("; ")) == set(flags.split("; "))
    assert (found.rank is not None) == ranked


@pytest.mark.parametrize(("share", "ranked"), [(0.5, True), (0.51, False)])
@pytest.mark.parametrize("kind", ["zero_gradient_share", "non_finite_share"])
def test_an_ensemble_that_saw_no_gradient_of_most_users_ranks_nobody(world, kind, share, ranked):
    found = row(filled(world, diagnostics={kind: share}).build())
    assert found.flags == "hidden gradients"
    assert (found.rank is not None) == ranked


def test_a_single_attack_that_saw_no_gradient_is_told_and_ranked_by_the_others(world):
    for seed in (0, 1):
        world.cell(ranks(USERS, 99), seed=seed)
        world.cell(ranks(100, 99), seed=seed, attack="pgd", epsilon=0.05, zero=1.0)
    found = row(world.build())
    assert found.flags == "hidden gradients"
    assert found.rank is not None


@pytest.mark.parametrize(("found", "ranked"), [(89, True), (92, False)])
def test_a_search_for_edits_may_win_a_little_on_a_model_that_hides_nothing(tmp_path, found, ranked):
    """The gradient attacks break 70 of 200 users. A lead of 20 users is 10%."""
    world = World(tmp_path / "w", [{**EDITS, "metric": "ndcg@10", "epsilon": 1}])
    for seed in (0, 1):
        world.cell(ranks(USERS, 99), seed=seed)
        more = pool((20, 60, 60, 70, found))
        more["arrays"] |= {"hit": np.ones(USERS, dtype=bool), "loss": np.ones(USERS), "clean_loss": np.ones(USERS)}
        world.cell(ranks(100, 99), seed=seed, attack="auto", epsilon=1, threat=EDITS, **more)
    assert row(world.build()).flags == ("" if ranked else "black-box beats white-box")
    assert (row(world.build()).rank is not None) == ranked


def test_who_was_broken_before_a_gradient_attack_came_is_not_held_against_it(world):
    """The gradient attack ran only on users that random points had not broken."""
    more = pool((60, None, None, None, 100), everyone=(True, False, False, False, True))
    table = more["arrays"]["member_broke"]
    table[60:, 1] = np.arange(60, USERS) < 100
    for seed in (0, 1):
        world.cell(ranks(USERS, 99), seed=seed)
        world.cell(ranks(100, 99), seed=seed, attack="auto", epsilon=0.05, **more)
    assert row(world.build()).flags == ""


def test_users_whom_nobody_was_to_break_say_nothing_of_the_gradients(world):
    """In real cells, most users have no held-out item in the clean top k.

    No member runs on these users.
    """
    more = pool((20, 5, 5, 5, 50))
    hit = np.arange(USERS) < 80
    more["arrays"]["member_broke"][~hit] = -1
    more["arrays"]["hit"] = hit
    for seed in (0, 1):
        world.cell(ranks(80, 99), seed=seed)
        world.cell(ranks(30, 99), seed=seed, attack="auto", epsilon=0.05, **more)
    assert "black-box beats white-box" in row(world.build()).flags


def test_a_search_that_came_before_a_gradient_attack_is_not_held_against_it(world):
    more = pool((20, 60, 60, None, 90))
    more["members"][3:] = more["members"][:2:-1]
    more["arrays"]["member_broke"] = more["arrays"]["member_broke"][:, [0, 1, 2, 4, 3]]
    more["arrays"]["member_broke"][90:, 4] = 0
    for seed in (0, 1):
        world.cell(ranks(USERS, 99), seed=seed)
        world.cell(ranks(110, 99), seed=seed, attack="auto", epsilon=0.05, **more)
    assert row(world.build()).flags == ""


def test_what_the_members_did_is_told_with_its_cost(world):
    (found,) = filled(world).build().ensembles
    assert (found.to_break, found.broken) == (USERS, 70)
    shares = {member.name: member.first_breaks for member in found.members}
    assert shares["random-noise"] == pytest.approx(20 / 70)
    assert shares["pgd-10"] == pytest.approx(40 / 70)
    assert shares["apgd"] == pytest.approx(10 / 70)
    assert {m.name: m.queries for m in found.members}["pgd-40"] == 42


def test_where_users_are_left_only_metrics_within_k_are_taken(world):
    world.metrics = ["ndcg@10", "ndcg@20", "ndcg@5", "rbo@10"]
    values = filled(world).build().values
    assert {str(row.metric) for row in values if row.cell.attack == "auto"} == {"ndcg@10", "ndcg@5"}
    assert {str(row.metric) for row in values if row.cell.attack == "none"} == {"ndcg@10", "ndcg@20", "ndcg@5"}


def test_a_search_through_scores_that_beats_every_gradient_attack_is_told(world):
    for left, flagged in ((60, True), (110, False)):
        world.cells.clear()
        for seed in (0, 1):
            world.cell(ranks(150, 99), seed=seed)
            world.cell(ranks(100, 99), seed=seed, attack="pgd", epsilon=0.05)
            world.cell(ranks(105, 99), seed=seed, attack="fgsm", epsilon=0.05)
            world.cell(ranks(left, 99), seed=seed, attack="random-search", epsilon=0.05)
        assert (row(world.build()).flags == "black-box beats white-box") == flagged


@pytest.mark.parametrize("order", [("pgd", "fgsm"), ("fgsm", "pgd")])
def test_a_search_is_compared_with_the_best_gradient_attack_whichever_came_last(world, order):
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        for attack in order:
            world.cell(ranks({"pgd": 60, "fgsm": 105}[attack], 99), seed=seed, attack=attack, epsilon=0.05)
        world.cell(ranks(80, 99), seed=seed, attack="random-search", epsilon=0.05)
    assert row(world.build()).flags == ""


@pytest.mark.parametrize(("attack", "kind"), [("pgd", "gradient"), ("cw", "minimum-norm")])
@pytest.mark.parametrize(("expectation", "flagged"), [(1, True), (8, False)])
def test_one_look_at_a_victim_that_draws_is_told(world, expectation, flagged, attack, kind):
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed, stochastic=0.1)
        more = {"stochastic": 0.1, "expectation": expectation, "kind": kind}
        world.cell(ranks(100, 99), seed=seed, attack=attack, epsilon=0.05, threat=L2, **more)
    assert ("attack without expectation" in row(world.build()).flags) == flagged


def test_ranks_are_within_one_model_on_tables_too(tmp_path):
    for surface, told in (("embedding", True), ("parameters", True), ("history", False)):
        threat = {**L2, "surface": surface}
        world = World(tmp_path / surface, [{**threat, "metric": "ndcg@10", "epsilon": 0.05}])
        for seed in (0, 1):
            world.cell(ranks(150, 99), seed=seed)
            losses = {"arrays": {"loss": np.ones(USERS), "clean_loss": np.ones(USERS)}}
            world.cell(ranks(100, 99), seed=seed, attack="pgd", epsilon=0.05, threat=threat, **losses)
        assert ("within one model" in to_markdown(world.build())) == told


def test_nothing_of_the_held_out_items_is_judged_where_items_are_promoted(tmp_path):
    promote = {**L2, "goal": "promote"}
    world = World(tmp_path / "w", [{**promote, "metric": "t-hr@10", "epsilon": 0.05}])
    world.targets["count"] = 20  # with fewer items the row would have low power
    targets = {"target_ranks": [[20] * USERS] * 20}
    for seed in (0, 1):
        world.cell(ranks(20, 99), seed=seed, arrays=targets)
        world.cell(ranks(20, 99), seed=seed, attack="pgd", epsilon=0.05, threat=promote, arrays=targets)
    assert row(world.build()).flags == ""


@pytest.mark.parametrize("left", [USERS, 60])
def test_a_loss_that_rises_and_leaves_the_ranks_is_told_of_an_ensemble(world, left):
    more = pool((20, 60, 60, 70, 50))
    more["arrays"] |= {"loss": np.full(USERS, 9.0), "clean_loss": np.ones(USERS)}
    for seed in (0, 1):
        world.cell(ranks(USERS, 99), seed=seed)
        world.cell(ranks(left, 99), seed=seed, attack="auto", epsilon=0.05, **more)
    assert ("loss up, ranks unchanged" in row(world.build()).flags) == (left == USERS)


# One shift of a model's tables affects all users. The damage of a member is the negated NDCG@10 that remains.
SHIFTS = [("random-noise", "floor", 20), ("pgd-20", "gradient", 23), ("apgd-bpr", "gradient", 31)]
SHIFTS += [("random-search", "black-box", 50)]


def shifts(left, queries=None):
    """Returns the arrays and the record rows of members that shift the tables.

    Member n leaves the first ``left[n]`` users at rank 1, and lowers the value of all other users to 0.
    """
    damage = np.stack([-(np.arange(USERS) < count).astype(float) for count in left], axis=1)
    asked = queries or [q for _, _, q in SHIFTS]
    rows = [
        {
            "name": name,
            "kind": kind,
            "everyone": False,
            "steps": None,
            "users": USERS,
            "queries": q * USERS,
            "gradients": 0,
            "damage": float(damage[:, n].mean()),
        }
        for n, ((name, kind, _), q) in enumerate(zip(SHIFTS, asked, strict=True))
    ]
    return {"arrays": {"member_damage": damage}, "members": rows, **VERSION}


@pytest.mark.parametrize(
    ("left", "queries", "flags", "ranked"),
    [
        ((150, 60, 90, 80), None, "", True),
        ((50, 150, 150, 60), None, "no better than random; black-box beats white-box", False),
        ((150, 90, 60, 30), None, "black-box beats white-box", False),
        ((150, 150, 60, 58), None, "", True),  # the gap is 1% of the clean value; one strong attack is enough
        ((50, 150, 150, 150), (99, 23, 31, 50), "", True),  # random points with more evaluations prove nothing
        ((50, 150, 40, 150), (20, 23, 31, 50), "", True),
    ],
)
def test_members_that_shift_tables_raise_the_alarms(tmp_path, left, queries, flags, ranked):
    world = World(tmp_path / "w", [PARAMETERS])
    for seed in (0, 1):
        world.cell(ranks(USERS, 99), seed=seed)
        more = shifts(left, queries)
        more["arrays"] |= {"hit": np.ones(USERS, dtype=bool), "loss": np.ones(USERS), "clean_loss": np.ones(USERS)}
        world.cell(ranks(min(left), 99), seed=seed, attack="auto", epsilon=0.05, threat=TABLES, **more)
    found = row(world.build())
    assert set(found.flags.split("; ")) == set(flags.split("; "))
    assert (found.rank is not None) == ranked


WORDS = {**TABLES, "surface": "text", "norm": "words", "goal": "promote"}


def test_on_titles_nobody_is_attacked_alone_and_tables_say_so(tmp_path):
    """Cells of attacks on titles have no array ``hit``.

    The tables describe the members by the effect on the promoted items.
    """
    world = World(tmp_path / "w", [{**WORDS, "metric": "t-hr@10", "epsilon": 1.0}])
    targets = {"target_ranks": [[5] * USERS]}
    for seed in (0, 1):
        world.cell(ranks(USERS, 99), seed=seed, arrays={"target_ranks": [[99] * USERS]})
        members = [
            {"name": name, "kind": kind, "everyone": False, "steps": None, "users": USERS, "queries": 9 * USERS}
            | {"gradients": 0, "damage": damage}
            for name, kind, damage in (("random-words", "floor", 0.1), ("hotflip", "gradient", 0.3))
        ]
        more = {"members": members, "arrays": targets, **VERSION}
        world.cell(ranks(USERS, 99), seed=seed, attack="auto", epsilon=1.0, threat=WORDS, **more)
    tables = world.build()
    (found,) = tables.ensembles
    assert (found.to_break, found.broken) == (None, None)
    assert {member.name: member.damage for member in found.members} == {"random-words": 0.1, "hotflip": 0.3}
    text = to_markdown(tables)
    assert "(auto@3)" in text
    assert "random-words .1000, hotflip .3000" in text


@pytest.mark.parametrize("goal", ["untargeted", "promote"])
def test_members_are_not_compared_where_items_are_promoted(tmp_path, goal):
    """Measures of promoted items and of held-out items have different scales."""
    threat = {**TABLES, "goal": goal}
    world = World(tmp_path / "w", [])
    more = shifts((50, 150, 150, 60))
    more["arrays"] |= {"hit": np.ones(USERS, dtype=bool), "loss": np.ones(USERS), "clean_loss": np.ones(USERS)}
    more["arrays"] |= {"target_ranks": [[5] * USERS]}
    for seed in (0, 1):
        world.cell(ranks(USERS, 99), seed=seed, arrays={"target_ranks": [[99] * USERS]})
        world.cell(ranks(50, 99), seed=seed, attack="auto", epsilon=0.05, threat=threat, **more)
    flags = {note.flag for entry in world.build().clean for note in entry.notes}
    assert ("no better than random" in flags) == (goal == "untargeted")


def test_a_gap_between_shifts_is_a_share_of_the_clean_value(tmp_path):
    """The clean value is one half, so 2% of this value is 1% of all users.

    Each seed has a different best gradient member.
    """
    for extra, told in ((0, False), (1, False), (7, True)):
        world = World(tmp_path / str(extra), [PARAMETERS])
        for seed, order in ((0, (60, 90)), (1, (90, 60))):
            world.cell(ranks(USERS // 2, 99), seed=seed)
            more = shifts((100, *order, 60 - extra))
            more["arrays"] |= {"hit": np.ones(USERS, dtype=bool), "loss": np.ones(USERS), "clean_loss": np.ones(USERS)}
            world.cell(ranks(50, 99), seed=seed, attack="auto", epsilon=0.05, threat=TABLES, **more)
        assert ("black-box beats white-box" in row(world.build()).flags) == told
