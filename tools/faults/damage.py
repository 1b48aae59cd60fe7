"""Damages a finished run and its cache, and tries every command that reads them.

    python -m tools.faults.damage [--mutations 300] [--seed 0]

The script makes a small run first. Each kind of damage is tried on a copy of this run with ``plan``, ``leaderboard``,
``show``, ``robench.load`` and ``run``, in this process. A command must end without an error, or with an error message
of one line that names a file. No table may show a wrong value, so each cell has one of these outcomes:

- The tables show the values of the undamaged run.
- The cell is missing, and a message names the cell. No message is needed if the record was deleted.

After ``run``, all tables must equal the undamaged ones. ``kinds.py`` lists two kinds of exceptions: damage that only
``verify`` can detect, and damage that ``run`` does not repair. The suite also runs with damaged copies of the cache.
The exit code is 1 if a check failed.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import random
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from tools.faults.kinds import CACHE_DAMAGES, FOLDER_DAMAGES, LEFT_TO_VERIFY, UNREPAIRED, mutations

from robench.api.errors import UserError
from robench.api.executor import Executor
from robench.entrance.results import load_results
from robench.entrance.tables import read_folder
from robench.files.cache import report_trouble
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.files import build_texts
from robench.report.record import show_cell
from robench.run.preview import make_preview
from robench.run.runner import Options, Runner, make_runner
from robench.tables.build import Tables, make_tables

SUITE = """
name: damaged
datasets: [{name: synthetic, users: 40, items: 30, interactions_per_user: 8}]
models: [popularity, {name: mf, factors: 4, epochs: 2}]
defenses: [none, {name: adversarial-training, lambda: [0.75, 0.5], epsilon: 0.05}]
attacks: [{name: fgsm, epsilon: [0.1, 0.2]}, {name: bandwagon, epsilon: 0.1}]
targets: {count: 2, pick: random}
"""
TABLES = ("cells.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.md")


class Inline(Executor):
    """An executor that runs tasks in this process."""

    def run(self, tasks: Any, work: Any, emit: Any) -> None:
        for task in tasks:
            work(task, emit)


class InlineRunner(Runner):
    """A runner that fits its victims in this process."""

    def _executor(self) -> Executor:
        return Inline()


class Lines(logging.Handler):
    """A log handler that collects the messages."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass
class Trial:
    """A folder with its suite, and the commands that are tried on the folder."""

    suite: Path
    folder: Path
    host: Host
    registry: Registry

    def run(self, *, fresh: bool = False) -> None:
        """Runs the suite in this process."""
        options = Options(self.folder, fresh=fresh)
        job = make_runner(self.suite, self.host, self.registry, options)
        summary = InlineRunner(job.suite, job.plan, self.host, self.registry, job.options).run()
        assert not summary.failures, summary.failures

    def tables(self) -> Tables:
        """Builds the tables as ``leaderboard`` does."""
        return make_tables(read_folder(self.folder, self.registry))

    def show(self, cell: str) -> None:
        """Shows a cell and the folder."""
        screen = Console(file=io.StringIO(), width=200, markup=False)
        show_cell(self.folder, None, screen)
        show_cell(self.folder / "cells" / f"{cell}.json", None, screen)

    def load(self) -> None:
        """Reads the folder as frames."""
        frames = load_results(self.folder)
        assert len(frames.cells)

    def plan(self) -> list[str]:
        """Previews a run, and returns the notes of the preview."""
        return make_preview(self.suite, self.registry, self.folder, (), ()).notes


def texts(tables: Tables) -> dict[str, str]:
    """Returns the contents of the tables that are identical in all runs, by name."""
    return {name: text for name, text in build_texts(tables).items() if name in TABLES}


def by_cell(tables: Tables) -> dict[str, list[str]]:
    """Maps the id of every cell to the cell's values, as strings."""
    values: dict[str, list[str]] = {}
    for row in tables.values:
        values.setdefault(row.cell.cell, []).append(str((row.status, row.cell, row.metric, row.value)))
    return values


