"""Checks by simulation that the statistics keep their error rates.

Usage: ``python tools/perf/null_worlds.py [--worlds N] [--large] [--pairs results/*]``.

A world has five rows of equal quality and one better row. The first row stands for the undefended model, and the others
are compared with it. Values are like NDCG@10: 15% of the users are hits on average, and the others have 0. Most of a
user's difficulty is the same in all rows. Every fit has its own noise and its own quality. The relative standard
deviation of the quality differs between the settings. The parts of the variance are close to those of
``results/whitebox``.

With ``--pairs``, real fits are tested instead. Two fits of one row form a pair, and differ only in the seed. A test of
a single pair cannot measure the spread of fits, so robench makes no such test. A group has n pairs, each from a
different model. It therefore has n differences with a true mean of 0, as in a comparison over n seeds. The script draws
such groups from each table, and tests them as robench does.

The exit code is 1 if a rate is outside its bounds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri, stdtr

from robench.api.data import FloatArray
from robench.entrance.tables import read_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.tables.attack_set import build_attack_set
from robench.tables.rows import build_rows
from robench.tables.stats import LEVEL, adjust_p_values, compute_rank_ranges, estimate_mean

ROWS, HIT_SHARE = 5, 0.15
COMMON, OWN, FIT = 0.76, 0.04, 0.2  # the shares of the variance of a user's score
BETTER = 0.3  # the relative difference by which power is measured
BOUNDS = {"single": (3, 6), "family": (3, 6), "ranks": (0, 6), "coverage": (94, 97)}  # in percent


class Rates(NamedTuple):
    """The rates in one setting, in percent.

    Args:
        single: the share of pairs of equal rows with p below 5%.
        family: the share of worlds in which another equal row differs from the first row after Holm's correction.
        ranks: the share of worlds in which an equal row does not have the full range of ranks.
        coverage: the share of intervals that contain the true mean.
        power: the share of worlds in which the better row differs from the first row with p below 5%.
        paired_t: the share of such worlds if p comes from a paired t-test over seeds.
    """

    single: float
    family: float
    ranks: float
    coverage: float
    power: float
    paired_t: float


def make_world(generator: np.random.Generator, seeds: int, users: int, spread: float) -> FloatArray:
    """Returns the values of a world, float64 [ROWS + 1, seeds, users].

    The value of a hit at rank r is 1 / log2(1 + r), with r from 1 to 10, and that of any other user is 0. In the last
    row, users are hits more often, by the share ``BETTER``.

    Args:
        generator: the random numbers.
        seeds: the number of seeds.
        users: the number of users.
        spread: the standard deviation of a fit's quality, relative to the mean.
    """
    shape = (ROWS + 1, seeds, users)
    scores = np.sqrt(COMMON) * generator.standard_normal((1, 1, users))
    scores = scores + np.sqrt(OWN) * generator.standard_normal((ROWS + 1, 1, users))
    scores = scores + np.sqrt(FIT) * generator.standard_normal(shape)
    share = HIT_SHARE * (1 + spread * generator.standard_normal((ROWS + 1, seeds, 1)))
    share[-1] *= 1 + BETTER
    share = np.clip(share, 1e-3, 0.9)
    values, hit = np.zeros(shape), scores > ndtri(1 - share)
    rank = np.ceil(10 * ndtr(-scores[hit]) / np.broadcast_to(share, shape)[hit])
    values[hit] = 1 / np.log2(1 + np.maximum(rank, 1))
    return values


def measure_rates(worlds: int, seeds: int, users: int, spread: float) -> Rates:
    """Returns the rates over simulated worlds.

    Equal arguments give equal rates.
    """
    generator = np.random.default_rng([seeds, users, round(100 * spread)])
    single, family, ranks, power, paired, rows = [], 0, 0, 0, 0, []
    for _ in range(worlds):
        *equal, better = make_world(generator, seeds, users, spread)
        p = {pair: estimate_mean(equal[pair[0]] - equal[pair[1]]).compute_p() for pair in combinations(range(ROWS), 2)}
        single += p.values()
        family += min(adjust_p_values([value for (i, _), value in p.items() if i == 0])) < LEVEL
        ranks += any(r[1:] != (1, ROWS) for r in compute_rank_ranges(equal, higher_is_better=True))
        gap = better - equal[0]
        power += estimate_mean(gap).compute_p() < LEVEL
        means = gap.mean(1)
        t = abs(means.mean()) / (means.std(ddof=1) / np.sqrt(seeds))
        paired += 2 * float(stdtr(seeds - 1, -t)) < LEVEL
        rows.append(estimate_mean(equal[0]).interval())
    truth = np.mean([row.mean for row in rows])
    covered = np.mean([row.low <= truth <= row.high for row in rows])
    shares = (np.mean(np.array(single) < LEVEL), family / worlds, ranks / worlds, covered, power / worlds)
    return Rates(*(100 * float(share) for share in (*shares, paired / worlds)))


def find_problems(rates: Rates, slack: float = 0.0) -> list[str]:
    """Returns the names of the rates outside their bounds.

    The bounds are widened by ``slack`` percentage points.
    """
    return [n for n, (low, high) in BOUNDS.items() if not low - slack <= getattr(rates, n) <= high + slack]


def read_pairs(folder: Path) -> Iterator[tuple[str, dict[str, list[FloatArray]]]]:
    """Yields the differences between seeds, for each kind of values in a folder.

    Each result is a pair: a description of the values, and the differences by model. A difference is that between two
    seeds of a row, float64 [U] for U units. Each table has clean and attacked values. Clean values that several tables
    share are yielded once. Baselines are left out, and so are rows with the same values for all seeds.

    Args:
        folder: the folder of results.
    """
    results = read_folder(folder, Registry.of(Host.discover()))
    known = set()
    for place in results.places:
        for table in results.plan.ranking:
            rows = build_rows(results, table, place, build_attack_set(results, table, place))
            for kind in ("clean", "attacked"):
                models: dict[str, list[FloatArray]] = {}
                for row in rows:
                    values = row.clean if kind == "clean" else row.worst
                    if values is None or row.baseline or not values.std(0).any():
                        continue
                    pairs = [values[i] - values[j] for i, j in combinations(range(len(values)), 2)]
                    models.setdefault(row.key.model_label, []).extend(pairs)
                threat = f" under {table.threat.surface} {table.threat.norm} ε={table.epsilon:g}"
                name = f"{folder.name}: {kind} {table.metric}{threat if kind == 'attacked' else ''}"
                if (name, place) not in known:
                    known.add((name, place))
                    yield name, models


def measure_pairs(models: dict[str, list[FloatArray]], groups: int, size: int) -> tuple[float, float]:
    """Returns the shares of differences with p below 5%, in percent.

    The first share is that of single pairs, tested over units alone. The second one is that of groups of pairs.

    Args:
        models: the differences by model.
        groups: the number of groups.
        size: the number of pairs in a group, each of another model.
    """
    single = [estimate_mean(pair[None]).compute_p() < LEVEL for pairs in models.values() for pair in pairs]
    generator = np.random.default_rng(size)
    found = 0
    for _ in range(groups):
        chosen = generator.choice(sorted(models), size, replace=False)
        signs = generator.choice([-1.0, 1.0], size)
        picked = [models[name][generator.integers(len(models[name]))] for name in chosen]
        found += estimate_mean(np.stack(picked) * signs[:, None]).compute_p() < LEVEL
    return 100 * float(np.mean(single)), 100 * found / groups


def print_pairs(folders: Sequence[Path], groups: int) -> int:
    """Prints the shares for each kind of values, and the means of the shares.

    Returns:
        The number of group sizes with a mean out of bounds.
    """
    shares: dict[int, list[float]] = {}
    print("| values | pairs | single pairs | groups of 3 | groups of 5 |")
    print("|---|---|---|---|---|")
    for folder in folders:
        for name, models in read_pairs(folder):
            count, line = sum(map(len, models.values())), []
            for size in (3, 5):
                if len(models) >= size:
                    single, grouped = measure_pairs(models, groups, size)
                    shares.setdefault(size, []).append(grouped)
                    line.append(f"{grouped:.1f}%")
            if line:
                print(f"| {name} | {count} | {single:.1f}% | {' | '.join([*line, '–'][:2])} |", flush=True)
    wrong = 0
    for size, found in shares.items():
        mean, (low, high) = float(np.mean(found)), BOUNDS["single"]
        wrong += not low <= mean <= high
        print(f"groups of {size}: {mean:.1f}% on average over {len(found)} kinds of values")
    return wrong


def settings(*, large: bool) -> Iterator[tuple[int, int, float]]:
    """Yields the number of seeds, the number of users and the spread of fits."""
    for users in (671, 4473) if large else (671,):
        yield from ((seeds, users, spread) for seeds in (3, 5, 10) for spread in (0.0, 0.05, 0.12))


def main() -> int:
    """Prints the rates of simulated worlds or of pairs, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--large", action="store_true", help="also measure with 671 hit users of 4473")
    parser.add_argument("--pairs", type=Path, nargs="+", metavar="DIR", help="test seed pairs of these folders instead")
    arguments = parser.parse_args()
    if arguments.pairs:
        return int(print_pairs([folder for folder in arguments.pairs if folder.is_dir()], arguments.worlds) > 0)
    print("| seeds | users hit | sd of fits | single p | family | ranks | coverage | power | paired t |")
    print("|---|---|---|---|---|---|---|---|---|")
    wrong = 0
    for seeds, users, spread in settings(large=arguments.large):
        rates = measure_rates(arguments.worlds, seeds, users, spread)
        problems = find_problems(rates)
        wrong += bool(problems)
        numbers = " | ".join(f"{rate:.1f}%" for rate in rates)
        note = f" out of bounds: {', '.join(problems)}" if problems else ""
        print(f"| {seeds} | {users * HIT_SHARE:.0f} | {spread:g} | {numbers} |{note}", flush=True)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
