"""Tests that no table combines records of two versions of the data.

Also tests that edited prepared data are prepared again.
"""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.forked import robench

SUITE = """
name: t
seeds: [0, 1]
datasets: [{name: csv, path: r.csv}]
models: [popularity, {name: mf, factors: 4, epochs: 2}]
attacks: [{name: fgsm, norm: l2, epsilon: [0.05, 0.1]}]
"""


def rows(users: int, shift: int = 0) -> str:
    return "user,item,time\n" + "".join(
        f"{u},{(u * 7 + i * i + shift) % 13},{i}\n" for u in range(users) for i in range(6)
    )


def run(folder: Path, *arguments: str) -> None:
    done = robench(folder, "run", "t.yaml", *arguments)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


def states(folder: Path) -> dict[tuple[str, str], set[str]]:
    """Returns the statuses in cells.csv, as one set per model and seed."""
    found: dict[tuple[str, str], set[str]] = {}
    for cell in csv.DictReader((folder / "results/t/cells.csv").read_text().splitlines()):
        found.setdefault((cell["model"], cell["seed"]), set()).add(cell["status"])
    return found


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, caches) -> Path:
    """Returns the folder of a finished run on the first version of the data."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "t.yaml").write_text(SUITE)
    (folder / "r.csv").write_text(rows(20))
    done = robench(folder, "run", "t.yaml", ROBENCH_CACHE=str(next(caches)))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "copy")


@pytest.mark.parametrize("changed", [rows(20, shift=1), rows(26)], ids=["other items", "other number of users"])
def test_cells_of_the_old_data_are_missing_until_they_are_measured_again(folder, changed):
    (folder / "r.csv").write_text(changed)
    run(folder, "--only", "model=mf", "--only", "seed=1")
    assert states(folder) == {
        ("popularity", "0"): {"missing", "skipped"},
        ("popularity", "1"): {"missing", "skipped"},
        ("mf", "0"): {"missing"},
        ("mf", "1"): {"ok"},
    }
    (row,) = csv.DictReader((folder / "results/t/leaderboard.csv").read_text().splitlines())
    assert "incomplete: 3 of 6 cells" in row["flags"]
    assert row["seeds"] == "1"
    run(folder)
    assert states(folder)["mf", "0"] == {"ok"}
    plan = json.loads((folder / "results/t/plan.json").read_text())
    (wanted,) = plan["data_sha256"].values()
    for cell in plan["cells"]:
        record = json.loads((folder / f"results/t/cells/{cell['cell']}.json").read_text())
        assert cell["status"] == "skipped" or record["provenance"]["data_sha256"] == wanted


@pytest.mark.parametrize("damaged", ["edited", "swapped"])
def test_prepared_data_that_somebody_edited_are_prepared_again(tmp_path, caches, damaged):
    cache = Path(next(caches))
    (tmp_path / "t.yaml").write_text(SUITE)
    (tmp_path / "r.csv").write_text(rows(20))
    done = robench(tmp_path, "run", "t.yaml", "--only", "model=popularity", ROBENCH_CACHE=str(cache))
    assert done.returncode == 0, done.stderr
    (path,) = cache.rglob("*.npz")
    before = path.read_bytes()
    if damaged == "edited":
        with np.load(path) as file:
            arrays = dict(file)
        arrays["test_items"] = np.roll(arrays["test_items"], 1)
        np.savez(path, **arrays)
    else:
        other = path.with_name("0" * 32 + ".npz")
        path.rename(other)
        path.with_suffix(".json").rename(other.with_suffix(".json"))
        for end in (".npz", ".json"):
            shutil.copy(other.with_suffix(end), path.with_suffix(end))
        notes = json.loads(path.with_suffix(".json").read_text())
        path.with_suffix(".json").write_text(json.dumps({**notes, "key": "0" * 32}))
    done = robench(tmp_path, "plan", "t.yaml", ROBENCH_CACHE=str(cache))
    assert done.returncode == 0, done.stderr
    assert f"{path}: its content is not what its sha256 says; it is made again" in done.stderr
    assert path.read_bytes() == before


def test_one_wrong_digit_in_the_stored_digest_changes_no_result(folder, caches):
    cache = Path(next(caches))
    robench(folder, "plan", "t.yaml", ROBENCH_CACHE=str(cache))
    (path,) = cache.glob("data/*/*.json")
    good = path.read_text()
    notes = json.loads(good)
    digit = "0" if notes["data"][5] != "0" else "1"
    path.write_text(json.dumps({**notes, "data": notes["data"][:5] + digit + notes["data"][6:]}))
    plan = (folder / "results/t/plan.json").read_bytes()
    done = robench(folder, "run", "t.yaml", ROBENCH_CACHE=str(cache))
    assert done.returncode == 0, done.stderr
    assert f"{path.with_suffix('.npz')}: its data is not what its digest says; it is made again" in done.stderr
    assert (path.read_text(), (folder / "results/t/plan.json").read_bytes()) == (good, plan)
    assert "other data" not in done.stderr + done.stdout
    assert not list(cache.glob("checkpoints/*/*.safetensors")), "nothing is fitted again"
