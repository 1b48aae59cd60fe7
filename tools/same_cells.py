"""Runs a suite with two checkouts of robench and compares every cell bit for bit.

    python tools/same_cells.py OTHER_CHECKOUT suites/smoke.yaml [--only model=mf] [--set seeds=[0]] [--workers 2]

Each checkout runs from its own source tree with an empty cache. For each cell that differs, the script prints the parts
of the record and the arrays that differ. Of a record, the parts named in ``COMPARED`` are compared, without durations.
The exit code is 1 if a cell differs, or if a run stores no cell.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parents[1]
COMPARED = ("id", "victim", "status", "spec", "metrics", "achieved", "diagnostics", "members", "titles")
TIMED = ("seconds",)  # the parts of the achieved budget that a clock measures


def run(tree: Path, suite: Path, folder: Path, arguments: list[str]) -> Path:
    """Runs a suite with a checkout's source tree, and returns the results folder."""
    sources = os.pathsep.join(str(tree / part) for part in ("benchmark", "plugins"))
    places = {"PYTHONPATH": sources, "ROBENCH_CACHE": str(folder / "cache"), "COLUMNS": "200"}
    command = [sys.executable, "-m", "robench", "run", str(suite.resolve()), "--results", str(folder / "results")]
    subprocess.run(command + arguments, check=True, cwd=folder, env={**os.environ, **places}, stdout=subprocess.DEVNULL)
    return folder / "results"


def differences(one: Path, two: Path) -> tuple[int, list[str]]:
    """Returns the number of cells in the first folder, and the differences.

    Each difference is a line about a cell that differs between the folders.
    """
    first, second = ({path.stem for path in (folder / "cells").glob("*.json")} for folder in (one, two))
    lines = [f"{cell}: only in one of them" for cell in sorted(first ^ second)]
    for cell in sorted(first & second):
        records = [json.loads((folder / "cells" / f"{cell}.json").read_text()) for folder in (one, two)]
        names = [name for name in COMPARED if _plain(records[0].get(name)) != _plain(records[1].get(name))]
        names += [f"array {name}" for name in _unequal(*(folder / "cells" / f"{cell}.npz" for folder in (one, two)))]
        if names:
            lines.append(f"{cell}: {', '.join(names)}")
    return len(first), lines


def _plain(value: Any) -> Any:
    """Returns an entry of a record without the durations."""
    return {k: v for k, v in value.items() if k not in TIMED} if isinstance(value, dict) else value


def _unequal(one: Path, two: Path) -> list[str]:
    """Returns the names of arrays that differ in dtype, shape or any byte.

    An array that only one file holds also counts. The result is ``["files"]`` if only one of the files exists.
    """
    if not one.exists() or not two.exists():
        return [] if one.exists() == two.exists() else ["files"]
    with np.load(one, allow_pickle=False) as first, np.load(two, allow_pickle=False) as second:
        names = sorted({*first.files, *second.files})
        both = [name for name in names if name in first.files and name in second.files]
        changed = [name for name in both if _layout(first[name]) != _layout(second[name])]
        return changed + [name for name in names if name not in both]


def _layout(array: np.ndarray) -> tuple[object, ...]:
    """Returns the dtype, the shape and the bytes of an array."""
    return array.dtype, array.shape, array.tobytes()


def main() -> int:
    """Compares this checkout with another one and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", type=Path)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--workers", default="2")
    given = parser.parse_args()
    arguments = ["--workers", given.workers]
    arguments += [part for condition in given.only for part in ("--only", condition)]
    arguments += [part for setting in given.set for part in ("--set", setting)]
    with tempfile.TemporaryDirectory() as place:
        folders = []
        for name, tree in (("other", given.other.resolve()), ("here", HERE)):
            folder = Path(place, name)
            folder.mkdir()
            folders.append(run(tree, given.suite, folder, arguments))
        count, lines = differences(*folders)
    print(*lines, f"{count} cells, {len(lines)} differ", sep="\n")
    return 1 if lines or not count else 0


if __name__ == "__main__":
    sys.exit(main())
