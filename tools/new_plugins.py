"""Builds a package of every kind, and tests it in a clean environment.

    python tools/new_plugins.py [KIND ...]

For each kind, the script runs ``robench new-plugin``, builds a wheel, and installs it into a new virtual environment
beside a wheel of robench. The environment borrows all other packages from the one that runs the script, so nothing is
downloaded. The conformance test and the suite then run in a folder without the source of the package. The exit code is
1 if a command fails, or if the component has no row on the board.
"""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from pathlib import Path

from robench.authoring.kinds import LAYOUTS, PackageKind

ROOT = Path(__file__).resolve().parents[1]
NAME = "my-own-{kind}"
# The column of a table in which the component of each kind appears. An attack is a part of the row of its victim.
COLUMNS = {"model": "model", "attack": "attack", "defense": "defense", "dataset": "dataset", "metric": "metric"}
OFFLINE = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


class StepError(Exception):
    """Raised if a command fails, or if a component has no row."""


def command(folder: Path, *words: str | Path, **environment: str) -> str:
    """Runs a command in a folder, and returns its output.

    Raises:
        StepError: if the exit code is not 0.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ROBENCH_PLUGINS")}
    done = subprocess.run(
        list(map(str, words)),
        cwd=folder,
        env={**inherited, **OFFLINE, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StepError(
            f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        )
    return done.stdout


def wheel_of(source: Path, to: Path) -> Path:
    """Builds a wheel and returns its path."""
    command(to, sys.executable, "-m", "pip", "wheel", "-q", "--wheel-dir", to, source)
    (wheel,) = to.glob("*.whl")
    return wheel


def environment(folder: Path, *wheels: Path) -> Path:
    """Makes a virtual environment with wheels, and returns its Python.

    A ``.pth`` file adds the packages of the current environment, except for those that are installed as links.
    """
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(command(folder, python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", "utf-8")
    command(folder, sys.executable, "-m", "pip", "--python", python, "install", "-q", "--ignore-installed", *wheels)
    return python


def try_kind(kind: PackageKind, robench: Path, folder: Path) -> str:
    """Writes, builds, installs and tests a package, and returns a line about it.

    Raises:
        StepError: if a step fails.
    """
    name, layout = NAME.format(kind=kind), LAYOUTS[kind]
    tool = environment(folder / "author", robench)
    command(folder, tool, "-m", "robench", "new-plugin", name, "--kind", kind)
    source = folder / name
    (folder / "dist").mkdir()
    wheel = wheel_of(source, folder / "dist")
    clean = environment(folder / "clean", robench, wheel)
    elsewhere = folder / "elsewhere"
    shutil.copytree(source / "tests", elsewhere / "tests")
    for path in (source / "suite.yaml", *source.glob("*.jsonl")):
        shutil.copy(path, elsewhere)
    package = name.replace("-", "_")
    where = command(elsewhere, clean, "-c", f"import robench, {package}; print(robench.__file__, {package}.__file__)")
    if not all(str(folder / "clean") in part for part in where.split()):
        raise StepError(f"not the installed packages: {where}")
    tests = command(elsewhere, clean, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
    options = ["--executor", name] if kind is PackageKind.EXECUTOR else ["--workers", "1"]
    cache = {"ROBENCH_CACHE": str(folder / "cache")}
    command(elsewhere, clean, "-m", "robench", "plugins", "--check", **cache)
    command(elsewhere, clean, "-m", "robench", "run", "suite.yaml", *options, **cache)
    (passed,) = re.findall(r"\d+ passed", tests)
    return f"{wheel.name}: {passed}; {row_of(kind, layout.component, name, elsewhere)}"


def row_of(kind: PackageKind, component: str | None, name: str, folder: Path) -> str:
    """Returns a line about what a component has on the board.

    Raises:
        StepError: if it has nothing.
    """
    results = folder / "results" / name
    with (results / "cells.csv").open(encoding="utf-8") as file:
        cells = [row for row in csv.DictReader(file) if row["status"] == "ok"]
    with (results / "leaderboard.csv").open(encoding="utf-8") as file:
        board = list(csv.DictReader(file))
    if kind is PackageKind.EXECUTOR:
        rows, what = cells, "cells that it measured"
    elif kind is PackageKind.REPORT:
        rows, what = (folder / "runs.csv").read_text("utf-8").splitlines()[1:], "rows in runs.csv"
    else:
        column = COLUMNS[str(component)]
        named = [row for row in cells if re.search(rf"(^|/){name}(@|$|\b)", row.get(column) or "")]
        table = [row for row in board if name in " ".join(map(str, row.values()))]
        rows, what = (table if named else []), "rows of the board that name it"
    if not rows or not board:
        raise StepError(f"{name} has no row: {board[:2]}")
    return f"{what}: {len(rows)}"


def main(kinds: list[str]) -> int:
    """Tries some or all kinds, and returns the exit code."""
    failures = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "robench").mkdir()
        robench = wheel_of(ROOT, folder / "robench")
        print(f"{robench.name}: {robench.stat().st_size:,} bytes", flush=True)
        for kind in map(PackageKind, kinds or list(PackageKind)):
            start, own = time.perf_counter(), folder / kind
            own.mkdir()
            try:
                line = try_kind(kind, robench, own)
            except StepError as error:
                failures += 1
                line = f"FAILED: {error}"
            print(f"{kind:10} {line} ({time.perf_counter() - start:.0f} s)", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
