"""Compares attacks on titles with random edits.

    python tools/perf/titles.py [--targets 20] [--model text-bert] [--seed 0] [--only typo]

The data is MovieLens latest-small (at least 5 interactions per user and 20 per item) with all users. The model is
text-bert, or ``--model``, fitted with one seed. Each attack rewrites the titles of ``targets`` items that few users
have used. The budget ε of an attack is a share of the title's length.

``reach`` is the mean share of users who get such an item among their first ten. ``random`` is the same share under
random edits in the same unit, with at least as many evaluations. ``clean`` is the share with genuine titles. Intervals
are those of the paired difference over items (bootstrap, 95%). The table also shows the similarity of new and genuine
titles, which the host's encoder computes, and the number of evaluations.

The exit code is 1 if an attack is not better than random edits.
"""

import argparse
import math
import sys
import time

import numpy as np
import torch
from scipy.stats import bootstrap

from robench.api import Defense, Rng, TrainData
from robench.api.data import joined
from robench.engine.data.prepare import prepare
from robench.engine.data.targets import choose_targets, evaluated_users
from robench.engine.fit.loop import fit
from robench.engine.measure import MeasuredVictim
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.spec import Part, TargetChoice

SPLIT = Part("leave-last-out", {"seed": 0}, "leave-last-out")
ATTACKS = [
    ("prefix", 1.0),
    ("hotflip", 1.0),
    ("typo", 0.34),
    ("rewrite", 2.0),
]  # the last one uses SmolLM2 and runs only on request


def reach(found, k=10):
    """Returns the share of users with each item in their first k: [targets].

    Users who have used the item are left out.
    """
    ranks = found.arrays["target_ranks"]
    return ((ranks > 0) & (ranks <= k)).sum(1) / (ranks > 0).sum(1)


def interval(difference):
    found = bootstrap((difference,), np.mean, rng=np.random.default_rng(0), method="percentile").confidence_interval
    return found.low, found.high


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--model", default="text-bert")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=[name for name, _ in ATTACKS[:-1]])
    given = parser.parse_args()
    torch.set_num_threads(1)
    registry = Registry.of(Host.discover())
    source = registry.load("dataset", "movielens-small").make(min_user_interactions=5, min_item_interactions=20)
    data = prepare(source.load(), source.config, SPLIT)
    seen = TrainData(data.train, data.validation, data.catalogue)
    model = registry.load("model", given.model).make()
    fit(model, seen, Defense(), Rng(given.seed).child("fit"), device=torch.device("cpu"))
    history, users = joined(data.train, data.validation), evaluated_users(data, None)
    bench = MeasuredVictim(model, history, data.test, users, given.seed, data.catalogue)
    (targets,) = choose_targets(data.train, TargetChoice(given.targets, "unpopular", 1))
    clean = reach(bench.clean(targets))
    print("| attack | ε | clean | random | reach | above random | likeness | evaluations | seconds |")
    print("|---|---|---|---|---|---|---|---|---|")
    missed = 0
    for name, epsilon in ATTACKS:
        if name not in given.only:
            continue
        attack = registry.load("attack", name).make()
        start = time.process_time()
        found = bench.attacked(attack, epsilon, name, targets)
        seconds = time.process_time() - start
        looks = math.ceil(found.achieved["queries"] / len(bench.users))
        floor = registry.load("attack", "random-rewrite").make(draws=looks, unit=attack.config.unit)
        random = bench.attacked(floor, epsilon, "random", targets)
        low, high = interval(reach(found) - reach(random))
        missed += low <= 0
        means = " | ".join(f"{part.mean():.4f}" for part in (clean, reach(random), reach(found)))
        gap = f"{(reach(found) - reach(random)).mean():.4f} [{low:.4f}, {high:.4f}]"
        like = found.achieved.get("similarity_mean", math.nan)
        print(f"| {name} | {epsilon} | {means} | {gap} | {like:.2f} | {looks} | {seconds:.0f} |", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
