"""Tests that ``robench show`` says what the tables say."""

import io
import json

import numpy as np
import pytest
from rich.console import Console
from tests.fakes import EMBEDDING, USERS, World, ranks

from robench.api.errors import UserError
from robench.entrance.show import show
from robench.entrance.tables import read_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.choices import Form, Shown
from robench.report.files import build_texts
from robench.tables.leaderboard import build_leaderboard

WARNING = "INCOMPLETE: cells of these models failed or are missing: lstm (1 of 1)."


@pytest.fixture(scope="module")
def registry():
    return Registry.of(Host.discover())


@pytest.fixture
def world(tmp_path):
    """Returns a folder with one undefended and one defended row.

    The defended row has a significant gain. The last cell of the folder belongs to this row.
    """
    world = World(tmp_path / "w", [EMBEDDING])
    for seed in range(4):
        for weight, left in ((1.0, 60), (0.5, 90 + seed)):
            world.cell(ranks(150, 99), seed=seed, weight=weight)
            world.cell(ranks(left, 99), seed=seed, weight=weight, attack="pgd", epsilon=0.05)
    return world


def shown(path, registry, user=None):
    out = io.StringIO()
    show(path, user, registry, Console(file=out, width=300))
    return out.getvalue()


def verdict(folder, registry):
    (table,) = build_leaderboard(read_folder(folder, registry))
    (found,) = (row.verdict for row in table.rows if row.verdict)
    return found


def test_a_folder_and_an_attacked_cell_have_the_verdict_of_the_leaderboard(world, registry):
    world.build()
    folder, last = world.store.folder, world.cells[-1]["cell"]
    gains = verdict(folder, registry)
    assert gains.startswith("gains +.1")
    assert gains in shown(folder, registry)
    assert f"ndcg@10 under embedding, l2, untargeted, ε ≤ 0.05 (custom attack set): rank 1; {gains}" in shown(
        folder / last, registry
    )
    twin = next(cell for cell in world.cells if cell["attack"] == "pgd" and cell["lambda"] == 1)
    assert "rank 2; no verdict" in shown(folder / twin["cell"], registry)
    assert "verdict" not in shown(folder / world.cells[0]["cell"], registry)  # a clean cell


def test_the_warning_of_an_incomplete_folder_comes_first(world, registry):
    world.build()
    folder, last = world.store.folder, world.cells[-1]["cell"]
    assert not any("INCOMPLETE" in shown(path, registry) for path in (folder, folder / last))
    world.cell([], model="lstm", status="missing")
    world.build()
    for path in (folder, folder / last):
        assert shown(path, registry).startswith(WARNING)


def test_a_folder_without_results_is_one_line(tmp_path, registry, caplog):
    with pytest.raises(UserError, match="not a folder of results"):
        shown(tmp_path, registry)
    assert not caplog.messages


def test_a_record_is_shown_if_the_tables_cannot_be_made(world, registry, caplog):
    world.metrics = ["unheard-of@10"]
    world.ranking = []
    with pytest.raises(KeyError):
        world.build()
    text = shown(world.store.folder / world.cells[-1]["cell"], registry)
    assert " ok " in text
    assert "no verdict is shown" in caplog.text


def test_the_tables_of_a_folder_are_printed_without_writing_a_file(world, registry, capsys):
    tables = world.build()
    before = sorted(path.name for path in world.store.folder.iterdir())
    show(world.store.folder, None, registry, Console(width=120), Shown.RANKING)
    assert "gains +.1" in capsys.readouterr().out
    show(world.store.folder, None, registry, Console(), form=Form.CSV)
    assert capsys.readouterr().out == build_texts(tables)["leaderboard.csv"]
    assert sorted(path.name for path in world.store.folder.iterdir()) == before


def test_a_record_is_printed_as_json_and_in_no_other_format(world, registry, capsys):
    world.build()
    cell = world.store.folder / world.cells[-1]["cell"]
    show(cell, None, registry, Console(), form=Form.JSON)
    assert json.loads(capsys.readouterr().out)["id"] == world.cells[-1]["cell"]
    with pytest.raises(UserError, match="--format: a record is printed as text or json"):
        show(cell, None, registry, Console(), form=Form.CSV)
    with pytest.raises(UserError, match="--tables: a cell has no tables"):
        show(cell, None, registry, Console(), Shown.ALL)
    with pytest.raises(UserError, match="--tables: only text has a choice of tables"):
        show(world.store.folder, None, registry, Console(), Shown.ALL, Form.CSV)


def test_a_cell_shows_its_groups_of_users_and_names_the_worst(world, registry):
    world.facts(history_length=np.arange(USERS) * 3 // USERS)
    world.build()
    for cell in world.cells[-2:]:  # clean and attacked
        text = shown(world.store.folder / cell["cell"], registry).partition("groups of users")[2]
        rows = [line for line in text.splitlines() if "activity" in line]
        assert len(rows) == 3
        assert ["high" in row for row in rows if "worst" in row] == [True]
