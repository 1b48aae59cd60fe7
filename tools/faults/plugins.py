"""Checks that misbehaving models do no harm to other victims.

    python tools/faults/plugins.py [--only NAME]... [--keep DIR]

A victim of a built-in model follows each misbehaving model. Another run has only the built-in victims. In both runs,
the built-in victims must have the same results and the same arrays, bit for bit. Each misbehaving model must have a
record, and those in ``FAILED`` must fail. The run must end in time with exit code 0 or 1, and leave no process. The
script exits with 1 if a check failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "benchmark"), str(ROOT / "plugins")]
from misbehaving import FAILED, LIMITS, MISDEEDS  # noqa: E402  # in the folder of this script
from processes import end_all, started_by  # noqa: E402  # as above

COMPARED = ("id", "victim", "status", "spec", "metrics", "achieved", "diagnostics")
MARK = "ROBENCH_FAULTS"  # an environment variable by which the processes of a run are found
SECONDS = 1_500  # a run must end within this time


def suite(names: list[str], *, bad: bool) -> str:
    """Returns the text of a suite with one entry of ``mf`` per misbehaving model.

    Args:
        names: the names of the misbehaving models.
        bad: whether the misbehaving models are in the suite, each of them before its entry of ``mf``.
    """
    models: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        if bad:
            models.append({"name": name} | ({"limits": LIMITS[name]} if name in LIMITS else {}))
        models.append({"name": "mf", "factors": number + 2, "epochs": 1})
    content = {
        "name": "faults",
        "datasets": [{"name": "synthetic", "users": 40, "items": 30, "interactions_per_user": 8}],
        "models": models,
        "attacks": [{"name": "fgsm", "epsilon": 0.1}],
    }
    return json.dumps(content, indent=1)  # JSON is YAML


def run(place: Path, text: str) -> tuple[int, float, int]:
    """Runs a suite in a folder.

    Returns:
        The exit code, the duration in seconds, and the number of processes that the run left.
    """
    place.mkdir(parents=True, exist_ok=True)
    (place / "faults.yaml").write_text(text)
    sources = os.pathsep.join(map(str, (ROOT / "benchmark", ROOT / "plugins", HERE)))
    mark = str(place.resolve())
    env = {**os.environ, "PYTHONPATH": sources, "ROBENCH_CACHE": str(place / "cache"), MARK: mark}
    env |= {"ROBENCH_PLUGINS": "misbehaving", "COLUMNS": "200"}
    start = time.monotonic()
    with (place / "log").open("wb") as log:
        command = [sys.executable, "-m", "robench", "run", "faults.yaml", "--workers", "1"]
        code = subprocess.run(command, cwd=place, env=env, stdout=log, stderr=log, timeout=SECONDS, check=False)
    seconds = time.monotonic() - start
    limit = time.monotonic() + 5
    while (left := started_by(MARK, mark)) and time.monotonic() < limit:
        time.sleep(0.1)
    end_all(left)
    return code.returncode, seconds, len(left)


def records(place: Path) -> dict[str, dict[str, Any]]:
    """Returns the records of a run, by the id of the cell."""
    paths = (place / "results" / "faults" / "cells").glob("*.json")
    return {path.stem: json.loads(path.read_text("utf-8")) for path in paths}


def arrays(place: Path, cell: str) -> bytes | None:
    """Returns the content of a cell's arrays file, or None if there is no such file."""
    path = place / "results" / "faults" / "cells" / f"{cell}.npz"
    return path.read_bytes() if path.exists() else None


def check(without: Path, with_them: Path, names: list[str]) -> list[str]:
    """Returns a line for each check that failed.

    Args:
        without: the folder of the run without misbehaving models.
        with_them: the folder of the run with misbehaving models.
        names: the names of the misbehaving models.
    """
    alone, together = records(without), records(with_them)
    problems = []
    for cell, record in alone.items():
        other = together.get(cell, {})
        changed = [name for name in COMPARED if record.get(name) != other.get(name)]
        if changed or arrays(without, cell) != arrays(with_them, cell):
            number = record["spec"]["victim"]["model"]["config"]["factors"] - 2
            problems.append(f"the victim after {names[number]} differs in {', '.join(changed) or 'its arrays'}")
    found: dict[str, set[str]] = {}
    for record in together.values():
        found.setdefault(record["spec"]["victim"]["model"]["name"].rpartition("/")[2], set()).add(record["status"])
    problems += [f"{name} has no record" for name in names if name not in found]
    problems += [f"{name} did not fail" for name in names if name in FAILED and "ok" in found.get(name, ())]
    return problems


def main() -> int:
    """Runs the suite with and without the models, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=sorted(MISDEEDS))
    parser.add_argument("--keep", type=Path, help="keep the two runs in this folder")
    given = parser.parse_args()
    names = given.only or list(MISDEEDS)
    with tempfile.TemporaryDirectory() as temporary:
        place = given.keep or Path(temporary)
        code, seconds, _ = run(place / "without", suite(names, bad=False))
        print(f"without them: exit code {code}, {len(records(place / 'without'))} cells in {seconds:.0f} s", flush=True)
        problems = [] if code == 0 else ["the run without them failed"]
        code, seconds, left = run(place / "with", suite(names, bad=True))
        print(f"with {len(names)} of them: exit code {code}, {seconds:.0f} s")
        problems += check(place / "without", place / "with", names)
        problems += [f"exit code {code}"] if code not in (0, 1) else []
        problems += [f"{left} processes are left"] if left else []
        errors = {
            record["spec"]["victim"]["model"]["name"].rpartition("/")[2]: record["error"]["message"]
            for record in records(place / "with").values()
            if record["status"] == "failed"
        }
        for name in names:
            print(f"  {name}: {' '.join(errors.get(name, 'ok').split())[:150]}")
        if problems:
            print((place / "with" / "log").read_text(errors="replace")[-3000:])
    print(f"{len(names)} misbehaving models, {len(problems)} problems", *problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
