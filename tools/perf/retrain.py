"""Compares the CPU time of a suite's grid with that of repeated training.

    python tools/perf/retrain.py [--suite FILE] [--only KEY=VALUE ...] [--set PATH=VALUE ...] [--metrics NAME ...]

Repeated training is the usual practice of the field: a model is trained anew for every attack, ε and metric. First the
selected part of the suite is run once. Then every attacked cell is run alone for every metric. The cache is empty each
time, so the victim is fitted again. Each run fits and attacks its victims in a single process. The CPU seconds of this
process count, including the start of Python and the import of torch. The script is also the plugin that offers the
executor of these runs.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from robench.api import Emit, Executor, Task, Work, hookimpl

ROOT = Path(__file__).resolve().parents[2]
PART = ("model=mf", "defense=none", "seed=0", "attack=fgsm", "attack=pgd", "norm=linf")


class InProcess(Executor):
    """An executor that runs every task in the run's own process."""

    def run(self, tasks: Sequence[Task], work: Work, emit: Emit) -> None:
        """Runs the tasks one after the other."""
        for task in tasks:
            work(task, emit)


@hookimpl
def robench_executors() -> dict[str, type[Executor]]:
    """Returns the executor ``InProcess`` under its name."""
    return {"in-process": InProcess}


def run(suite: Path, options: Sequence[str], results: Path) -> float:
    """Runs a part of a suite with an empty cache.

    Returns:
        The CPU seconds of the run's process.
    """
    paths = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as cache:
        places = {"PYTHONPATH": paths, "ROBENCH_PLUGINS": Path(__file__).stem, "ROBENCH_CACHE": cache}
        command = [sys.executable, "-m", "robench", "run", str(suite), "--executor", "in-process"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command += ["--results", str(results), "--set", "ranking=[]", *options]
        subprocess.run(command, env={**os.environ, **places}, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Prints the CPU seconds of one run and of repeated training, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, default=ROOT / "suites" / "default.yaml")
    parser.add_argument("--only", nargs="*", default=list(PART), help="the part of the suite that is measured")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the suite")
    parser.add_argument("--metrics", nargs="+", default=["ndcg@10", "hr@10"])
    given = parser.parse_args()
    overrides = [part for one in given.set for part in ("--set", one)]
    only = [part for one in given.only for part in ("--only", one)]
    with tempfile.TemporaryDirectory() as temporary:
        whole = Path(temporary) / "whole"
        metrics = ["--set", f"metrics=[{', '.join(given.metrics)}]"]
        once = run(given.suite, [*overrides, *metrics, *only], whole)
        records = [json.loads(path.read_text("utf-8")) for path in sorted((whole / "cells").glob("*.json"))]
        cells = [record["id"] for record in records if record["status"] == "ok" and record["spec"]["attack"]]
        print(f"once: {once:.1f} s of CPU for {len(cells)} attacked cells and {len(given.metrics)} metrics", flush=True)
        anew = 0.0
        for cell in cells:
            for metric in given.metrics:
                options = [*overrides, "--set", f"metrics=[{metric}]", "--only", f"cell={cell}"]
                anew += run(given.suite, options, Path(temporary) / f"{cell}-{metric.partition('@')[0]}")
        print(f"anew: {anew:.1f} s of CPU for {len(cells) * len(given.metrics)} trainings")
        print(f"ratio: {anew / once:.1f}")


if __name__ == "__main__":
    main()
