"""Tests that an incomplete folder says so at the top of every output."""

import io
import json

from rich.console import Console
from tests.fakes import EMBEDDING, World, ranks

from robench.report.files import to_json
from robench.report.markdown import to_markdown
from robench.report.page import to_page
from robench.report.terminal import print_leaderboard

WARNING = "INCOMPLETE: cells of these models failed or are missing: lstm (2 of 3)."


def outputs(tables):
    terminal = io.StringIO()
    print_leaderboard(tables, Console(file=terminal, width=200))
    return [terminal.getvalue(), to_markdown(tables), to_page(tables, drawn=False)]


def test_every_output_begins_with_the_models_that_lack_cells(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for model, status in (("mf", "ok"), ("lstm", "missing")):
        world.cell(ranks(150, 99), model=model)
        world.cell(ranks(50, 99), model=model, attack="a", epsilon=0.05, status=status)
    world.cell([], model="lstm", attack="b", epsilon=0.05, status="failed")
    tables = world.build()
    for text in outputs(tables):
        assert text.index(WARNING) < text.index("ndcg@10")
    plain = json.loads(to_json(tables))
    assert plain["incomplete"] == [{"model_label": "lstm", "planned": 3, "lacking": 2}]
    assert list(plain)[:3] == ["format_version", "suite", "incomplete"]


def test_a_complete_folder_has_no_warning(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    world.cell(ranks(150, 99))
    world.cell(ranks(50, 99), attack="a", epsilon=0.05)
    tables = world.build()
    assert not any("INCOMPLETE" in text for text in outputs(tables))
    assert "incomplete" not in json.loads(to_json(tables))
