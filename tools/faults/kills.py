"""Kills runs of a suite at random moments and resumes them.

    python tools/faults/kills.py [--kills 30] [--seed 0] [--suite suites/smoke.yaml] [--workers 2]

Each kill hits the whole process group, one worker, or the parent alone (SIGTERM, SIGKILL, SIGHUP). Every third kill
comes while a cell is being written. Afterwards the script checks that no process is left after five seconds, and
starts the run again. No finished cell may be lost or measured again. The tables of a finished run are compared with
those of an undisturbed run. The next run then begins in an empty folder. The script prints its counts, and exits with
1 if any check failed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from processes import below, end_all, started_by

ROOT = Path(__file__).resolve().parents[2]
WAYS = ("group", "worker", "SIGTERM", "SIGKILL", "SIGHUP")
PATIENCE = 5.0  # the seconds after which no process may be left
TABLES = ("cells.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.md", "index.html", "plan.json", "suite.yaml")
MARK = "ROBENCH_FAULTS"  # an environment variable by which the processes of a run are found


class Runs:
    """The runs of one suite, and the checks that failed."""

    def __init__(self, suite: Path, workers: int, place: Path) -> None:
        self.suite, self.workers, self.place = suite.resolve(), workers, place
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []

    def add(self, problem: str) -> None:
        """Records a failed check, and prints it at once."""
        print(f"problem: {problem}", flush=True)
        self.problems.append(problem)

    def start(self, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
        """Starts a run in a folder, and returns its process and its mark.

        The mark is the value of the variable ``MARK`` in every process of the run.
        """
        mark = f"{self.place.name}-{self.counts['starts']}"
        self.counts["starts"] += 1
        sources = os.pathsep.join(str(ROOT / part) for part in ("benchmark", "plugins"))
        folder.mkdir(parents=True, exist_ok=True)
        env = {**os.environ, "PYTHONPATH": sources, "ROBENCH_CACHE": str(folder / "cache"), MARK: mark}
        command = [sys.executable, "-m", "robench", "run", str(self.suite), "--results", str(folder / "results")]
        with (folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [*command, "--workers", str(self.workers)],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return process, mark

    def check_end(self, mark: str, what: str) -> None:
        """Records a problem if a process of an ended run does not end in time.

        A process that is still alive after ``PATIENCE`` seconds is killed.

        Args:
            mark: the mark of the run's processes.
            what: the description of the run, for messages.
        """
        limit = time.monotonic() + PATIENCE
        while started_by(MARK, mark) and time.monotonic() < limit:
            time.sleep(0.1)
        if left := started_by(MARK, mark):
            self.add(f"{what}: {len(left)} processes left after {PATIENCE:g} s")
            end_all(left)


def stored(folder: Path) -> dict[str, str]:
    """Maps the id of every measured cell to the digest of its record."""
    records = {path.stem: path.read_bytes() for path in (folder / "results" / "cells").glob("*.json")}
    return {cell: hashlib.sha256(text).hexdigest() for cell, text in records.items() if b'"status": "ok"' in text}


def tables(folder: Path) -> dict[str, bytes]:
    """Returns the contents of the ``TABLES`` that a run has written, by name."""
    return {name: (folder / "results" / name).read_bytes() for name in TABLES if (folder / "results" / name).exists()}


def leftovers(folder: Path) -> list[str]:
    """Returns the names of temporary files in the results folder and the cache."""
    paths = [path for part in ("results", "cache") for path in (folder / part).rglob("*")]
    return [path.name for path in paths if path.suffix == ".tmp" or (path.suffix == ".npz" and path.stem.count("."))]


def kill(process: subprocess.Popen[bytes], way: str, draw: random.Random) -> bool:
    """Sends a signal to a run or to one of its workers.

    Returns:
        Whether the signal was sent. The result is False if the run has no worker yet, or if the worker has just ended.
    """
    if way == "group":
        os.killpg(process.pid, signal.SIGKILL)
    elif way == "worker":
        deepest = [pid for pid in below(process.pid) if not below(pid)]
        if not deepest:
            return False
        try:
            os.kill(draw.choice(deepest), signal.SIGKILL)
        except ProcessLookupError:
            return False
    else:
        os.kill(process.pid, getattr(signal, way))
    return True


def await_moment(process: subprocess.Popen[bytes], folder: Path, seconds: float, *, write: bool) -> None:
    """Waits for some seconds, or until the run ends.

    If ``write`` is true, the function then waits until a file of a cell appears or disappears. The kill then disturbs
    the writing of the cell.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)
    before = len(list((folder / "results" / "cells").glob("*")))
    while write and process.poll() is None and len(list((folder / "results" / "cells").glob("*"))) == before:
        time.sleep(0.001)


