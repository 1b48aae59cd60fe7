"""Tests the clean values that no ranking table shows."""

import csv
import io
import re

import pytest
from rich.console import Console
from tests.fakes import EMBEDDING, METRICS, USERS, World, ranks

from robench.api.metric import Measure
from robench.entrance.results import frame_of
from robench.report.files import write_tables
from robench.report.page import to_page
from robench.report.terminal import print_leaderboard
from robench.tables.leaderboard import LeaderboardRow
from robench_plugins.metrics.ranking import HitRate


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / "w", [EMBEDDING])


@pytest.fixture
def two(world, monkeypatch):
    monkeypatch.setitem(METRICS, "hr", HitRate())
    world.metrics = ["ndcg@10", "hr@10"]
    world.ranking = []
    return world


@pytest.mark.usefixtures("undrawn")
def test_clean_cells_that_no_table_shows_have_a_table_of_their_own(world):
    for seed in (0, 1):
        world.cell(ranks(20, 99), model="popularity", seed=seed)
        world.cell(ranks(100, 99), model="ease", seed=seed)
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(50, 99), seed=seed, attack="a", epsilon=0.05)
    tables = world.build()
    assert [row.key.model for row in tables.clean] == ["ease"]
    (found,) = tables.clean
    assert found.values[Measure("ndcg", 10)].mean == 0.5
    assert (found.users_hit, found.users, found.seeds, found.flags) == (100, USERS, 2, "")
    write_tables(tables, world.store.folder)
    text = (world.store.folder / "leaderboard.md").read_text()
    assert "## d, s: clean values" in text
    assert "| ease    | none      | .5000 [" in text
    assert "100 of 200" in text


@pytest.mark.usefixtures("undrawn")
def test_a_suite_without_attacks_shows_its_clean_values(two):
    for seed in (0, 1):
        two.cell(ranks(20, 99), model="popularity", seed=seed)
        two.cell(ranks(10, 99), seed=seed)
    tables = two.build()
    assert [(row.key.model, row.flags) for row in tables.clean] == [
        ("popularity", ""),
        ("mf", "not above popularity"),
    ]
    out = io.StringIO()
    print_leaderboard(tables, Console(file=out, width=80))
    write_tables(tables, two.store.folder)
    text = (two.store.folder / "leaderboard.md").read_text()
    for shown in (out.getvalue(), text, to_page(tables)):
        assert "clean values" in shown
        assert "20 of 200" in shown
        assert "The suite has no attacks, so rows have no rank." in shown
    assert len(re.findall(r" \[\.\d{4}, \.\d{4}\]  \[\.\d{4}, \.\d{4}\]", out.getvalue())) == 2
    assert "defence" not in out.getvalue()


@pytest.mark.usefixtures("undrawn")
def test_a_suite_without_attacks_has_one_row_per_victim_and_metric_in_leaderboard_csv(two):
    for seed in (0, 1):
        two.cell(ranks(20, 99), model="popularity", seed=seed)
        two.cell(ranks(10, 99), seed=seed)
        two.cell([7] * USERS, model="ease", seed=seed)
    tables = two.build()
    write_tables(tables, two.store.folder)
    rows = list(csv.DictReader((two.store.folder / "leaderboard.csv").read_text().splitlines()))
    assert [(row["model"], row["metric"], row["clean"]) for row in rows] == [
        ("popularity", "ndcg@10", "0.1"),
        ("popularity", "hr@10", "0.1"),
        ("mf", "ndcg@10", "0.05"),
        ("mf", "hr@10", "0.05"),
        ("ease", "ndcg@10", "0.3333333333"),
        ("ease", "hr@10", "1"),
    ]
    for row in rows:
        assert float(row["clean_low"]) <= float(row["clean"]) <= float(row["clean_high"])
        assert (row["dataset"], row["split"], row["seeds"], row["users"]) == ("d", "s", "2", "200")
        for name in ("rank", "surface", "stage", "norm", "k", "epsilon", "attack_set", "worst", "drop", "p_value"):
            assert row[name] == ""
    frame = frame_of(LeaderboardRow, tables.csv_rows())
    assert frame[["rank", "surface", "k", "epsilon", "worst"]].isna().to_numpy().all()
    assert frame["clean"].tolist() == [row.clean for row in tables.csv_rows()]


def test_a_suite_with_an_attack_has_no_rows_without_one(world):
    world.cell(ranks(100, 99), model="ease")
    world.cell(ranks(150, 99))
    cell = world.cell(ranks(50, 99), attack="a", epsilon=0.05)
    assert [row.key.model for row in world.build().csv_rows()] == ["mf"]
    (world.store.cells / f"{cell['cell']}.json").unlink()  # the attack is not measured yet
    assert world.build().csv_rows() == []
