"""Tests ``robench pack`` and the folders that the command packs.

A packed folder gives the same tables, lists and frames as the original folder. A run can continue from a packed folder.
"""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

import robench as entrance
from robench.store import archive
from robench.store.archive import hash_cell, hash_file, hash_manifest
from robench.store.folder import Store

SUITE = """
name: s
seeds: [0]
datasets: [{name: synthetic, users: 60, items: 40, interactions_per_user: 10}]
models: [popularity, {name: mf, factors: 4, epochs: 2}]
defenses: [none, {name: gaussian, label: noise}]
attacks: [{name: fgsm, epsilon: [0.05, 0.1]}, {name: bandwagon, epsilon: 0.1}]
targets: {count: 2, sets: 1}
"""
TABLES = ("leaderboard.csv", "leaderboard.json", "leaderboard.md", "cells.csv", "timings.csv", "index.html")
PUBLISHED = {*TABLES, "suite.yaml", "plan.json", "records.jsonl", "arrays.npz", "MANIFEST.json"}


@pytest.fixture(scope="module")
def finished(robench, tmp_path_factory):
    """Returns the working folder of a finished run.

    The folder holds s.yaml and results/s.
    """
    place = tmp_path_factory.mktemp("finished")
    (place / "s.yaml").write_text(SUITE)
    done = robench(place, "run", "s.yaml", "--workers", "1")
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def place(finished, tmp_path):
    """Returns the working folder of a copy of the finished run."""
    return shutil.copytree(finished, tmp_path / "copy")


@pytest.fixture(scope="module")
def published(robench, finished, tmp_path_factory):
    """Returns the working folder of a copy of the finished run, with packed results.

    No test changes the folder.
    """
    place = shutil.copytree(finished, tmp_path_factory.mktemp("published") / "copy")
    done = robench(place, "pack", "results/s")
    assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def packed(published, tmp_path):
    """Returns a copy of ``published``."""
    return shutil.copytree(published, tmp_path / "packed")


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_published_form_is_these_files_and_packing_twice_gives_the_same_bytes(robench, packed):
    folder = packed / "results/s"
    first = content(folder)
    assert set(first) == PUBLISHED
    assert robench(packed, "pack", "results/s").returncode == 0
    assert content(folder) == first


def test_a_folder_of_its_own_holds_the_same_bytes_and_leaves_the_source_alone(robench, packed, finished, tmp_path):
    other = shutil.copytree(finished, tmp_path / "source")
    before = {path: path.read_bytes() for path in (other / "results/s").rglob("*") if path.is_file()}
    assert robench(other, "pack", "results/s", "--to", "published/s").returncode == 0
    assert content(other / "published/s") == content(packed / "results/s")
    assert {path: path.read_bytes() for path in before} == before


def test_a_folder_that_holds_something_is_not_written_to(robench, place):
    (place / "full").mkdir()
    (place / "full/mine.txt").write_text("mine")
    done = robench(place, "pack", "results/s", "--to", "full")
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [path.name for path in (place / "full").iterdir()] == ["mine.txt"]


def test_tables_are_recomputed_byte_for_byte(robench, packed, finished):
    folder = packed / "results/s"
    for name in TABLES:
        (folder / name).unlink()
    assert robench(packed, "leaderboard", "results/s").returncode == 0
    for name in TABLES:
        assert (folder / name).read_bytes() == (finished / "results/s" / name).read_bytes(), name


@pytest.mark.parametrize("command", [("leaderboard", "results/s"), ("run", "s.yaml", "--workers", "1")])
def test_tables_that_are_written_again_leave_a_folder_that_can_be_verified(robench, packed, command):
    """A page changes with robench, and with the packages that draw its pictures."""
    folder = packed / "results/s"
    before = content(folder)
    page, manifest = folder / "index.html", json.loads(before["MANIFEST.json"])
    page.write_text(page.read_text("utf-8") + "<!-- of an earlier version -->", "utf-8")
    manifest["files"]["index.html"] = hash_file(page)
    manifest["versions"]["altair"] = "5.0"
    (folder / "MANIFEST.json").write_text(json.dumps(manifest | {"root": hash_manifest(manifest)}))
    assert robench(packed, *command).returncode == 0
    assert {name: (folder / name).read_bytes() for name in PUBLISHED} == before


@pytest.mark.parametrize("name", ["suite.yaml", "plan.json", "records.jsonl", "arrays.npz"])
def test_tables_that_are_written_again_do_not_hide_a_change_of_other_files(robench, packed, name):
    path = packed / "results/s" / name
    path.write_bytes(path.read_bytes() + b"\n")
    assert robench(packed, "leaderboard", "results/s").returncode == 0
    done = robench(packed, "verify", "results/s", "--sample", "0")
    assert done.returncode == 1
    assert f"{name}: it was changed after the packing" in done.stdout + done.stderr


def test_frames_and_records_are_the_same(robench, packed, finished):
    one, two = entrance.load(finished / "results/s"), entrance.load(packed / "results/s")
    pd.testing.assert_frame_equal(one.cells, two.cells)
    pd.testing.assert_frame_equal(one.leaderboard, two.leaderboard)
    cell = one.cells[one.cells.value.notna() & (one.cells.attack == "fgsm")].cell.iloc[0]
    pd.testing.assert_frame_equal(one.users(cell), two.users(cell))
    shown = [robench(place, "show", f"results/s/{cell}", "--user", "3").stdout for place in (finished, packed)]
    assert shown[0] == shown[1]
    assert "place" in shown[0]
    assert robench(packed, "show", cell[:12]).stdout == robench(finished, "show", cell[:12]).stdout


