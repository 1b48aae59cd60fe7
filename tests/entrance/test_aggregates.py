"""Tests a published form that withholds everything about single users."""

import json
import re
import shutil

import numpy as np
import pytest

from robench.store.archive import hash_cell, hash_file, hash_manifest
from robench.store.folder import Store
from robench.verify.aggregate import WITHHELD

SUITE = """
name: s
seeds: [0]
datasets: [{name: synthetic, users: 60, items: 40, interactions_per_user: 10}]
models: [popularity, {name: mf, factors: 4, epochs: 2}]
attacks: [{name: auto, norm: l2, epsilon: [0.1]}, {name: bandwagon, epsilon: 0.1}]
targets: {count: 2, sets: 1}
"""
FILES = {"cells.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.md", "timings.csv", "index.html"}
FILES |= {"suite.yaml", "plan.json", "records.jsonl", "MANIFEST.json"}
MARK = "Published as aggregates: the ranks, lists and scores of single users are withheld."
pytestmark = pytest.mark.command


@pytest.fixture(scope="module")
def finished(robench, tmp_path_factory):
    """Returns a folder with a finished run and its aggregates."""
    place = tmp_path_factory.mktemp("finished")
    (place / "s.yaml").write_text(SUITE)
    for command in (
        ("run", "s.yaml", "--workers", "1"),
        ("pack", "results/s", "--publish", "aggregate", "--to", "public"),
    ):
        done = robench(place, *command)
        assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def public(finished, tmp_path):
    """Returns a copy of the aggregates."""
    return shutil.copytree(finished / "public", tmp_path / "public")


def edit(folder, name, old, new):
    """Changes a file and its hash in the manifest."""
    path, manifest = folder / name, json.loads((folder / "MANIFEST.json").read_text())
    assert old in path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace(old, new, 1), "utf-8")
    manifest["files"][name] = hash_file(path)
    (folder / "MANIFEST.json").write_text(json.dumps(manifest | {"root": hash_manifest(manifest)}))


def test_nothing_about_single_users_is_published_and_the_tables_say_so(finished, public):
    assert {path.name for path in public.iterdir()} == FILES
    source, page = (finished / "results/s/index.html").read_text("utf-8"), (public / "index.html").read_text("utf-8")
    assert 'class="examples"' in source
    assert 'class="examples"' not in page
    assert MARK not in source
    assert MARK in re.sub(r"\s+", " ", page)
    assert MARK in (public / "leaderboard.md").read_text("utf-8")
    content = json.loads((public / "leaderboard.json").read_text("utf-8"))
    assert content.pop("published") == "aggregate"
    assert content == json.loads((finished / "results/s/leaderboard.json").read_text("utf-8"))
    lists = [
        value
        for line in (public / "records.jsonl").read_text("utf-8").splitlines()
        for value in json.loads(line).values()
        if isinstance(value, list) and len(value) >= 60
    ]
    assert not lists
    assert (finished / "results/s/users.npz").is_file(), "the source stays as it is"


def test_the_owner_can_prove_later_that_the_arrays_are_the_measured_ones(finished, public):
    store, hashes = Store(finished / "results/s"), json.loads((public / "MANIFEST.json").read_text())["cells"]
    for cell in store.ids():
        record = store.read(cell)
        arrays = store.arrays(record) if record["status"] == "ok" else {}
        assert hashes[cell] == hash_cell(record, arrays)
        if arrays:
            assert hashes[cell] != hash_cell(record, {**arrays, "users": np.roll(arrays["users"], 1)})


def test_verify_says_what_it_cannot_verify(robench, public):
    done = robench(public.parent, "verify", "public")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1] == "verified in part, without the arrays of users: nothing differs"
    assert [line for line in lines if line.startswith("not compared: ")] == [f"not compared: {one}" for one in WITHHELD]
    assert any(line.startswith("plan: ") for line in lines)
    assert any(line.startswith("records: ") for line in lines)


def test_verify_finds_a_value_that_is_not_that_of_the_record_and_any_changed_file(robench, public):
    line = next(line for line in (public / "cells.csv").read_text().splitlines() if ",ok," in line)
    value = line.rsplit(",", 1)[1]
    edit(public, "cells.csv", line, line.removesuffix(value) + "0.77")
    done = robench(public.parent, "verify", "public")
    assert done.returncode == 1
    assert "is 0.77, and the record has" in done.stdout
    assert "1 problem" in done.stdout
    (public / "leaderboard.md").write_text("changed")
    done = robench(public.parent, "verify", "public")
    assert "leaderboard.md: it was changed after the packing" in done.stdout


def test_verify_finds_a_value_that_cells_csv_leaves_out(robench, public):
    line = next(line for line in (public / "cells.csv").read_text().splitlines() if ",ok," in line)
    edit(public, "cells.csv", f"{line}\n", "")
    done = robench(public.parent, "verify", "public")
    assert "1 value of the records missing" in done.stdout


@pytest.mark.parametrize("command", [("leaderboard",), ("compare",), ("pack",), ("submit", "--licence", "x")])
def test_commands_that_need_users_refuse_in_one_line(robench, public, command):
    more = ("--contact", "a@example.org") if command[0] == "submit" else ()
    rest = ("public",) if command[0] == "compare" else ()
    before = {path.name: path.read_bytes() for path in public.iterdir()}
    done = robench(public.parent, command[0], "public", *rest, *command[1:], *more)
    assert done.returncode == 2, done.stdout
    assert "published as aggregates: the arrays of users are withheld" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert {path.name: path.read_bytes() for path in public.iterdir()} == before


def test_aggregates_need_a_folder_of_their_own(robench, finished, tmp_path):
    place = shutil.copytree(finished, tmp_path / "copy")
    done = robench(place, "pack", "results/s", "--publish", "aggregate")
    assert done.returncode == 2
    assert "--publish aggregate needs --to" in done.stderr
    assert (place / "results/s/users.npz").is_file()


def test_a_site_cannot_recompute_aggregates_and_says_so(robench, public):
    done = robench(public.parent, "leaderboard", "public", "--site", "site")
    assert done.returncode == 2
    assert "published as aggregates: the arrays of users are withheld, and every table needs them" in done.stderr
    assert not (public.parent / "site").exists()
