"""Tests comparisons of two folders, and of two rows, against the tables."""

import json
from contextlib import suppress

import numpy as np
import pytest
from rich.console import Console
from tests.fakes import EMBEDDING, L2, MEMBER, PROMOTED, PROVENANCE, USERS, World, ranks

from robench.api.errors import UserError
from robench.comparison.board import compare_boards
from robench.comparison.differences import SAME
from robench.comparison.forms import print_comparison
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.choices import Form
from robench.tables.stats import estimate_mean

HISTORY = {**L2, "surface": "history", "norm": "edits"}
EDITS = {**HISTORY, "metric": "ndcg@10", "epsilon": 0.05}


@pytest.fixture(scope="module")
def registry():
    return Registry.of(Host.discover())


def board(folder, *, left=60, seeds=range(3), models=("mf",), weights=(1.0,), ranking=(EMBEDDING,), **more):
    """Writes a folder of results, and builds its tables.

    Under attack, ``left + seed`` users of an undefended victim keep their held-out item in the list. Defended victims
    keep a few more.
    """
    world = World(folder, list(ranking))
    for seed in seeds:
        for model in models:
            for weight in weights:
                gain = 0 if weight == 1 else 15 + 3 * seed
                world.cell(ranks(150, 99), model=model, seed=seed, weight=weight, **more.get("clean", {}))
                attack = {"attack": "pgd", "epsilon": 0.05, **more.get("attack", {})}
                world.cell(ranks(left + gain + seed, 99), model=model, seed=seed, weight=weight, **attack)
    with suppress(UserError):  # a folder of another version of a metric has no tables
        world.build()
    return world


@pytest.fixture
def compare(tmp_path, registry):
    """Returns a function that compares two folders below the folder of the test."""

    def run(*rows, a="a", b="b"):
        return compare_boards(tmp_path / a, None if b is None else tmp_path / b, rows, registry)

    return run


def reasons(comparison):
    return {one.what: one.why for one in comparison.obstacles}


def test_a_folder_compared_with_itself_differs_in_nothing(tmp_path, compare):
    board(tmp_path / "a", weights=(1.0, 0.5))
    comparison = compare(b="a")
    assert len(comparison.differences) == 4
    for one in comparison.differences:
        assert one.interval == (0.0, 0.0, 0.0)
        assert (one.verdict, one.p_value) == (SAME, 1.0)
    assert comparison.obstacles == ()
    assert comparison.notes == ("the same records: 12 of 12 cells of A are also in B, so they are one measurement",)


def test_two_folders_are_paired_over_users_and_seeds(tmp_path, compare):
    board(tmp_path / "a", left=60)
    board(tmp_path / "b", left=80)
    clean, worst = compare().differences
    values = np.zeros((3, USERS))
    for seed in range(3):
        values[seed, 60 + seed : 80 + seed] = 1.0
    gap = estimate_mean(values)
    assert (clean.verdict, clean.value) == (SAME, "clean")
    assert (worst.seeds, worst.units, worst.value) == (3, USERS, "worst case")
    assert worst.interval == pytest.approx(gap.interval())
    assert worst.p_value == pytest.approx(gap.compute_p())
    assert worst.verdict.startswith("gains +.1000 [")
    assert (worst.a, worst.b) == pytest.approx((61 / USERS, 81 / USERS))
    swapped = compare(a="b", b="a").differences[1]
    assert swapped.verdict.startswith("loses -.1000 [")


def test_two_rows_have_the_p_value_and_the_verdict_of_the_leaderboard(tmp_path, compare):
    world = board(tmp_path / "a", weights=(1.0, 0.5))
    (table,) = world.build().leaderboard
    (row,) = (row for row in table.rows if row.verdict)
    _, worst = compare("mf", "mf, at λ=0.5", b=None).differences
    assert (worst.p_value, worst.verdict) == (row.p_value, row.verdict)
    _, other = compare("MF", "mf lambda=0.5", b=None).differences
    assert other == worst


@pytest.mark.parametrize(("places", "word"), [(120, "loses"), (10, "gains")])
def test_a_row_that_promotes_more_targets_loses(tmp_path, compare, places, word):
    for name, raised in (("a", 60), ("b", places)):
        world = World(tmp_path / name, [{**PROMOTED, "metric": "t-hr@10", "epsilon": 0.05}])
        world.targets = {"count": 20, "pick": "all", "sets": 1}
        for seed in range(3):
            clean, attacked = ([ranks(left + seed + place, 99) for place in range(20)] for left in (5, raised))
            world.cell([1] * USERS, seed=seed, arrays={"target_ranks": clean})
            attack = {"attack": "pgd", "epsilon": 0.05, "threat": PROMOTED, "arrays": {"target_ranks": attacked}}
            world.cell([1] * USERS, seed=seed, **attack)
        world.build()
    (found,) = (one for one in compare().differences if one.value == "attacked")
    assert found.difference == pytest.approx((places - 60) / USERS)
    assert found.verdict.startswith(word)


