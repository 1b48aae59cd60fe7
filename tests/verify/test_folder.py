"""Tests that ``robench verify`` finds a changed digit in any file.

In an unchanged folder, ``robench verify`` finds nothing.
"""

import json
import shutil

import numpy as np
import pytest

from robench.files.atomic import write_text
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.page import to_page
from robench.store.archive import hash_file, hash_manifest
from robench.store.folder import Store
from robench.store.npz import arrays_to_bytes, hash_arrays
from robench.store.plan_file import read_plan
from robench.store.record import to_text
from robench.store.seal import seal
from robench.tables.build import build_tables

SUITE = """
name: s
seeds: [0]
datasets: [{name: synthetic, users: 60, items: 40, interactions_per_user: 10}]
models: [popularity, {name: mf, factors: 4, epochs: 2}]
attacks: [{name: fgsm, epsilon: [0.05, 0.1]}, {name: bandwagon, epsilon: 0.1}]
targets: {count: 2, sets: 1}
"""
pytestmark = pytest.mark.command


@pytest.fixture(scope="module")
def finished(robench, tmp_path_factory):
    """Returns the working folder of a finished run.

    The subfolder results/s holds the run. The subfolder results/packed holds the published form.
    """
    place = tmp_path_factory.mktemp("finished")
    (place / "s.yaml").write_text(SUITE)
    for command in (("run", "s.yaml", "--workers", "1"), ("pack", "results/s", "--to", "results/packed")):
        done = robench(place, *command)
        assert done.returncode == 0, done.stderr
    return place


@pytest.fixture
def folder(finished, tmp_path):
    """Returns a copy of the folder that the run has written."""
    return shutil.copytree(finished / "results/s", tmp_path / "s")


@pytest.fixture
def packed(finished, tmp_path):
    """Returns a copy of the published form."""
    return shutil.copytree(finished / "results/packed", tmp_path / "packed")


def verify(robench, folder, *options):
    done = robench(folder.parent, "verify", folder.name, *(options or ("--sample", "0")))
    assert "Traceback" not in done.stderr
    return done


@pytest.mark.parametrize("form", ["s", "packed"])
def test_nothing_differs_in_a_folder_that_nobody_touched(robench, finished, form):
    done = verify(robench, finished / "results" / form, "--all", "--workers", "1")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "verified, 6 of 6 cells measured again: nothing differs"
    assert "6 of them on the same processor and versions" in done.stdout


def change_digit(text, after):
    """Returns ``text`` with one digit raised by 1.

    The digit is the first one from 1 to 8 that follows the string ``after``.
    """
    place = text.index(after) + len(after)
    while text[place] not in "12345678":
        place += 1
    return text[:place] + str(int(text[place]) + 1) + text[place + 1 :]


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("leaderboard.csv", "\n"),
        ("leaderboard.json", '"leaderboard"'),
        ("leaderboard.md", "NDCG"),
        ("cells.csv", "ndcg@10,1,"),
        ("timings.csv", "\n"),
        ("index.html", "<table"),
        ("plan.json", '"epsilon": '),
        ("suite.yaml", "factors:"),
        ("records.jsonl", '"value":'),
        ("MANIFEST.json", '"cells"'),
    ],
)
def test_an_edited_digit_is_found(robench, packed, name, after):
    path = packed / name
    text = path.read_text()
    path.write_text(change_digit(text, after if after in text else "\n"))
    done = verify(robench, packed)
    assert done.returncode in (1, 2)
    assert name in done.stdout + done.stderr


def test_a_page_that_was_written_without_pictures_is_no_problem(robench, folder):
    metrics = Registry.of(Host.discover()).metrics(map(str, read_plan(folder).metrics))
    plain = to_page(build_tables(folder, metrics), drawn=False)
    (folder / "index.html").write_text(plain)
    assert verify(robench, folder).returncode == 0
    (folder / "index.html").write_text(change_digit(plain, "<table"))
    assert verify(robench, folder).returncode == 1


