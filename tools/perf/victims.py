"""Measures the cost of a separate process per victim.

    python tools/perf/victims.py [--tasks 50]

The tasks do nothing and run one after another. The script prints the seconds for the start of the fork server and a
first task, the number of threads per process, and the seconds per further task. The server has imported torch and the
engine of robench, as in a run.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from robench.api import Task
from robench.testing.executors import echo
from robench_plugins.executors.isolation.launch import Launcher


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=50)
    count = parser.parse_args().tasks
    with Launcher(echo, 1) as launcher:
        start = time.perf_counter()
        launcher.run([Task("first", {"say": 0})], 1, lambda event: None)
        print(f"fork server and first task: {time.perf_counter() - start:.2f} s")
        threads = [len(os.listdir(place / "task")) for place in Path("/proc").glob("[0-9]*") if _is_child(place)]
        print(f"threads of the processes that were started: {threads}")
        start = time.perf_counter()
        launcher.run([Task(str(number), {"say": number}) for number in range(count)], 1, lambda event: None)
        print(f"{(time.perf_counter() - start) / count:.3f} s per task, {count} tasks, load {os.getloadavg()[0]:.1f}")


def _is_child(place: Path) -> bool:
    try:
        return (place / "stat").read_text().rpartition(")")[2].split()[1] == str(os.getpid())
    except OSError:
        return False


if __name__ == "__main__":
    main()