def test_without_a_common_seed_fits_are_paired_in_order(tmp_path, compare):
    board(tmp_path / "a", seeds=range(3))
    board(tmp_path / "b", seeds=range(3, 7), left=90)
    _, worst = compare().differences
    assert worst.seeds == 3
    assert worst.note == "no common seed: seeds 0, 1, 2 are paired with 3, 4, 5"
    assert worst.verdict.startswith("gains")


def test_one_pair_of_fits_gives_no_verdict(tmp_path, compare):
    board(tmp_path / "a", seeds=[0])
    board(tmp_path / "b", seeds=[1], left=140)
    _, worst = compare().differences
    assert (worst.p_value, worst.verdict, worst.seeds) == (None, "", 1)
    assert "one pair of fits gives no verdict" in worst.note
    assert worst.difference_low > 0


def test_only_common_seeds_and_users_count(tmp_path, compare):
    board(tmp_path / "a", seeds=range(3))
    shifted = {"arrays": {"users": np.arange(USERS) + 50}}
    board(tmp_path / "b", seeds=range(1, 5), clean=shifted, attack=shifted)
    _, worst = compare().differences
    assert (worst.seeds, worst.units) == (2, USERS - 50)
    assert worst.note == "only the common seeds 1, 2 count; only the common users count"
    values = np.zeros((2, USERS - 50))  # the users 50 to 199: in A, users below 60 + seed keep their item
    for place, seed in enumerate((1, 2)):
        values[place, : 60 + seed] = 1.0
        values[place, : 10 + seed] -= 1.0
    assert worst.difference == pytest.approx(values.mean())


def test_other_data_cannot_be_compared(tmp_path, compare, monkeypatch):
    board(tmp_path / "a")
    monkeypatch.setitem(PROVENANCE, "data_sha256", "of other data")
    board(tmp_path / "b")
    comparison = compare()
    assert comparison.differences == ()
    assert reasons(comparison) == {"d, s": "different data: sha256 of the data in A, of other dat in B"}


def test_another_version_of_a_metric_cannot_be_compared(tmp_path, compare):
    board(tmp_path / "a")
    board(tmp_path / "b", clean={"version": 2}, attack={"version": 2})
    comparison = compare()
    assert comparison.differences == ()
    assert set(reasons(comparison).values()) == {"different versions of ndcg@10: 1 in A, 2 in B, 1 in this robench"}


def test_another_threat_model_metric_or_budget_is_named(tmp_path, compare):
    board(tmp_path / "a")
    board(tmp_path / "b", ranking=[{**EMBEDDING, "epsilon": 0.1}])
    board(tmp_path / "c", ranking=[{**EMBEDDING, "norm": "linf"}])
    board(tmp_path / "d", ranking=[{**EMBEDDING, "metric": "rbo@10"}])
    board(tmp_path / "e", clean={"dataset": "other"}, attack={"dataset": "other"})
    title = "d, s: ndcg@10 under embedding, l2, untargeted, ε ≤ 0.05"
    assert reasons(compare())[title] == "B has this table for ε ≤ 0.1"
    assert reasons(compare(b="c"))[title] == "B has no such threat model"
    assert reasons(compare(b="d"))[title] == "B has this threat model for rbo@10"
    assert reasons(compare(b="e"))["d, s"] == "B has no such data set and split"


def test_another_attack_set_is_named(tmp_path, compare):
    title = "d, s: ndcg@10 under embedding, l2, untargeted, ε ≤ 0.05"
    board(tmp_path / "a")
    board(tmp_path / "b", attack={"attack": "fgsm"})
    board(tmp_path / "c", attack={"config": {"steps": 40}})
    board(tmp_path / "d", attack={"epsilon": 0.04})
    for name, version in (("e", 1), ("f", 2)):
        board(
            tmp_path / name,
            attack={"attack": "auto", "config": {"version": version}, "members": [{**MEMBER, "first_breaks": 0}]},
        )
    assert reasons(compare())[title] == "different attack sets: pgd in A, fgsm in B"
    assert reasons(compare(b="c"))[title] == "different settings of pgd"
    assert reasons(compare(b="d"))[title] == "different attack sets: only one side has pgd ε=0.04, pgd ε=0.05"
    comparison = compare(a="e", b="f")
    assert reasons(comparison)[title] == "different versions of the ensemble: auto@1 in A, auto@2 in B"
    assert [one.value for one in comparison.differences] == ["clean"]


