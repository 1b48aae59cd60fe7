"""Compares the attacks on one row and finds attacks that are too weak.

An attack is too weak if an attack that should not be stronger does more harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robench.api.data import FloatArray, IntArray
from robench.api.metric import Measure
from robench.api.surfaces import SURFACES
from robench.api.threat import Threat
from robench.spec import CellRow
from robench.store.record import ENSEMBLE
from robench.tables.results import Results, grouped
from robench.tables.stats import Interval, compute_interval

# the kinds of attack; see ``Cell.kind``
GRADIENT, MINIMUM_NORM, FLOOR, BLACK_BOX = "gradient", "minimum-norm", "floor", "black-box"
WHITE = (GRADIENT, MINIMUM_NORM)


class Attacked(NamedTuple):
    """The identity of an attack at one ε on a row.

    Different attacks on a row differ in at least one field.
    """

    attack: str
    label: str
    epsilon: float
    threat: Threat | None


LEAST_GAP = 0.02  # the smallest gap that counts
# A gradient only estimates what an edit does. A search tries each edit, so it may win a little on an honest model.
LEAST_GAP_OF_EDITS = 0.1


class Comparison(NamedTuple):
    """A comparison of an attack with another attack that should not be stronger.

    Args:
        flag: the flag to set if the gap shows that the first attack is weaker.
        why: the explanation of the flag.
        gap: the amount by which the first attack is weaker than the second, with its interval.
        level: the value with which the gap is compared, which depends on the kind of comparison.
        least: the smallest gap that counts, as a share of the level.
    """

    flag: str
    why: str
    gap: Interval
    level: float
    least: float = LEAST_GAP


@dataclass(frozen=True)
class Yardstick:
    """A scale on which attacks are compared.

    Args:
        left: a function that returns the values under the attack of a cell, float64 [units]. The result is None if the
            values were not measured. A stronger attack leaves smaller values. Units are users, or promoted items.
        per_item: whether the units are items.
    """

    left: Callable[[CellRow], FloatArray | None]
    per_item: bool = False

    def compare(self, one: Sequence[CellRow], two: Sequence[CellRow]) -> tuple[Interval, float] | None:
        """Returns the gap between two groups of cells, and the mean value under ``two``.

        The gap is the value under ``one`` minus that under ``two``. For each unit, the strongest cell of each group
        counts. The groups are paired over units, on their common seeds and on the target sets that all of these seeds
        have.

        Args:
            one: the cells of the attack that should not be weaker.
            two: the cells of the attack that should not be stronger.

        Returns:
            The gap with its interval and the mean value, or None if the groups have nothing in common.
        """
        first, second = self._least(one), self._least(two)
        seeds: dict[int, dict[int, tuple[FloatArray, FloatArray]]] = {}
        for seed, number in sorted(first.keys() & second.keys()):
            seeds.setdefault(seed, {})[number] = first[seed, number], second[seed, number]
        common = set.intersection(*(set(sets) for sets in seeds.values())) if seeds else set[int]()
        if not common:
            return None
        whole = [[pair for number, pair in sorted(sets.items()) if number in common] for sets in seeds.values()]
        # Two target sets have the same users but different items. So the items of two sets are different units.
        join = np.concatenate if self.per_item else _mean
        gaps = np.stack([join([a - b for a, b in sets]) for sets in whole])
        return compute_interval(gaps), float(np.nanmean([b for sets in whole for _, b in sets]))

    def _least(self, cells: Sequence[CellRow]) -> dict[tuple[int, int], FloatArray]:
        """Returns the smallest value of each unit, by seed and target set."""
        least: dict[tuple[int, int], FloatArray] = {}
        for cell in cells:
            values, key = self.left(cell), (cell.seed, cell.target_set or 0)
            if values is not None:
                least[key] = np.minimum(least.get(key, values), values)
        return least


def make_held_out_yardstick(results: Results, measure: Measure) -> Yardstick:
    """Returns the yardstick for attacks on held-out items."""
    return Yardstick(lambda cell: results.per_user(cell, measure))


def make_promotion_yardsticks(results: Results, surface: str) -> tuple[Yardstick, Yardstick]:
    """Returns the two yardsticks for attacks that promote items.

    An attack counts as stronger only if it is stronger by both yardsticks.

    The first yardstick is, for each promoted item, the share of the users with this item in the top k. The second
    yardstick is the gain by which the host chooses between candidates: the mean of 1 / log2(1 + rank) over the users.
    If one perturbation serves all users, ranks beyond k have no gain. Users with the item in their data are left out.
    Both values have a minus sign, because a stronger attack must leave smaller values.

    Items are the units, because they are a sample too, and an effect on one item says little about others.
    """

    def yardstick(value: Callable[[IntArray, int], FloatArray]) -> Yardstick:
        def left(cell: CellRow) -> FloatArray | None:
            ranks = results.arrays(cell).get("target_ranks")
            if ranks is None:
                return None
            return -compute_mean_over(value(ranks, cell.k or 0), ranks > 0, 1)

        return Yardstick(left, per_item=True)

    def hits(ranks: IntArray, k: int) -> FloatArray:
        return (ranks <= k).astype(float)

    def gains(ranks: IntArray, k: int) -> FloatArray:
        within = np.ones_like(ranks, dtype=bool) if SURFACES[surface].each_user_alone else ranks <= k
        discounted: FloatArray = within / np.log2(1 + np.maximum(ranks, 1))
        return discounted

    return yardstick(hits), yardstick(gains)


def compute_mean_over(values: FloatArray, defined: NDArray[np.bool_], axis: int) -> FloatArray:
    """Returns the mean of the defined values along an axis.

    The mean is NaN if no value is defined.

    Args:
        values: the value of each target and user, float64 [targets, users].
        defined: whether each value is defined, bool [targets, users].
        axis: the axis along which the mean is taken.
    """
    count = defined.sum(axis)
    total = np.where(defined, values, 0.0).sum(axis)
    means: FloatArray = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return means


def compare_attacks(results: Results, cells: Sequence[CellRow], yardstick: Yardstick) -> Iterator[Comparison]:
    """Yields comparisons of attacks with attacks that should not be stronger.

    ``_relation`` decides which attacks are compared. In addition, all white-box attacks together are compared with each
    search by scores under the same threat model and ε, except on titles.

    Args:
        results: the results of the folder.
        cells: the cells of one row.
        yardstick: the yardstick of the comparison.
    """
    by_attack = grouped(cells, _attacked)
    for one, group in by_attack.items():
        for two, others in by_attack.items():
            relation = _relation(results, one, group, two, others) if one.threat == two.threat else None
            if relation is not None and (gap := yardstick.compare(group, others)) is not None:
                yield Comparison(*relation, *gap)
        # On titles, a search may add words, but gradients only substitute words. So a stronger search proves nothing.
        if group[0].kind == BLACK_BOX and group[0].surface != "text":
            same = [
                cell
                for two, others in by_attack.items()
                if (two.epsilon, two.threat) == (one.epsilon, one.threat) and others[0].kind in WHITE
                for cell in others
            ]
            gap = yardstick.compare(same, group)
            if gap is not None:
                why = f"{one.label} breaks more through scores than every gradient attack at ε={one.epsilon:g}: "
                least = LEAST_GAP_OF_EDITS if group[0].surface == "history" else LEAST_GAP
                yield Comparison("black-box beats white-box", why + "they are blind", *gap, least)


def _attacked(cell: CellRow) -> Attacked:
    return Attacked(cell.attack, cell.attack_label, cell.epsilon, cell.threat)


def _relation(
    results: Results, one: Attacked, group: Sequence[CellRow], two: Attacked, others: Sequence[CellRow]
) -> tuple[str, str] | None:
    """Returns the flag and the explanation to use if the first attack is weaker.

    The result is None if the first attack is allowed to be weaker than the second.
    """
    kind, other_kind, epsilon = group[0].kind, others[0].kind, one.epsilon
    if one.label == two.label:
        if kind in (GRADIENT, ENSEMBLE) and two.epsilon < epsilon:
            why = f"{one.label} is weaker at ε={epsilon:g} than at ε={two.epsilon:g}: it does not use its budget"
            return "not monotone in ε", why
        return None
    if two.epsilon != epsilon:
        return None
    relation = None
    if kind == ENSEMBLE and other_kind != ENSEMBLE:
        relation = "stronger than the ensemble", f"{two.label} breaks more than {one.label} at ε={epsilon:g}"
    elif kind == GRADIENT:
        # Many random points may beat one gradient step. A fair floor needs no more evaluations than the attack.
        if other_kind == FLOOR and _evaluations(results, others) <= _evaluations(results, group):
            why = f"{one.label} at ε={epsilon:g} breaks less than {two.label} does: its gradient does not help"
            relation = "no better than random", why
        elif one.attack == two.attack and _takes_more_steps(results, group, others):
            why = f"{one.label} is weaker than {two.label}, which takes fewer steps, at ε={epsilon:g}"
            relation = "more steps are weaker", why
    return relation


def _evaluations(results: Results, cells: Sequence[CellRow]) -> float:
    """Returns the number of score evaluations of an attack, averaged over its cells."""
    return float(np.mean([results.record(cell)["achieved"].get("queries", 0) for cell in cells]))


def _takes_more_steps(results: Results, one: Sequence[CellRow], two: Sequence[CellRow]) -> bool:
    first, second = (results.record(cells[0])["spec"]["attack"]["config"] for cells in (one, two))
    return bool(first.get("steps", 0) > second.get("steps", 0))


def _mean(parts: Sequence[FloatArray]) -> FloatArray:
    """Returns the mean of several arrays, entry by entry, leaving out NaN."""
    stacked = np.stack(parts)
    return compute_mean_over(stacked, ~np.isnan(stacked), 0)
