"""Tests how a run decides the state of every cell.

The run reads stored arrays once, and writes a skipped cell once.
"""

import importlib
import json
from pathlib import Path

import pytest
from tests.run.inline import SMALL, run

from robench.api.metric import Metric
from robench.files.sources import Sources
from robench.run.dependencies import Dependencies
from robench.run.todo import find_todo
from robench.store.folder import Store
from robench.store.record import to_text
from robench.store.seal import seal
from robench.tables.build import build_tables

SUITE = f"""
name: t
{SMALL}
models: [popularity, {{name: mf, factors: 4, epochs: 1}}]
attacks: [{{name: fgsm, epsilon: [0.1, 0.2]}}]
"""


class Likes(Metric):
    """A metric that needs the likes of a cell."""

    needs = "likes"


@pytest.fixture
def job(tmp_path):
    """Returns a finished run of six cells, two of which cannot be measured."""
    (tmp_path / "t.yaml").write_text(SUITE)
    return run(tmp_path / "t.yaml")


def todo_of(job, metrics=(), **options):
    plan = json.loads((job.store.folder / "plan.json").read_text())
    dependencies = Dependencies(job.registry, Sources())
    data = options.pop("data", plan["data_sha256"])
    return find_todo(job.cells, Store(job.store.folder), dependencies, metrics, data, **options)


def states(job, metrics=(), **options):
    """Returns the state of every cell, in the order of the plan."""
    todo = todo_of(job, metrics, **options)
    assert [cell.id for cell in todo.open(job.cells)] == [
        cell.id for cell in job.cells if todo.state(cell) in ("changed", "missing")
    ]
    found = [todo.state(cell) for cell in job.cells]
    assert all(todo.count(state) == found.count(state) for state in (*found, "stale"))
    return found


def edit(job, number, change):
    """Changes the record of a cell, and seals the record again."""
    path = job.store.cells / f"{job.cells[number].id}.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(to_text(seal(record)))


def test_every_cell_has_one_state(job):
    assert states(job) == ["stored", "skipped", "skipped", "stored", "stored", "stored"]
    edit(job, 0, lambda record: record.update(status="failed"))
    edit(job, 3, lambda record: record["provenance"]["code"].update(robench="of an earlier version"))
    edit(job, 4, lambda record: record["provenance"].update(data_sha256="of other data"))
    (job.store.cells / f"{job.cells[5].id}.npz").write_bytes(b"damaged")
    assert states(job) == ["missing", "skipped", "skipped", "stale", "changed", "missing"]
    (job.store.cells / f"{job.cells[5].id}.json").unlink()
    assert states(job)[5] == "missing"
    assert states(job, data={}) == ["missing", "skipped", "skipped", "changed", "changed", "missing"]


def test_a_cell_of_another_type_of_device_is_stale_and_the_note_names_both(job):
    for number in (0, 3, 4):
        edit(job, number, lambda record: record["provenance"].update(device="cuda:1"))
    edit(job, 5, lambda record: record["provenance"]["code"].update(robench="of an earlier version"))
    # Cell 0 belongs to popularity, which never uses a GPU.
    assert states(job, device="cpu") == ["stored", "skipped", "skipped", "stale", "stale", "stale"]
    assert states(job, device="cuda:0") == ["stored", "skipped", "skipped", "stored", "stored", "stale"]
    todo = todo_of(job, device="cpu")
    assert todo.notes() == [
        "stale: 1 stored cell: code or weights have changed since; --fresh measures again",
        "stale: 2 stored cells: measured on cuda, and this run uses cpu; --fresh measures again",
    ]


def test_the_device_is_found_only_if_a_cell_of_a_neural_model_is_stored(job, monkeypatch):
    def asked(name):
        raise AssertionError(name)

    monkeypatch.setattr(importlib.import_module("robench.run.todo"), "device_type", asked)
    assert states(job, fresh=True)[3] == "missing"
    with pytest.raises(AssertionError, match="auto"):
        states(job, device="auto")


def test_a_fresh_run_measures_everything_that_can_be_measured(job):
    assert states(job, fresh=True) == ["missing", "skipped", "skipped", "missing", "missing", "missing"]


def test_a_cell_without_likes_is_missing_if_a_metric_needs_them(job):
    assert states(job, metrics=[Likes()])[0] == "missing"
    edit(job, 0, lambda record: record["diagnostics"].update(calibration_a=1.0))
    assert states(job, metrics=[Likes()])[0] == "stored"


def test_a_stored_array_is_read_once_per_run(job, tmp_path, monkeypatch):
    reads, folder = [], importlib.import_module("robench.store.folder")
    read_file = folder.read_file

    def counted(path, *most):
        if Path(path).parent == job.store.cells:
            reads.append(Path(path).name)
        return read_file(path, *most)

    monkeypatch.setattr(folder, "read_file", counted)
    again = run(tmp_path / "t.yaml")
    build_tables(again.store.folder, again.registry.metrics(again.suite.metrics), again.store)
    arrays = [name for name in reads if name.endswith(".npz")]
    assert sorted(arrays) == sorted(f"{cell.id}.npz" for cell in job.cells if not cell.skip)


def test_a_skipped_cell_is_written_once(job, tmp_path):
    paths = [job.store.cells / f"{cell.id}.json" for cell in job.cells if cell.skip]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths]
    assert len(before) == 2
    assert run(tmp_path / "t.yaml").summary.skipped == 2
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in paths] == before
    paths[0].write_text("damaged")
    edit(job, 2, lambda record: record.update(reason="another reason"))
    run(tmp_path / "t.yaml")
    assert [path.read_bytes() for path in paths] == [content for content, _ in before]


def test_a_skipped_cell_is_never_written_over_a_measured_one(job, tmp_path):
    measured = json.loads((job.store.cells / f"{job.cells[0].id}.json").read_text())
    own = ("id", "victim", "spec", "passed")
    edit(job, 1, lambda record: record.update({**measured, **{name: record[name] for name in own}}))
    path = job.store.cells / f"{job.cells[1].id}.json"
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert run(tmp_path / "t.yaml", fresh=True).summary.skipped == 2
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
