"""Compares attacks that promote items on the same victims, pair by pair.

    python tools/perf/attack_orders.py FOLDER [--measure t-percentile t-hr@50] [--attacks A B ...]

``FOLDER`` holds the results of a suite. For each undefended model, threat model, budget and measure, the script
compares each attack with the one before it in ``--attacks``. By default, the attacks are sorted by their harm. A line
has the means of both attacks, and the mean of their paired differences with its 95% interval. A pair has the same seed
and the same targets. The interval is that of the tables, in which seeds and targets are random. The last word is
``stronger`` if the interval lies above 0, ``weaker`` if it lies below 0, and else ``undecided``.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np

from robench.api.metric import Measure
from robench.entrance.tables import read_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.tables.stats import estimate_mean
from robench.tables.units import pair_units


def compare(results, measure, weaker, stronger):
    """Returns the means of two attacks on a victim, and the estimated difference."""
    twins = {(cell.seed, cell.target_set): cell for cell in weaker}
    before, after = pair_units(results, stronger, measure, lambda cell: twins.get((cell.seed, cell.target_set)))
    return float(np.nanmean(before)), float(np.nanmean(after)), estimate_mean(after - before)


def harm(results, measure, cells):
    """Returns the mean value of the cells of one attack."""
    _, value, _ = compare(results, measure, cells, cells)
    return value


def print_orders(results, measure, chosen):
    """Prints the lines of one measure."""
    groups = results.grouped(
        lambda cell: (cell.key, cell.threat, cell.epsilon),
        lambda cell: cell.goal == "promote" and not cell.key.defended,
    )
    for (key, _, epsilon), cells in groups.items():
        attacks = {}
        for cell in cells:
            attacks.setdefault(cell.attack_label, []).append(cell)
        by_harm = sorted(attacks, key=lambda label: harm(results, measure, attacks[label]))
        order = [label for label in chosen if label in attacks] or by_harm
        for weaker, stronger in pairwise(order):
            low, high, gap = compare(results, measure, attacks[weaker], attacks[stronger])
            ends = gap.interval((-1, 1))
            word = "stronger" if ends.low > 0 else "weaker" if ends.high < 0 else "undecided"
            print(
                f"{key.model_label:12} ε={epsilon:<5} {measure!s:13} {weaker:18} {low:.4f}  {stronger:18} {high:.4f}  "
                f"{high - low:+.4f} [{ends.low:+.4f}, {ends.high:+.4f}]  {word}"
            )


def main():
    """Prints the lines of every measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--measure", nargs="+", default=["t-percentile", "t-hr@50"])
    parser.add_argument("--attacks", nargs="+", default=[], help="labels of attacks, the weakest first")
    options = parser.parse_args()
    results = read_folder(Path(options.folder), Registry.of(Host.discover()))
    for name in options.measure:
        print_orders(results, Measure.parse(name), options.attacks)


if __name__ == "__main__":
    main()
