"""Tests that a partial run does not replace complete rows with incomplete ones."""

import logging
import sys
from pathlib import Path

import pytest
from rich.console import Console
from tests.run.inline import SMALL, run

from robench.api.errors import UserError
from robench.entrance.tables import read_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.files import build_texts
from robench.report.page import to_page
from robench.report.record import show_cell
from robench.run.preview import make_preview
from robench.store.folder import Store
from robench.tables.build import make_tables
from robench_plugins.models.mf import MatrixFactorization

SUITE = f"""
name: t
seeds: [0, 1]
{SMALL}
models: [{{name: mf, factors: 4, epochs: 1}}, {{name: mf, label: wide, factors: 8, epochs: 1}}]
attacks: [{{name: random-noise, epsilon: 0.1, draws: 1}}]
"""

OUTPUTS = ("leaderboard.csv", "leaderboard.md", "leaderboard.json")


@pytest.fixture
def suite(tmp_path) -> Path:
    """Returns a suite file, after a complete run."""
    path = tmp_path / "t.yaml"
    path.write_text(SUITE)
    run(path)
    return path


def tables(suite):
    return make_tables(read_folder(suite.parent / "results", Registry.of(Host.discover())))


def rows(suite):
    return {row.key.model_label: row for row in tables(suite).rows()}


def values(row):
    return row.clean, row.clean_low, row.worst, row.worst_low, row.seeds


def fail(monkeypatch):
    def broken(self, batch, e):
        raise ValueError("it broke")

    monkeypatch.setattr(MatrixFactorization, "score_from", broken)


def test_cells_that_fail_when_measured_again_keep_their_earlier_measurement(suite, monkeypatch):
    before = rows(suite)
    with monkeypatch.context() as patch:
        fail(patch)
        job = run(suite, only=("model=wide",), fresh=True)
    assert (job.summary.measured, len(job.summary.failures)) == (0, 4)
    assert "the earlier measurement stays" in job.summary.failures[0].error
    after = rows(suite)
    assert after.keys() == before.keys()
    assert values(after["wide"]) == values(before["wide"])
    assert "re-run failed: 4 of 4 cells" in after["wide"].flags
    assert after["mf"] == before["mf"]
    assert not tables(suite).incomplete
    made = tables(suite)
    for text in (*(build_texts(made)[name] for name in OUTPUTS), to_page(made, drawn=False)):
        assert "re-run failed: 4 of 4 cells" in text


def test_the_next_run_measures_such_cells_again(suite, monkeypatch):
    before = rows(suite)
    with monkeypatch.context() as patch:
        fail(patch)
        run(suite, only=("model=wide",), fresh=True)
    job = run(suite)
    assert (job.summary.measured, job.summary.failures) == (4, [])
    assert rows(suite) == before


def test_show_prints_the_error_of_the_later_measurement(suite, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        fail(patch)
        job = run(suite, only=("model=wide",), fresh=True)
    show_cell(suite.parent / "results" / job.summary.failures[0].cell, None, Console(file=sys.stdout, width=100))
    shown = capsys.readouterr().out
    assert "it broke" in shown
    assert "ndcg@10" in shown


def test_a_measurement_on_other_data_is_not_kept(suite, monkeypatch):
    store = Store(suite.parent / "results")
    cell = next(cell for cell in run(suite).cells if cell.victim.model.label == "wide")
    record = store.read(cell.id)
    other = {**record, "provenance": {**record["provenance"], "data_sha256": "other"}}
    store.write(other, store.arrays(record))
    with monkeypatch.context() as patch:
        fail(patch)
        run(suite, only=("model=wide",), fresh=True)
    assert Store(suite.parent / "results").read(cell.id)["status"] == "failed"


def test_a_row_with_an_unfinished_seed_keeps_its_complete_seeds(suite):
    before = rows(suite)
    suite.write_text(SUITE.replace("[0, 1]", "[0, 1, 2]"))
    run(suite, only=("model=wide",))
    after = rows(suite)
    assert values(after["mf"]) == values(before["mf"])
    assert "incomplete: 4 of 6 cells" in after["mf"].flags
    assert [model.model_label for model in tables(suite).incomplete] == ["mf"]


def test_overrides_take_no_cell_of_the_suite_file_out_of_the_tables(suite):
    before = rows(suite)
    for overrides in (("seeds=[0]",), ("attacks[0].epsilon=0.2",), ("models[0].factors=6",)):
        for start in (run, preview):
            with pytest.raises(UserError, match=r"--set would remove \d measured cells? \(\d of ") as caught:
                start(suite, overrides=overrides)
            assert "another --results" in caught.value.hint
            assert "\n" not in str(caught.value)
    assert rows(suite) == before


def preview(suite, overrides=()):
    return make_preview(suite, Registry.of(Host.discover()), suite.parent / "results", overrides, ())


def test_overrides_may_add_cells_and_may_drop_cells_that_no_file_plans(suite):
    run(suite, overrides=("seeds=[0, 1, 2]",), only=("model=wide",))
    job = run(suite, overrides=("seeds=[0, 1]",))
    assert job.summary.measured == 0


def test_a_changed_suite_file_names_the_models_that_it_drops(suite, caplog):
    suite.write_text(SUITE.replace(", {name: mf, label: wide, factors: 8, epochs: 1}", "").replace("[0, 1]", "[1]"))
    note = "no longer in the plan: 6 measured cells (2 of mf, 4 of wide): they stay stored, and no table uses them"
    assert note in preview(suite).notes
    with caplog.at_level(logging.WARNING):
        run(suite)
    assert note in caplog.messages
