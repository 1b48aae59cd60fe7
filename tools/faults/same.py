"""Runs a suite under different circumstances and compares every cell bit for bit.

    python tools/faults/same.py [--suite suites/smoke.yaml] [--set seeds=[0]] [NAME ...]

The comparison is with a plain run. Each other run differs from the plain run in one circumstance:

- the number of workers, or the executor ``dask``
- the order of a victim's cells
- the number of users per chunk
- the seed of Python's hashes, or other environment variables

Each run has an empty cache. Without names all circumstances are tried. The script prints a line per run, and exits with
1 if a cell differs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))
from same_cells import differences  # noqa: E402  # a script of the folder above

CHUNK = "benchmark/robench/engine/rank/chunk.py"
TASKS = "benchmark/robench/run/runner.py"


@dataclass(frozen=True)
class Circumstance:
    """A way in which a run differs from a plain run with one worker.

    Args:
        options: Options of ``robench run``.
        environment: Environment variables.
        edits: A string and its replacement, for each file to edit in a copy of the source.
    """

    options: tuple[str, ...] = ("--workers", "1")
    environment: dict[str, str] = field(default_factory=dict)
    edits: dict[str, tuple[str, str]] = field(default_factory=dict)


CIRCUMSTANCES = {
    "2 workers": Circumstance(("--workers", "2")),
    "4 workers": Circumstance(("--workers", "4")),
    "dask": Circumstance(("--workers", "2", "--executor", "dask")),
    "hash seed": Circumstance(environment={"PYTHONHASHSEED": "12345"}),
    "environment": Circumstance(environment={"TZ": "Asia/Tokyo", "LC_ALL": "C", "OMP_NUM_THREADS": "2"}),
    "reverse order": Circumstance(
        edits={
            TASKS: (
                "[cell_to_payload(cell) for cell in limited_last(some.values())]",
                "[cell_to_payload(cell) for cell in limited_last(some.values())][::-1]",
            )
        }
    ),
    "chunks of 64 users": Circumstance(
        edits={CHUNK: ("scores, most = CHUNK_SCORES, 1024", "scores, most = CHUNK_SCORES, 64")}
    ),
}


def run(suite: Path, place: Path, circumstance: Circumstance, options: list[str]) -> Path:
    """Runs a suite with a copy of the source, and returns the results folder.

    Args:
        suite: the file of the suite.
        place: a folder for the copy, the cache and the results.
        circumstance: the difference from a plain run.
        options: more options of ``robench run``.
    """
    sources = place / "source"
    for part in ("benchmark", "plugins"):
        shutil.copytree(ROOT / part, sources / part, ignore=shutil.ignore_patterns("__pycache__"))
    for name, (text, other) in circumstance.edits.items():
        content = (sources / name).read_text(encoding="utf-8")
        if content.count(text) != 1:
            raise SystemExit(f"{name}: the text to replace does not occur once: {text}")
        (sources / name).write_text(content.replace(text, other), encoding="utf-8")
    path = os.pathsep.join(str(sources / part) for part in ("benchmark", "plugins"))
    environment = {**os.environ, "PYTHONPATH": path, "ROBENCH_CACHE": str(place / "cache"), **circumstance.environment}
    command = [sys.executable, "-m", "robench", "run", str(suite.resolve()), "--results", str(place / "results")]
    command += [*circumstance.options, *options]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {done.stderr[-2000:]}")
    return place / "results"


def main() -> int:
    """Runs the suite under each chosen circumstance, and returns the exit code."""
    parser = argparse.ArgumentParser(description="Compares runs under other circumstances, bit for bit.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(CIRCUMSTANCES)}")
    parser.add_argument("--suite", type=Path, default=ROOT / "suites" / "smoke.yaml")
    parser.add_argument("--set", action="append", default=[], help="passed to robench run")
    options = parser.parse_args()
    settings = [part for text in options.set for part in ("--set", text)]
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        plain = run(options.suite, Path(folder) / "plain", Circumstance(), settings)
        for name in options.names or CIRCUMSTANCES:
            other = run(options.suite, Path(folder) / name.replace(" ", "-"), CIRCUMSTANCES[name], settings)
            count, lines = differences(plain, other)
            print(f"{name}: {count} cells, {len(lines)} differ", flush=True)
            for line in lines[:20]:
                print(f"  {line}")
            failed |= bool(lines)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