def test_an_edited_byte_of_arrays_is_found(robench, packed):
    data = bytearray((packed / "arrays.npz").read_bytes())
    data[len(data) // 3] ^= 4
    (packed / "arrays.npz").write_bytes(data)
    done = verify(robench, packed)
    assert done.returncode == 1
    assert "arrays.npz" in done.stdout
    assert "robench leaderboard" not in done.stdout  # this command would write tables without the lost cells
    assert len(done.stdout.splitlines()) < 20


def test_edited_users_are_found(robench, folder):
    users = Store(folder).users()
    name = next(name for name in users if name.endswith("/title"))
    titles = users[name].copy()
    titles[0] = titles[0][:-1] + "7"
    (folder / "users.npz").write_bytes(arrays_to_bytes({**users, name: titles}))
    done = verify(robench, folder)
    assert done.returncode == 1
    assert "users.npz: it was changed" in done.stdout
    assert "users: as plan.json hashes them" not in done.stdout


def test_forged_users_that_fit_their_plan_are_found_when_the_data_are_prepared_again(robench, folder):
    users = Store(folder).users()
    name = next(name for name in users if name.endswith("/title"))
    users[name] = np.roll(users[name], 1)
    content = arrays_to_bytes(users)
    (folder / "users.npz").write_bytes(content)
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps(seal({**plan, "users_sha256": hash_arrays(users)})))
    robench(folder.parent, "leaderboard", folder.name)
    assert verify(robench, folder).returncode == 0
    done = verify(robench, folder, "--sample", "1", "--workers", "1")
    assert done.returncode == 1
    assert f"users.npz is not what the data give: {name}" in done.stdout


def test_a_plan_and_records_of_other_data_are_found_when_the_data_are_prepared_again(robench, folder):
    plan, store, other = json.loads((folder / "plan.json").read_text()), Store(folder), "0" * 64
    (folder / "plan.json").write_text(
        json.dumps(seal({**plan, "data_sha256": dict.fromkeys(plan["data_sha256"], other)}))
    )
    for record in map(store.read, store.ids()):
        if record["status"] == "ok":
            forged = {**record, "provenance": {**record["provenance"], "data_sha256": other}}
            write_text(store.cells / f"{record['id']}.json", to_text(seal(forged)))
    robench(folder.parent, "leaderboard", folder.name)
    assert verify(robench, folder).returncode == 0
    done = verify(robench, folder, "--sample", "1", "--workers", "1")
    assert done.returncode == 1
    assert "synthetic/leave-last-out: the data here are different" in done.stdout


def attacked(folder):
    """Returns the store of a folder and the record of an attacked cell."""
    store = Store(folder)
    records = (store.read(cell) for cell in store.ids())
    return store, next(r for r in records if r["status"] == "ok" and r["spec"]["attack"] is not None)


def test_a_sealed_metric_that_the_arrays_do_not_give_is_found(robench, folder):
    store, record = attacked(folder)
    record["metrics"]["ndcg@10"]["value"] += 0.1
    write_text(store.cells / f"{record['id']}.json", to_text(seal(record)))
    robench(folder.parent, "leaderboard", folder.name)
    done = verify(robench, folder)
    assert done.returncode == 1
    assert f"{record['id']}.json: cell {record['id']} has ndcg@10" in done.stdout


def test_a_forged_cell_that_fits_itself_is_found_when_it_is_measured_again(robench, folder):
    """The arrays, metrics, seals and tables of the forged cell are consistent.

    Only a new measurement contradicts the record.
    """
    store, record = attacked(folder)
    clean = next(
        r
        for r in map(store.read, store.ids())
        if r["victim"] == record["victim"] and r["spec"]["attack"] is None and r["status"] == "ok"
    )
    arrays = {**store.arrays(record), "ranks": store.arrays(clean)["ranks"], "top": store.arrays(clean)["top"]}
    store.write({**record, "metrics": clean["metrics"]}, arrays)
    assert robench(folder.parent, "leaderboard", folder.name).returncode == 0
    assert verify(robench, folder).returncode == 0
    done = verify(robench, folder, "--all", "--workers", "1")
    assert done.returncode == 1
    assert f"cell {record['id']} measured again" in done.stdout
    assert not any(line.startswith("measured again") for line in done.stdout.splitlines())