def test_an_incomplete_row_and_a_row_of_one_side_are_named(tmp_path, compare):
    board(tmp_path / "a", models=("mf", "lstm"))
    world = World(tmp_path / "b", [EMBEDDING])
    for seed in range(3):
        for model in ("mf", "ease"):
            world.cell(ranks(150, 99), model=model, seed=seed)
            world.cell(ranks(60, 99), model=model, seed=seed, attack="pgd", epsilon=0.05, status="missing")
    world.build()
    why = reasons(compare())
    assert why["lstm, none"] == "only A has this row"
    assert why["ease, none"] == "only B has this row"
    title = "d, s: ndcg@10 under embedding, l2, untargeted, ε ≤ 0.05"
    assert why[f"{title}: mf, none"] == "B is incomplete: pgd ε=0.05 is missing in seeds 0, 1, 2"


def test_models_that_no_table_orders_are_compared_by_their_clean_values_only(tmp_path, compare):
    board(tmp_path / "a", models=("mf", "lstm"))
    comparison = compare("mf", "lstm", b=None)
    assert [one.value for one in comparison.differences] == ["clean"]
    assert [one.why for one in comparison.obstacles] == [
        "models are ranked separately in this table: the same ε is not the same strength for two models"
    ]
    board(tmp_path / "b", models=("mf", "lstm"), ranking=[EDITS], attack={"attack": "greedy", "threat": HISTORY})
    assert [one.value for one in compare("mf", "lstm", a="b", b=None).differences] == ["clean", "worst case"]


def test_a_row_without_a_rank_has_no_verdict(tmp_path, compare):
    for name, left in (("a", 10), ("b", 20)):
        world = World(tmp_path / name, [EMBEDDING])
        for seed in range(3):
            world.cell(ranks(40, 99), seed=seed)
            world.cell(ranks(left + seed, 99), seed=seed, attack="pgd", epsilon=0.05)
        world.build()
    _, worst = compare().differences
    assert (worst.verdict, worst.p_value) == ("", None)
    assert worst.note == "no verdict, because A and B have no rank: low power"


def test_a_copied_measurement_under_another_name_is_named(tmp_path, compare):
    board(tmp_path / "a", models=("mf", "mine"), ranking=[EDITS], attack={"attack": "greedy", "threat": HISTORY})
    comparison = compare("mf", "mine", b=None)
    assert {one.verdict for one in comparison.differences} == {SAME}
    (note,) = comparison.notes
    assert note.startswith("one measurement under two names: the arrays of 6 pairs of cells are equal")


def test_a_record_under_another_name_counts_as_missing(tmp_path, compare):
    world = board(tmp_path / "a")
    board(tmp_path / "b", left=80)
    (clean, attacked, *_) = (cell["cell"] for cell in world.cells)
    cells = tmp_path / "b" / "cells"
    (cells / f"{attacked}.json").write_bytes((cells / f"{clean}.json").read_bytes())
    _, worst = compare().differences
    assert worst.seeds == 2, "the copy is refused, so its seed is missing"


def test_other_settings_under_one_name_are_named(tmp_path, compare):
    board(tmp_path / "a", weights=(0.5,))
    board(tmp_path / "b", weights=(0.5,), clean={"settings": {"margin": 2}}, attack={"settings": {"margin": 2}})
    assert all("different settings: defense.margin – in A, 2 in B" in one.note for one in compare().differences)


def test_a_mistake_is_one_line(tmp_path, compare):
    board(tmp_path / "a", weights=(1.0, 0.5, 0.75))
    with pytest.raises(UserError, match="--row: give two folders, or two rows of a folder"):
        compare("mf", b=None)
    with pytest.raises(UserError, match=r"a: --row: no row 'lstm' \(.*known: mf, at λ=0.5; mf, at λ=0.75; mf, none"):
        compare("mf", "lstm", b=None)
    with pytest.raises(UserError, match=r"'at' names 2 rows \(mf, at λ=0.5; mf, at λ=0.75\)"):
        compare("mf", "at", b=None)
    with pytest.raises(UserError, match=r"nowhere: .*no plan.json|nowhere"):
        compare(b="nowhere")


def test_every_format_has_the_same_numbers(tmp_path, compare, capsys):
    board(tmp_path / "a", weights=(1.0, 0.5))
    board(tmp_path / "b", left=80, weights=(1.0, 0.5))
    comparison = compare()
    texts = {}
    for form in (Form.TEXT, Form.MD, Form.CSV, Form.JSON):
        print_comparison(comparison, Console(width=200), form)
        texts[form] = capsys.readouterr().out
    plain = json.loads(texts[Form.JSON])
    assert [one["verdict"] for one in plain["differences"]] == [one.verdict for one in comparison.differences]
    lines = texts[Form.CSV].splitlines()
    assert len(lines) == 1 + len(comparison.differences)
    assert lines[0].startswith("dataset,split,surface,stage,norm,scale,goal,k,epsilon,metric,value,row_a,row_b,a,b,")
    for form in (Form.TEXT, Form.MD):
        assert ".1000 [" in texts[form]
        assert "gains" in texts[form]
    with pytest.raises(UserError, match="--format: a comparison is text, md, csv or json"):
        print_comparison(comparison, Console(), Form.LATEX)
