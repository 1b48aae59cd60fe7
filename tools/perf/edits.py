"""Compares auto on histories with its version 1, and with the optimum.

    python tools/perf/edits.py [--only model=ease] [--seeds 0] [--epsilon 1 2 4] [--goal promote] [--rules place=end]

For each victim of suites/history.yaml and each ε, the script prints the metric, the CPU seconds and the scorings per
user under each version. The metric is NDCG@10, or T-HR@10 if an item is promoted. ``--rules`` applies rules for edits
to the current version alone. For untargeted attacks on an additive model at ε = 1 without rules, the script also prints
the optimum. The optimum comes from all single edits, scored with the model's own item vectors. The exit code is 1 if
the metric under the current version exceeds the optimum by more than 0.0001. Fitted models are kept in the cache.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from suite_victims import suite_victims  # the module in the same folder

from robench.api import Interactions, Member
from robench.suite.yaml import parse_scalar
from robench_plugins.attacks.auto import Auto
from robench_plugins.attacks.history.greedy_edit import GreedyEdit
from robench_plugins.attacks.history.greedy_gradient import GreedyGradient
from robench_plugins.attacks.history.random_edit import RandomEdit

LAST = 10  # the length of the lists
NEAR = 1e-9  # scores in double precision that differ by less are equal
GAP = 1e-4


class Auto1(Auto):
    """Version 1 of auto on ``history``."""

    def members(self, *, gradients: bool, stochastic: bool) -> list[Member]:
        """Returns the members of version 1."""
        substitution = GreedyEdit.make(**self._edits(edits=("substitute",)))
        return [
            Member("random-edit", RandomEdit.make(**self._edits(draws=100)), everyone=True),
            *([Member("greedy-gradient", GreedyGradient.make(**self._edits()), everyone=True)] if gradients else []),
            Member("greedy-substitution", substitution, everyone=True),
            Member("greedy-edit", GreedyEdit.make(**self._edits())),
        ]


def gains(ranks):
    """Returns the NDCG@10 of users with one held-out item each, from the item's rank."""
    return np.where((ranks > 0) & (ranks <= LAST), 1 / np.log2(1 + np.maximum(ranks, 1)), 0.0)


def value(arrays, goal):
    """Returns NDCG@10 over all users, or T-HR@10 over the users without the target."""
    if goal == "untargeted":
        return float(gains(arrays["ranks"]).sum() / len(arrays["users"]))
    ranks = arrays["target_ranks"]
    return float(((ranks > 0) & (ranks <= LAST)).sum() / max(1, (ranks > 0).sum()))


def optimum(victim):
    """Returns NDCG@10 over all users after the worst single edit of each hit user.

    The model must be additive: the scores of a history are the sum of the scores of its items, each alone.
    """
    model, n_items = victim.model, victim.history.n_items
    vectors = model.newcomers(Interactions.from_rows([[item] for item in range(n_items)], n_items)).astype(np.float64)
    clean, total = victim.clean(None).arrays["ranks"], 0.0
    for user in victim.users[(clean > 0) & (clean <= LAST)]:
        row, y = victim.history.row(user), int(victim.held.row(user)[0])
        free = np.setdiff1d(np.arange(n_items), [*row, y])
        new = np.concatenate([np.zeros((1, n_items)), vectors[free]])
        rivals = np.setdiff1d(np.arange(n_items), row)
        start = vectors[row].sum(0)
        worst = 0
        for less in (np.zeros(n_items), *vectors[row]):
            scores = (start - less)[rivals] + new[:, rivals]
            own = (start - less)[y] + new[:, y]
            worst = max(worst, int((scores >= own[:, None] - NEAR).sum(1).max()))
        total += float(gains(np.array(worst)))
    return total / len(victim.users)


def timed(victim, attack, epsilon, targets):
    """Returns the measurement of a cell, and the CPU seconds."""
    start = time.process_time()
    measurement = victim.attacked(attack, epsilon, "", targets)
    return measurement, time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epsilon", nargs="+", type=float, default=[1])
    parser.add_argument("--goal", choices=["untargeted", "promote"], default="untargeted")
    parser.add_argument("--rules", nargs="*", default=[])
    given = parser.parse_args()
    rules = {name: parse_scalar(text) for name, _, text in (rule.partition("=") for rule in given.rules)}
    failed = False
    head = f"{'victim':28}{'ε':>4}{'clean':>8}{'auto@1':>8}{'now':>8}{'best':>8}"
    print(f"{head}{'s @1':>8}{'s now':>8}{'scorings @1':>13}{'now':>8}")
    for one in suite_victims(Path("suites/history.yaml"), given.only, [f"seeds={given.seeds}"]):
        if "history" not in one.model.model.surfaces:
            continue
        targets = None if given.goal == "untargeted" else one.targets
        clean = value(one.model.clean(targets).arrays, given.goal)
        for epsilon in given.epsilon:
            old, before = timed(one.model, Auto1.make(surface="history", goal=given.goal), epsilon, targets)
            new, now = timed(one.model, Auto.make(surface="history", goal=given.goal, **rules), epsilon, targets)
            left = [value(measurement.arrays, given.goal) for measurement in (old, new)]
            exact = epsilon == 1 and given.goal == "untargeted" and not rules and one.model.model.additive
            best = optimum(one.model) if exact else None
            failed |= best is not None and left[1] > best + GAP
            scorings = [int(m.achieved["queries"] / max(1, m.members[0]["users"])) for m in (old, new)]
            numbers = "".join(f"{number:8.4f}" for number in (clean, *left))
            shown = f"{'' if best is None else f'{best:.4f}':>8}"
            print(
                f"{one.label:28}{epsilon:4g}{numbers}{shown}{before:8.1f}{now:8.1f}{scorings[0]:13}{scorings[1]:8}",
                flush=True,
            )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