def test_users_without_a_hash_in_the_plan_are_not_called_checked(robench, folder):
    plan = json.loads((folder / "plan.json").read_text())
    (folder / "plan.json").write_text(json.dumps(seal({**plan, "users_sha256": ""})))
    done = verify(robench, folder)
    assert "users.npz: plan.json holds no hash of it" in done.stdout
    assert "users: as plan.json hashes them" not in done.stdout


def test_on_another_machine_metrics_may_differ_by_their_noise_alone(robench, folder):
    store, record = attacked(folder)
    arrays = store.arrays(record)
    origin = {**record["provenance"], "processor": "another"}
    store.write({**record, "provenance": origin, "diagnostics": {**record["diagnostics"], "rms": 1.0}}, arrays)
    robench(folder.parent, "leaderboard", folder.name)
    assert verify(robench, folder, "--all", "--workers", "1").returncode == 0
    worst = {**arrays, "ranks": arrays["candidates"]}
    zero = {name: {**value, "value": 0.0} for name, value in record["metrics"].items()}
    store.write({**record, "provenance": origin, "metrics": zero}, worst)
    robench(folder.parent, "leaderboard", folder.name)
    done = verify(robench, folder, "--all", "--workers", "1")
    assert done.returncode == 1
    assert "differs by" in done.stdout


def test_a_plan_that_the_suite_does_not_give_is_found(robench, folder):
    plan = json.loads((folder / "plan.json").read_text())
    plan["cells"] = [cell for cell in plan["cells"] if cell["epsilon"] != 0.1]
    (folder / "plan.json").write_text(json.dumps(seal(plan)))
    robench(folder.parent, "leaderboard", folder.name)
    done = verify(robench, folder)
    assert done.returncode == 1
    assert "'cells' is not what suite.yaml gives" in done.stdout


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("rows", 7, "the summary of synthetic/leave-last-out is not what the data give: rows"),
        ("notes", ["fine"], "not compared: the notes on synthetic/leave-last-out"),
    ],
)
def test_a_forged_summary_of_the_data_is_found(robench, folder, field, value, problem):
    plan = json.loads((folder / "plan.json").read_text())
    plan["data"]["synthetic/leave-last-out"][field] = value
    (folder / "plan.json").write_text(json.dumps(seal(plan)))
    robench(folder.parent, "leaderboard", folder.name)
    done = verify(robench, folder, "--sample", "1", "--workers", "1")
    assert problem in done.stdout
    assert done.returncode == (field == "rows")


def test_a_plan_of_an_earlier_version_has_no_summary_and_stays_valid(robench, folder):
    plan = json.loads((folder / "plan.json").read_text())
    del plan["data"]
    (folder / "plan.json").write_text(json.dumps(seal(plan)))
    robench(folder.parent, "leaderboard", folder.name)
    assert "## Data" not in (folder / "leaderboard.md").read_text()
    done = verify(robench, folder, "--sample", "1", "--workers", "1")
    assert done.returncode == 0, done.stdout
    assert "not compared: the data of synthetic/leave-last-out: plan.json holds no summary of them" in done.stdout


def forge(folder, **entries):
    """Changes entries of a manifest, and makes its file hashes and its root valid."""
    path = folder / "MANIFEST.json"
    manifest = {**json.loads(path.read_text()), **entries}
    manifest["files"] = {name: hash_file(folder / name) for name in manifest["files"]}
    path.write_text(json.dumps({**manifest, "root": hash_manifest(manifest)}))


def test_a_manifest_must_name_the_published_files(robench, packed):
    files = json.loads((packed / "MANIFEST.json").read_text())["files"]
    forge(packed, files={name: value for name, value in files.items() if name != "suite.yaml"})
    done = verify(robench, packed)
    assert done.returncode == 1
    assert "it does not name the files and packages" in done.stdout


@pytest.mark.parametrize("old", ["</body>", "</svg>"])
def test_a_page_of_other_drawers_is_compared_without_its_pictures(robench, packed, old):
    versions = {**json.loads((packed / "MANIFEST.json").read_text())["versions"], "altair": "0.0"}
    path, text = packed / "index.html", (packed / "index.html").read_text()
    path.write_text(text.replace("</body>", "<svg><text>1</text></svg></body>", 1))
    forge(packed, versions=versions)
    done = verify(robench, packed)
    assert done.returncode == 0, done.stdout
    assert "not compared: the pictures of packed/index.html" in done.stdout
    path.write_text(path.read_text().replace(old, f"<script>alert(1)</script>{old}", 1))
    forge(packed, versions=versions)
    done = verify(robench, packed)
    assert done.returncode == 1
    assert "apart from the pictures" in done.stdout


