"""Measures the CPU time of an L2 cell of auto per hit user, on a large catalogue.

    python tools/perf/hit_users.py [--suite suites/beauty.yaml] [--only model=mf model=sasrec] [--set PATH=VALUE ...]
                                   [--sample 4000] [--epsilon 0.05] [--rounds 1] [--profile]

For each selected victim of the suite with seed 0, a cell of auto at ε attacks a sample of users. A hit user has the
held-out item in the clean top 10. The script prints the number of hit users, NDCG@10 without and under the attack, and
the CPU seconds of the cell, with the milliseconds per hit user. The checks of a victim run once per victim, before the
first attack on vectors. So their seconds have a column of their own. ``--rounds`` repeats the measurement, and the CPU
time of the fastest round counts. ``--profile`` also prints the functions that take the most time.

Everything runs on one thread in this process, with the memory settings of a suite's workers. Fitted models are kept in
the cache. The goals are 55 ms per hit user on MF and 130 ms on SASRec. The exit code is 1 if a goal is missed.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from suite_victims import suite_victims  # a module in the same folder
from worker_environment import enter_worker_environment  # a module in the same folder

from robench_plugins.attacks.auto import Auto

GOALS = {"mf": 55.0, "sasrec": 130.0}  # milliseconds per hit user
LAST = 10  # the length of the lists
LINES = 25  # the number of functions in a profile


def gains(ranks):
    """Returns each user's NDCG@10, given the rank of the only held-out item."""
    return np.where((ranks > 0) & (ranks <= LAST), 1 / np.log2(1 + ranks), 0.0)


def timed(call):
    """Returns the result of a call, and its CPU seconds."""
    start = time.process_time()
    result = call()
    return result, time.process_time() - start


def print_profile(call):
    """Prints the functions that take the most time in a call."""
    profiler = cProfile.Profile(time.process_time)
    profiler.runcall(call)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(LINES)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, default=Path("suites/beauty.yaml"))
    parser.add_argument("--only", nargs="+", default=[f"model={name}" for name in GOALS])
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--sample", type=int, default=4000)
    parser.add_argument("--epsilon", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    point = torch.ones(1, requires_grad=True)
    torch.autograd.grad(point.sum(), point)  # the first gradient of a process imports modules
    overrides = ["seeds=[0]", f"users={{sample: {given.sample}, seed: 0}}", *given.set]
    columns = f"{'users':>7}{'hit':>6}{'clean':>8}{'auto':>8}{'checks s':>10}{'cell s':>9}{'ms per hit user':>17}"
    print(f"{'victim':24}{columns}", flush=True)
    missed = 0
    for one in suite_victims(given.suite, given.only, overrides):

        def attacked(victim=one.model):
            return victim.attacked(Auto.make(norm="l2"), given.epsilon, "")

        clean = gains(one.model.clean(None).arrays["ranks"])
        checks = timed(lambda victim=one.model: victim.checks)[1]
        rounds = [timed(attacked) for _ in range(given.rounds)]
        left, seconds = gains(rounds[0][0].arrays["ranks"]), min(spent for _, spent in rounds)
        hit = int((clean > 0).sum())
        cost = 1e3 * seconds / hit
        goal = GOALS.get(one.cells[0].victim.model.name, np.inf)
        missed += cost > goal
        numbers = f"{len(clean):7}{hit:6}{clean.mean():8.4f}{left.mean():8.4f}{checks:10.2f}{seconds:9.2f}{cost:17.1f}"
        print(f"{one.label:24}{numbers}{f'  MISSED {goal:g}' if cost > goal else ''}", flush=True)
        if given.profile:
            print_profile(attacked)
    return int(missed > 0)


if __name__ == "__main__":
    enter_worker_environment()
    sys.exit(main())