class Judge:
    """A judge that counts the outcomes of commands and collects failures."""

    def __init__(self, trial: Trial, lines: Lines) -> None:
        self.whole, self.lines = trial, lines
        tables = trial.tables()
        self.texts, self.values = texts(tables), by_cell(tables)
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def attempt(self, name: str, command: str, call: Callable[[], Any]) -> Any:
        """Calls a command, and records a failure if there is one.

        Two things count as failures: an unexpected exception, and an error message that spans several lines or names no
        file.

        Returns:
            The result of the command, or None after an error.
        """
        try:
            result = call()
        except UserError as error:
            self.counts[f"{command}: one line"] += 1
            if "\n" in str(error) or "/" not in str(error):
                self.failures.append(f"{name}: {command}: no line with a file: {error}")
            return None
        except Exception:
            self.failures.append(f"{name}: {command}: {traceback.format_exc(limit=-3)}")
            return None
        self.counts[f"{command}: done"] += 1
        return result

    def judge(self, name: str, trial: Trial, cell: str, *, believed: bool) -> None:
        """Tries every command on a damaged folder.

        Args:
            name: The name of the damage.
            trial: The damaged folder.
            cell: The cell that was damaged.
            believed: Whether the damage may be one that only ``verify`` detects. The tables are then not compared.
        """
        self.lines.lines.clear()
        self.attempt(name, "plan", trial.plan)
        self.attempt(name, "show", lambda: trial.show(cell))
        self.attempt(name, "load", trial.load)
        tables = self.attempt(name, "leaderboard", trial.tables)
        if tables is not None and not believed:
            self.compare(name, tables)
        self.attempt(name, "run", trial.run)
        if not believed and name not in UNREPAIRED:
            after = self.attempt(name, "leaderboard after run", trial.tables)
            if after is not None and texts(after) != self.texts:
                self.failures.append(f"{name}: the tables after run are not the undamaged ones")

    def compare(self, name: str, tables: Tables) -> None:
        """Compares the tables of a damaged folder with the undamaged ones.

        A cell with other values must be missing. A message must name this cell, unless its record is gone.
        """
        named = " ".join(map(str, tables.damaged))
        values = by_cell(tables)
        if values.keys() != self.values.keys():
            self.failures.append(f"{name}: leaderboard: other cells")
        for cell, rows in values.items():
            if not set(rows) <= set(self.values.get(cell, [])):  # without its clean cell, a cell has no stability
                gone = "'missing'" in rows[0]
                self.counts["leaderboard: cell missing and named" if gone and cell in named else "believed"] += 1
                if not (gone and (cell in named or not self.exists(cell, tables))):
                    self.failures.append(f"{name}: leaderboard believes {cell}: {rows[0][:200]}")

    def exists(self, cell: str, tables: Tables) -> bool:
        """Returns whether the damaged folder still has the record of a cell."""
        return os.path.lexists(self.current / "cells" / f"{cell}.json")

    current = Path()


def judge_folder(judge: Judge, root: Path, cases: Iterable[tuple[str, Callable[[Path, str], None], bool]]) -> int:
    """Damages copies of the results folder, and tries every command on each copy.

    Args:
        judge: The judge of the commands.
        root: The folder for the copies.
        cases: The name of each damage, the function that makes it, and whether only ``verify`` may detect it.

    Returns:
        The number of damaged copies.
    """
    whole, count = judge.whole, 0
    cells = sorted(path.stem for path in (whole.folder / "cells").glob("*.npz"))
    for count, (name, damage, believed) in enumerate(cases, 1):  # the function returns the last count
        folder = root / "copy" / "damaged"
        shutil.rmtree(folder.parent, ignore_errors=True)
        shutil.copytree(whole.folder, folder)
        cell = cells[count % len(cells)]
        damage(folder, cell)
        judge.current = folder
        judge.judge(name, Trial(whole.suite, folder, whole.host, whole.registry), cell, believed=believed)
    return count


def judge_cache(judge: Judge, root: Path) -> int:
    """Runs the suite with damaged copies of the cache.

    Each run must print a line about the damaged entry and give the same tables.

    Returns:
        The number of damaged copies.
    """
    whole, count = judge.whole, 0
    report_trouble.set(judge.lines.lines.append)  # By default a process reports the same line only once.
    cache = Path(os.environ["ROBENCH_CACHE"])
    saved = shutil.copytree(cache, root / "saved")
    for name, damage in CACHE_DAMAGES:
        shutil.rmtree(cache)
        shutil.copytree(saved, cache)
        folder = root / "copy" / "damaged"
        shutil.rmtree(folder.parent, ignore_errors=True)
        judge.lines.lines.clear()
        damage(cache)
        trial, count = Trial(whole.suite, folder, whole.host, whole.registry), count + 1
        judge.attempt(name, "run (cache)", trial.run)
        if not any("it is made again" in line for line in judge.lines.lines):
            judge.failures.append(f"{name}: no line about the bad entry: {judge.lines.lines}")
        tables = judge.attempt(name, "leaderboard (cache)", trial.tables)
        if tables is not None and texts(tables) != judge.texts:
            judge.failures.append(f"{name}: the tables after a damaged cache are others")
    return count


def main() -> int:
    """Runs all trials and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lines = Lines()
    log = logging.getLogger("robench")
    log.addHandler(lines)
    log.propagate = False
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        os.environ["ROBENCH_CACHE"] = str(root / "cache")
        (root / "damaged.yaml").write_text(SUITE)
        host = Host.discover()
        trial = Trial(root / "damaged.yaml", root / "whole", host, Registry.of(host))
        trial.run()
        judge = Judge(trial, lines)
        kinds = [(name, damage, name in LEFT_TO_VERIFY) for name, damage in FOLDER_DAMAGES]
        numbers = {
            "kinds of damage to a folder": judge_folder(judge, root, kinds),
            "mutations of records and plans": judge_folder(
                judge, root, mutations(random.Random(options.seed), options.mutations)
            ),
            "kinds of damage to a cache": judge_cache(judge, root),
        }
    for name, count in [*numbers.items(), *sorted(judge.counts.items())]:
        print(f"{count:6} {name}")
    for failure in judge.failures:
        print(f"FAILED {failure}")
    print(f"{len(judge.failures)} failures")
    return 1 if judge.failures else 0


if __name__ == "__main__":
    sys.exit(main())