def test_a_finished_run_finds_every_packed_cell(robench, packed):
    done = robench(packed, "run", "s.yaml", "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert not list((packed / "results/s/cells").glob("*.npz"))
    assert "10 stored" in robench(packed, "plan", "s.yaml").stdout


def test_a_run_continues_from_a_packed_folder_and_the_next_packing_holds_both(robench, packed):
    folder = packed / "results/s"
    before = json.loads((folder / "MANIFEST.json").read_text())["cells"]
    (packed / "s.yaml").write_text(SUITE.replace("[0.05, 0.1]", "[0.05, 0.1, 0.2]"))
    assert robench(packed, "run", "s.yaml", "--workers", "1").returncode == 0
    assert len(list((folder / "cells").glob("*.npz"))) == 2
    assert robench(packed, "pack", "results/s").returncode == 0
    after = json.loads((folder / "MANIFEST.json").read_text())["cells"]
    assert len(after) == len(before) + 4
    assert after.items() >= before.items()
    assert not (folder / "cells").exists()


def test_a_cell_outside_the_plan_keeps_its_files(robench, place):
    (place / "s.yaml").write_text(SUITE.replace("[0.05, 0.1]", "[0.05]"))
    assert robench(place, "run", "s.yaml", "--workers", "1").returncode == 0
    assert robench(place, "pack", "results/s").returncode == 0
    assert len(list((place / "results/s/cells").glob("*.npz"))) == 2


def test_a_damaged_record_is_not_published(robench, place):
    path = next((place / "results/s/cells").glob("*.json"))
    path.write_text(path.read_text().replace('"status": "', '"status": "x'))
    done = robench(place, "pack", "results/s")
    assert done.returncode == 2
    assert path.name in done.stderr
    assert path.exists()


def test_sound_arrays_of_another_measurement_are_not_those_of_the_record(packed):
    """The edited file is a valid npz, and each array has a valid shape and range.

    Only the hash of the cell reveals the edit.
    """
    folder = packed / "results/s"
    with np.load(folder / "arrays.npz") as file:
        arrays = dict(file)
    name = next(name for name in arrays if name.startswith("cells/top/") and not name.endswith("/lines"))
    arrays[name] = arrays[name][..., ::-1]
    np.savez(folder / "arrays.npz", **arrays)
    store = Store(folder)
    records = [record for record in map(store.read, store.ids()) if record["status"] == "ok"]
    assert records
    for record in records:
        with pytest.raises(entrance.UserError, match="changed after they were packed: its hash differs"):
            store.arrays(record)


def edit(path, offset=0.5):
    data = bytearray(path.read_bytes())
    data[int(len(data) * offset)] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("name", ["records.jsonl", "arrays.npz"])
def test_an_edited_byte_makes_its_cells_missing(robench, packed, name):
    edit(packed / "results/s" / name)
    done = robench(packed, "leaderboard", "results/s")
    assert done.returncode == 0
    assert name in done.stderr
    assert "Traceback" not in done.stderr
    assert ",missing," in (packed / "results/s/cells.csv").read_text()


def test_an_edited_manifest_is_refused(robench, packed):
    edit(packed / "results/s/MANIFEST.json")
    for command in (("leaderboard", "results/s"), ("plan", "s.yaml"), ("show", "results/s")):
        done = robench(packed, *command)
        assert done.returncode == 2, command
        assert "MANIFEST.json" in done.stderr
        assert "Traceback" not in done.stderr


def test_an_incomplete_packed_folder_is_refused_and_left_alone(robench, packed):
    folder = packed / "results/s"
    (folder / "MANIFEST.json").unlink()
    before = content(folder)
    for command in ("pack", "leaderboard", "verify", "show"):
        done = robench(packed, command, "results/s")
        assert done.returncode == 2, command
        assert "results/s: MANIFEST.json is missing" in done.stderr
    for command in (("plan", "s.yaml"), ("run", "s.yaml")):
        assert robench(packed, *command).returncode == 2
    assert content(folder) == before


def test_a_packing_that_fails_replaces_nothing(packed, monkeypatch):
    folder = packed / "results/s"
    before, store = content(folder), Store(folder)
    records = {cell: store.read(cell) for cell in store.ids()}
    monkeypatch.setattr(archive, "hash_manifest", lambda manifest: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        archive.write_archive(folder, records, lambda cell: {}, {}, [], {})
    assert content(folder) == before


def test_a_forged_manifest_does_not_make_an_edited_record_true(packed):
    """The record has a seal of its own, which a forged manifest does not replace."""
    folder = packed / "results/s"
    lines = (folder / "records.jsonl").read_text().splitlines()
    number = next(number for number, line in enumerate(lines) if '"ndcg@10"' in line)
    cell = json.loads(lines[number])["id"]
    lines[number] = lines[number].replace('"status":"ok"', '"status":"failed"')
    (folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    manifest["cells"][cell] = hash_cell(json.loads(lines[number]), Store(folder).archive._stacks.read(number))
    manifest["files"]["records.jsonl"] = hash_file(folder / "records.jsonl")
    manifest["root"] = hash_manifest(manifest)
    (folder / "MANIFEST.json").write_text(json.dumps(manifest))
    with pytest.raises(entrance.UserError, match="changed after it was written"):
        Store(folder).read(cell)


def test_swapped_lines_are_found(packed):
    folder = packed / "results/s"
    lines = (folder / "records.jsonl").read_text().splitlines()
    (folder / "records.jsonl").write_text("\n".join(lines[::-1]) + "\n")
    with pytest.raises(entrance.UserError, match="record of another cell"):
        Store(folder).read(json.loads(lines[0])["id"])