class Chain:
    """A folder with a run that is killed and resumed until it ends."""

    def __init__(self, runs: Runs, folder: Path, expected: dict[str, bytes]) -> None:
        self.runs, self.folder, self.expected = runs, folder, expected
        self.known: dict[str, str] = {}
        self.finished = False

    def step(self, number: int, way: str | None, seconds: float, *, write: bool, draw: random.Random) -> bool:
        """Starts the run, kills the run, and checks what is left.

        The function checks the exit code, the processes and the cells after the end of the run.

        Args:
            number: the number of the kill, for messages.
            way: the way in which the run is killed. If it is None, the run is left alone.
            seconds: the time from the start to the kill.
            write: whether to wait, after these seconds, until a file of a cell appears or disappears.
            draw: the random numbers that choose the worker to kill.

        Returns:
            Whether a process was killed before the end of the run.
        """
        process, mark = self.runs.start(self.folder)
        killed = False
        if way is not None:
            await_moment(process, self.folder, seconds, write=write)
            killed = process.poll() is None and kill(process, way, draw)
        what = f"kill {number} ({way})" if killed else self.folder.name
        self.finished = self._wait(process, what, None if not killed or way == "worker" else way)
        self.runs.check_end(mark, what)
        self._check_cells(what)
        return killed

    def _wait(self, process: subprocess.Popen[bytes], what: str, way: str | None) -> bool:
        """Waits for the end of the run, and returns whether the exit code is 0.

        ``way`` is the way in which the run was killed, or None. An unexpected exit code is recorded as a problem.
        """
        code = process.wait(None if way is None else 60)
        allowed = {"SIGTERM": (143, -15), "SIGHUP": (129, -1), "SIGKILL": (-9,), "group": (-9,), None: (0,)}[way]
        if code not in (0, *allowed):
            self.runs.add(f"{what}: exit code {code}")
            print((self.folder / "log").read_text()[-2000:])
        return code == 0

    def _check_cells(self, what: str) -> None:
        now = stored(self.folder)
        if again := [cell for cell in self.known if now.get(cell) != self.known[cell]]:
            self.runs.add(f"{what}: {len(again)} finished cells were measured again or lost")
        self.known = now

    def compare(self) -> None:
        """Compares the tables of the finished run, and looks for temporary files."""
        found = tables(self.folder)
        if changed := [name for name in self.expected if found.get(name) != self.expected[name]]:
            self.runs.add(f"{self.folder.name}: {', '.join(changed)} differ from the undisturbed run")
        if left := leftovers(self.folder):
            self.runs.add(f"{self.folder.name}: temporary files are left: {', '.join(left[:3])}")


def undisturbed(runs: Runs, folder: Path) -> float:
    """Runs the suite without a kill, and returns the duration in seconds."""
    start = time.monotonic()
    process, mark = runs.start(folder)
    if process.wait() != 0:
        raise SystemExit((folder / "log").read_text())
    seconds = time.monotonic() - start
    runs.check_end(mark, "undisturbed")
    print(f"undisturbed: {len(stored(folder))} cells in {seconds:.0f} s", flush=True)
    return seconds


def main() -> int:
    """Runs all kills and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suite", type=Path, default=ROOT / "suites" / "smoke.yaml")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    draw, done, compared = random.Random(given.seed), 0, 0
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        runs = Runs(given.suite, given.workers, place)
        seconds = undisturbed(runs, place / "undisturbed")
        expected = tables(place / "undisturbed")
        while done < given.kills:
            chain = Chain(runs, place / f"run {compared}", expected)
            while not chain.finished:
                way = WAYS[done % len(WAYS)] if done < given.kills else None
                write = done % 3 == 2
                if chain.step(done + 1, way, draw.uniform(0.1, 0.6) * seconds, write=write, draw=draw):
                    done += 1
                    runs.counts[f"{way} during writes" if write else str(way)] += 1
                    print(f"kill {done}: {way}{' during writes' if write else ''}", flush=True)
                elif not chain.finished:
                    break
                elif done < given.kills:
                    seconds *= 0.7  # the run ended before the kill: the machine is faster now, or the rest was short
            chain.compare()
            compared += 1
    print(f"{done} kills ({', '.join(f'{name} {count}' for name, count in sorted(runs.counts.items()))})")
    print(f"{compared} runs finished and were compared, {len(runs.problems)} problems", *runs.problems, sep="\n")
    return 1 if runs.problems else 0


if __name__ == "__main__":
    sys.exit(main())