def test_a_planned_cell_that_is_missing_is_a_problem(robench, folder):
    store, record = attacked(folder)
    for end in ("json", "npz"):
        (store.cells / f"{record['id']}.{end}").unlink()
    robench(folder.parent, "leaderboard", folder.name)
    done = verify(robench, folder)
    assert done.returncode == 1
    assert "1 planned cell missing" in done.stdout


def test_a_cell_that_is_stored_as_failed_and_can_be_measured_is_a_problem(robench, folder):
    store, record = attacked(folder)
    error = {"type": "Crash", "message": "it failed", "traceback": ""}
    (store.cells / f"{record['id']}.npz").unlink()
    store.write({**record, "status": "failed", "metrics": {}, "error": error}, None)
    robench(folder.parent, "leaderboard", folder.name)
    done = verify(robench, folder, "--all", "--workers", "1")
    assert done.returncode == 1
    assert "is stored as failed, and can be measured" in done.stdout


def test_a_cell_beside_the_packed_ones_is_found(robench, finished, packed):
    """The file of a cell takes precedence over the packed copy of the cell.

    The manifest does not list the added file.
    """
    cell = next(cell for cell in Store(packed).ids() if Store(packed).read(cell)["status"] == "ok")
    (packed / "cells").mkdir()
    for end in ("json", "npz"):
        shutil.copy(finished / f"results/s/cells/{cell}.{end}", packed / "cells")
    done = verify(robench, packed)
    assert done.returncode == 1
    assert "1 cell measured after the packing" in done.stdout


def test_a_damaged_array_is_one_problem_on_one_line(robench, folder):
    store, record = attacked(folder)
    path = store.cells / f"{record['id']}.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    done = verify(robench, folder, "--sample", "1", "--workers", "1")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    assert lines[-1] == "1 problem"
    assert [line for line in lines if path.name in line] == lines[-2:-1]
    assert len([line for line in lines if "tables" in line]) == 1
    assert "not compared: tables, which have values of damaged files" in done.stdout
    done = robench(folder.parent, "leaderboard", folder.name)
    assert done.returncode == 0, "the tables are written, and the command says what they lack"
    assert done.stderr.count(path.name) == 1
    assert "the tables are made without it" in done.stderr
    assert "INCOMPLETE" in (folder / "leaderboard.md").read_text()


def test_a_suite_that_cannot_be_planned_is_one_problem(robench, folder):
    text = (folder / "suite.yaml").read_text()
    (folder / "suite.yaml").write_text(text.replace("name: mf\n", "name: of-a-plugin\n", 1))
    done = verify(robench, folder, "--sample", "1", "--workers", "1")
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "1 problem"
    assert done.stdout.count("unknown model 'of-a-plugin'") == 1


OWN_DATA = """
name: own
datasets: [{name: csv, path: ratings.csv}]
models: [popularity]
"""


def test_files_beside_the_suite_are_found_without_an_option(robench, tmp_path):
    rows = [f"u{user},i{(user + step) % 12},{step}" for user in range(20) for step in range(8)]
    home = tmp_path / "home"
    home.mkdir()
    (home / "ratings.csv").write_text("\n".join(["user,item,time", *rows, ""]))
    (home / "own.yaml").write_text(OWN_DATA)
    assert robench(home, "run", "own.yaml", "--workers", "1").returncode == 0
    options = ("verify", "home/results/own", "--all", "--workers", "1")
    done = robench(tmp_path, *options)
    assert done.returncode == 0, done.stdout
    (home / "ratings.csv").rename(tmp_path / "moved.csv")
    done = robench(tmp_path, *options)
    assert done.returncode == 1
    assert done.stdout.count("no cell could be measured again") == 1
    assert "; --data FOLDER says where the relative paths of the suite start" in done.stdout


def test_a_folder_without_results_is_one_line(robench, tmp_path):
    done = robench(tmp_path, "verify", ".")
    assert done.returncode == 2
    assert "no plan.json" in done.stderr
