"""Compares version 2 of the ensemble auto with the current version.

    python tools/perf/ensembles.py [--suite suites/whitebox.yaml] [--only model=mf] [--seeds 0] [--surface embedding]
                                   [--rounds 1] [--members]

For each victim of the suite, and each cell of auto, the script prints NDCG@10 and the CPU seconds under each version,
and the ratio of the seconds. Both versions attack the same fitted victim. The goal is that the current version needs at
most 0.7 times the CPU seconds in total. With ``--surface parameters``, the same norms and ε are used on the embedding
tables. ``--members`` also prints what each member of the current version adds. Fitted models are kept in the cache. The
exit code is 1 if the goal is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from suite_victims import suite_victims  # the module in the same folder

from robench.api import Member
from robench_plugins.attacks.auto import Auto
from robench_plugins.attacks.embedding.apgd import Apgd
from robench_plugins.attacks.embedding.cw import CarliniWagner
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.random_noise import RandomNoise
from robench_plugins.attacks.embedding.random_search import RandomSearch

GOAL = 0.7
LAST = 10  # the length of the lists


class Auto2(Auto):
    """Version 2 of auto on ``embedding`` and ``parameters``."""

    def members(self, *, gradients: bool, stochastic: bool) -> list[Member]:
        """Returns the members of version 2."""
        ball = self._ball(stochastic)
        if self.config.surface == "parameters":
            return [
                Member("random-noise", RandomNoise.make(**ball, draws=20)),
                Member("pgd-20", Pgd.make(**ball, steps=20)),
                *(Member(f"apgd-{loss}", Apgd.make(**ball, loss=loss, steps=30)) for loss in ("ce", "margin", "bpr")),
                Member("random-search", RandomSearch.make(**ball, loss="ce", queries=50)),
            ]
        cw = Member("cw", CarliniWagner.make(**ball, steps=40, search=4)) if self.config.norm == "l2" else None
        return [
            Member("random-noise", RandomNoise.make(**{**ball, "expectation": 1}, draws=40), everyone=True),
            Member("pgd-10", Pgd.make(**ball, steps=10), everyone=True),
            Member("pgd-40", Pgd.make(**ball, steps=40), everyone=True),
            Member("apgd-ce", Apgd.make(**ball, loss="ce", steps=50)),
            Member("apgd-margin", Apgd.make(**ball, loss="margin", steps=50)),
            Member("apgd-bpr", Apgd.make(**ball, loss="bpr", steps=30)),
            *([cw] if cw else []),
            Member("random-search", RandomSearch.make(**ball, queries=300), everyone=True),
        ]


def ndcg(arrays):
    """Returns the mean NDCG@10 of users with one held-out item each."""
    ranks = arrays["ranks"]
    return float(np.where((ranks > 0) & (ranks <= LAST), 1 / np.log2(1 + ranks), 0.0).sum() / len(arrays["users"]))


def timed(victim, attack, epsilon, rounds):
    """Returns the measurement of a cell, and the CPU seconds of the fastest round."""
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        measurement = victim.attacked(attack, epsilon, "")
        seconds.append(time.process_time() - start)
    return measurement, min(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, default=Path("suites/whitebox.yaml"))
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--surface", choices=["embedding", "parameters"], default="embedding")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--members", action="store_true")
    given = parser.parse_args()
    total = np.zeros(2)
    print(
        f"{'victim':44}{'norm':>5}{'ε':>6}{'clean':>8}{'auto@2':>8}{'now':>8}{'less':>7}{'s @2':>8}{'s now':>8}{'':>7}"
    )
    conditions = [*given.only, "attack=auto"]
    for one in suite_victims(given.suite, conditions, [f"seeds={given.seeds}"]):
        clean = ndcg(one.model.clean(None).arrays)
        one.model.attacked(Pgd.make(steps=1), 0.01, "")  # the first gradient of a process imports modules
        for cell in (cell for cell in one.cells if cell.attack is not None):
            config = {"norm": cell.threat.norm, "surface": given.surface}
            (old, before), (new, now) = (
                timed(one.model, kind.make(**config), cell.epsilon, given.rounds) for kind in (Auto2, Auto)
            )
            total += before, now
            left = [ndcg(measurement.arrays) for measurement in (old, new)]
            less = f"{left[1] / left[0] - 1:+.1%}" if left[0] else "-"
            numbers = "".join(f"{value:8.4f}" for value in (clean, *left))
            print(
                f"{one.label:44}{cell.threat.norm:>5}{cell.epsilon:6g}{numbers}{less:>7}{before:8.2f}{now:8.2f}"
                f"{now / before:6.2f}x",
                flush=True,
            )
            for row in new.members if given.members else []:
                print("    " + ", ".join(f"{name} {row[name]}" for name in row), flush=True)
    ratio = total[1] / total[0]
    print(f"CPU: {total[0]:.1f} s and {total[1]:.1f} s, {ratio:.2f}x; goal at most {GOAL}x")
    return int(ratio > GOAL)


if __name__ == "__main__":
    sys.exit(main())
