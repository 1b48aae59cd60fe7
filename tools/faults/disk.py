"""Runs a suite with full or read-only disks, and in other adverse conditions.

    python tools/faults/disk.py [--suite suites/smoke.yaml]

The other conditions are a second run in the same folder, lock files that are links, and little memory. The script needs
Linux and root. Small file systems in memory (tmpfs) replace the disks. Each case checks the exit code, the lines on
standard error and the tables. The script prints a line per case, and exits with 1 if any check failed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLES = ("cells.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.md", "index.html")


@dataclass
class Disks:
    """A folder with an undisturbed run, and the number of cases that failed."""

    suite: Path
    place: Path
    problems: int = 0

    def command(self, *arguments: str, cache: Path | None = None, memory: int = 0) -> subprocess.Popen[str]:
        """Starts ``robench`` with the given arguments.

        Args:
            *arguments: The arguments of the command.
            cache: The folder of the cache. The default is that of the undisturbed run.
            memory: The limit on the address space in KiB, or 0 for no limit.
        """
        sources = os.pathsep.join(str(ROOT / part) for part in ("benchmark", "plugins"))
        env = {**os.environ, "PYTHONPATH": sources, "ROBENCH_CACHE": str(cache or self.place / "cache")}
        whole = [sys.executable, "-m", "robench", *arguments]
        limited = ["bash", "-c", f'ulimit -v {memory}; exec "$@"', "bash", *whole] if memory else whole
        pipe = subprocess.PIPE
        return subprocess.Popen(limited, stdout=pipe, stderr=pipe, text=True, env=env, cwd=self.place)

    def run(self, *arguments: str, cache: Path | None = None, memory: int = 0) -> tuple[int, str]:
        """Runs ``robench`` and returns the exit code and standard error."""
        process = self.command(*arguments, cache=cache, memory=memory)
        _, errors = process.communicate()
        return process.returncode, errors

    def measure(self, results: str | Path, cache: Path | None = None) -> tuple[int, str]:
        """Runs the suite, and returns the exit code and standard error."""
        return self.run("run", str(self.suite), "--results", str(results), cache=cache)

    def check(self, case: str, *checks: bool) -> None:
        """Prints whether all checks of a case hold, and counts the case if not."""
        self.problems += not all(checks)
        print(f"{'ok' if all(checks) else 'FAILED'}: {case} {'' if all(checks) else checks}", flush=True)

    def same(self, results: Path) -> bool:
        """Returns whether the tables of a folder equal those of the undisturbed run."""
        files = [(results / name, self.place / "undisturbed" / name) for name in TABLES]
        return all(one.exists() and one.read_bytes() == other.read_bytes() for one, other in files)


@contextmanager
def small_disk(path: Path, kib: int) -> Iterator[Path]:
    """Mounts a file system of ``kib`` KiB in memory while the block runs."""
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def size_of(folder: Path) -> int:
    """Returns the size that a folder has in a tmpfs, in KiB."""
    return sum(-(-path.stat().st_size // 4096) * 4 + 4 for path in folder.rglob("*"))


def one_line(errors: str, text: str) -> bool:
    """Returns whether exactly one line of the errors contains a string.

    No line may belong to a traceback.
    """
    return "Traceback" not in errors and sum(text in line for line in errors.splitlines()) == 1


def full_results(disks: Disks) -> None:
    """Runs a suite with its results on small disks of several sizes.

    Each run is resumed on a large disk.
    """
    whole = size_of(disks.place / "undisturbed")
    for share in (0.1, 0.3, 0.5, 0.6, 0.7):
        with small_disk(disks.place / "small", int(whole * share)) as disk:
            code, errors = disks.measure(disk / "r")
            kept = len(list((disk / "r" / "cells").glob("*.json")))
            unfinished = list(disk.rglob("*.tmp"))
            target = disks.place / f"resumed-{share}"
            shutil.copytree(disk / "r", target) if (disk / "r").exists() else None
        again, _ = disks.measure(target)
        case = f"results on a disk of {share:.0%}: exit {code}, {kept} records kept, resumed with exit {again}"
        disks.check(case, code == 2, one_line(errors, "No space left"), not unfinished, again == 0, disks.same(target))


def full_cache(disks: Disks) -> None:
    """Runs a suite twice, each time with its cache on a small disk.

    The first disk has no room for data, and the second has room for the data alone.
    """
    with small_disk(disks.place / "small", 16) as disk:
        code, errors = disks.measure(disks.place / "no data", disk / "c")
        disks.check(
            f"no room for prepared data: exit {code}", code == 2, one_line(errors, "the cache cannot be written")
        )
    data = disks.place / "cache" / "data"
    with small_disk(disks.place / "small", size_of(data) + 64) as disk:
        shutil.copytree(data, disk / "c" / "data")
        with suppressed_full(disk / "fill") as file:
            file.write(bytes(1 << 20))
        code, errors = disks.measure(disks.place / "no checkpoints", disk / "c")
        fine = (
            code == 0,
            one_line(errors, "results are measured without it"),
            disks.same(disks.place / "no checkpoints"),
        )
        disks.check(f"no room for checkpoints: exit {code}", *fine)


@contextmanager
def suppressed_full(path: Path) -> Iterator[object]:
    """Yields a file that a block can write until the disk is full.

    The error of the full disk is ignored.
    """
    file = path.open("wb", buffering=0)
    try:
        yield file
    except OSError:
        pass
    finally:
        file.close()


def read_only(disks: Disks) -> None:
    """Tries commands with read-only results, with a read-only cache, and with both."""
    with small_disk(disks.place / "small", 1 << 16) as disk:
        shutil.copytree(disks.place / "undisturbed", disk / "r")
        shutil.copytree(disks.place / "cache", disk / "c")
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        results, cache, suite = str(disk / "r"), disk / "c", str(disks.suite)
        cell = next((disk / "r" / "cells").glob("*.json"))
        reading = (
            *(["plan", suite, "--results", results], ["show", str(cell)], ["show", results], ["plugins"]),
            *(["verify", results, "--sample", "1"], ["recommend", suite, "--user", "1"], ["cache", "info"]),
            ["leaderboard", str(shutil.copytree(disk / "r", disks.place / "written"))],
        )
        for arguments in reading:
            code, errors = disks.run(*arguments, cache=cache)
            disks.check(f"read-only, {arguments[0]}: exit {code}", code == 0, "Traceback" not in errors)
        for arguments in (["leaderboard", results], ["run", suite, "--results", results], ["pack", results]):
            code, errors = disks.run(*arguments)
            line = one_line(errors, f"{results}: cannot be written: Read-only file system")
            disks.check(f"read-only, {arguments[0]}: exit {code}", code == 2, line)
        code, errors = disks.measure(disks.place / "ro cache", cache)
        disks.check(f"read-only cache, run: exit {code}", code == 2, one_line(errors, "the cache cannot be written"))


def two_runs(disks: Disks) -> None:
    """Starts a second run and a pack in a folder in which a run is at work.

    A last run starts after the first run was killed.
    """
    results = disks.place / "shared"
    first = disks.command("run", str(disks.suite), "--results", str(results), "--workers", "1")
    while not (results / "plan.json").exists() and first.poll() is None:
        time.sleep(0.1)
    for arguments in (["run", str(disks.suite), "--results", str(results)], ["pack", str(results)]):
        code, errors = disks.run(*arguments)
        line = one_line(errors, f"another run is at work in this folder: process {first.pid} on ")
        disks.check(f"{arguments[0]} beside a run: exit {code}", code == 2, line)
    first.kill()
    first.communicate()
    unfinished = results / ".plan.json.abcd1234.tmp"
    unfinished.touch()
    os.utime(unfinished, (time.time() - 2,) * 2)
    code, _ = disks.measure(results)
    left = [path.name for path in results.iterdir() if path.name.endswith(".tmp")]
    disks.check(f"a run after a killed one: exit {code}, left {left}", code == 0, not left, disks.same(results))


def links(disks: Disks) -> None:
    """Runs the suite with a lock file that is a link to another file.

    The run must be refused, and the other file must not change.
    """
    precious = disks.place / "precious"
    precious.write_text("mine")
    for link in (os.symlink, os.link):
        results = disks.place / f"linked by {link.__name__}"
        results.mkdir()
        link(precious, results / ".run.lock")
        code, errors = disks.measure(results)
        fine = code == 2, one_line(errors, "cannot be written"), precious.read_text() == "mine"
        disks.check(f"a lock file that is a {link.__name__}: exit {code}", *fine)


def little_memory(disks: Disks) -> None:
    """Rebuilds the tables with a limited address space.

    The engine of the drawing library fails under such a limit. The page must then be written without pictures.
    """
    results = shutil.copytree(disks.place / "undisturbed", disks.place / "limited")
    for gib in (4, 8, 64):
        code, errors = disks.run("leaderboard", str(results), memory=gib << 20)
        said = "could not be drawn" in (results / "index.html").read_text()
        case = f"ulimit -v of {gib} GiB: exit {code}"
        disks.check(case, code == 0, one_line(errors, "the page is written without pictures"), said)


def main() -> int:
    """Runs all cases and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, default=ROOT / "suites" / "smoke.yaml")
    suite = parser.parse_args().suite.resolve()
    with tempfile.TemporaryDirectory() as name:
        disks = Disks(suite, Path(name))
        code, errors = disks.measure(disks.place / "undisturbed")
        if code:
            raise SystemExit(errors)
        for case in (full_results, full_cache, read_only, two_runs, links, little_memory):
            case(disks)
    print(f"{disks.problems} problems")
    return 1 if disks.problems else 0


if __name__ == "__main__":
    sys.exit(main())
