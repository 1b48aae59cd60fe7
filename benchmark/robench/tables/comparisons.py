"""Gaps between the attacks on one row, paired, and what they say of the attacks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from robench.api.threat import SURFACES, Threat
from robench.store.record import ENSEMBLE
from robench.tables.members import WHITE
from robench.tables.results import Columns, Results, threat_of
from robench.tables.rows import Matrix
from robench.tables.stats import Interval, interval

GRADIENT, FLOOR, BLACK_BOX = "gradient", "floor", "black-box"  # kinds of attack, see ``Cell.kind``
Key = tuple[str, str, float, Threat | None]  # attack, label, ε, threat model


class Gap(NamedTuple):
    """The flag to set, and its explanation, if ``interval`` shows that an attack is weaker than another that should not
    be stronger; ``reached``: the mean of what that other one leaves.
    """

    name: str
    why: str
    interval: Interval
    reached: float


@dataclass(frozen=True)
class Scale:
    """What attacks are compared by.

    Args:
        left: what an attack leaves in a cell, float64 [units], the less the stronger; None where it was not measured.
            Units are users; where one rewriting serves all users, the promoted items.
        per_item: whether the units are items.
    """

    left: Callable[[Columns], Matrix | None]
    per_item: bool = False

    def weakness(self, one: Sequence[Columns], two: Sequence[Columns]) -> tuple[Interval, float] | None:
        """How much more the worst of ``one`` leaves than the worst of ``two``, paired over units, on the seeds that
        both have and the target sets of all of these, and the mean of what ``two`` leaves; None without any.
        """
        first, second = self._least(one), self._least(two)
        seeds: dict[int, dict[int, tuple[Matrix, Matrix]]] = {}
        for seed, number in sorted(first.keys() & second.keys()):
            seeds.setdefault(seed, {})[number] = first[seed, number], second[seed, number]
        common = set.intersection(*(set(sets) for sets in seeds.values())) if seeds else set[int]()
        if not common:
            return None
        whole = [[pair for number, pair in sorted(sets.items()) if number in common] for sets in seeds.values()]
        # Items of two sets are different units, users of two sets the same.
        join = np.concatenate if self.per_item else _mean
        gaps = np.stack([join([a - b for a, b in sets]) for sets in whole])
        found = interval(gaps)
        if self.per_item:
            # A bootstrap over few items is too sure of itself, so Student's t too, items in the place of seeds.
            items = gaps[:, ~np.isnan(gaps).any(0)].mean(0)
            other = interval(np.stack([items, items], 1))
            found = Interval(found.mean, min(found.low, other.low), max(found.high, other.high))
        return found, float(np.nanmean([b for sets in whole for _, b in sets]))

    def _least(self, cells: Sequence[Columns]) -> dict[tuple[int, int], Matrix]:
        """Per seed and target set the least value of each unit over the cells."""
        found: dict[tuple[int, int], Matrix] = {}
        for c in cells:
            values, key = self.left(c), (c["seed"], c["target_set"] or 0)
            if values is not None:
                found[key] = np.minimum(found.get(key, values), values)
        return found


def held_out(results: Results, metric: str) -> Scale:
    """By a metric of held-out items."""
    return Scale(lambda columns: results.per_user(columns, metric))


def promoted(results: Results, surface: str) -> tuple[Scale, Scale]:
    """By the share of promoted items in the top k (of a user's, or, where titles are rewritten, of an item's users),
    and by what the host chooses between candidates with: an attack that is ahead in one alone is not the stronger one.
    """
    per_item = surface == "text"

    def of(value: Callable[[Matrix, int], Matrix]) -> Scale:
        def left(columns: Columns) -> Matrix | None:
            ranks = results.arrays(columns["cell"]).get("target_ranks")
            return None if ranks is None else -mean_over(value(ranks, columns["k"]), ranks > 0, 1 if per_item else 0)

        return Scale(left, per_item)

    def hits(ranks: Matrix, k: int) -> Matrix:
        return (ranks <= k).astype(float)

    def gains(ranks: Matrix, k: int) -> Matrix:
        within = np.ones_like(ranks, dtype=bool) if SURFACES[surface].each_user_alone else ranks <= k
        found: Matrix = within / np.log2(1 + np.maximum(ranks, 1))
        return found

    return of(hits), of(gains)


def mean_over(values: Matrix, there: NDArray[np.bool_], axis: int) -> Matrix:
    """Mean of the values that are there, NaN without any. Args: values, there (bool) [T, U]."""
    count = there.sum(axis)
    total = np.where(there, values, 0.0).sum(axis)
    found: Matrix = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return found


def gaps(results: Results, cells: Sequence[Columns], scale: Scale) -> Iterator[Gap]:
    """How much weaker the attacks on a row are that should be stronger. Args: cells: of one row."""
    by_attack: dict[Key, list[Columns]] = {}
    for c in cells:
        by_attack.setdefault((c["attack"], c["attack_label"], c["epsilon"], threat_of(c)), []).append(c)
    for key, group in by_attack.items():
        for other, others in by_attack.items():
            relation = _relation(results, key, group, other, others) if key[3] == other[3] else None
            if relation is not None and (found := scale.weakness(group, others)) is not None:
                yield Gap(*relation, *found)
        # On titles a search may add words where gradients lead to substitutions: that it breaks more says nothing.
        if group[0].get("kind") == BLACK_BOX and group[0]["surface"] != "text":
            same = [g for k, g in by_attack.items() if k[2:] == key[2:] and g[0].get("kind") in WHITE]
            found = scale.weakness([c for g in same for c in g], group)
            if found is not None:
                why = f"{key[1]} breaks more through scores than every gradient attack at ε={key[2]:g}: they are blind"
                yield Gap("black-box beats white-box", why, *found)


def _relation(
    results: Results, key: Key, group: Sequence[Columns], other: Key, others: Sequence[Columns]
) -> tuple[str, str] | None:
    """The flag to set and its explanation if the attack ``key`` turns out weaker than ``other``, or None."""
    (attack, label, epsilon, _), (name, other_label, other_epsilon, _) = key, other
    kind, other_kind = group[0].get("kind"), others[0].get("kind")
    found = None
    if label == other_label:
        if kind in (GRADIENT, ENSEMBLE) and other_epsilon < epsilon:
            why = f"{label} is weaker at ε={epsilon:g} than at ε={other_epsilon:g}: it does not use its budget"
            found = "not monotone in ε", why
    elif other_epsilon == epsilon and kind == ENSEMBLE and other_kind != ENSEMBLE:
        found = "stronger than the ensemble", f"{other_label} breaks more than {label} at ε={epsilon:g}"
    elif other_epsilon == epsilon and kind == GRADIENT:
        # Many random points may beat one gradient step; only as many evaluations are a fair floor.
        if other_kind == FLOOR and _evaluations(results, others) <= _evaluations(results, group):
            why = f"{label} at ε={epsilon:g} breaks less than {other_label} does: its gradient does not help"
            found = "no better than random", why
        elif attack == name and _steps(results, group, others):
            why = f"{label} is weaker than {other_label}, which takes fewer steps, at ε={epsilon:g}"
            found = "more steps are weaker", why
    return found


def _evaluations(results: Results, cells: Sequence[Columns]) -> float:
    """Score evaluations that an attack spent, mean over seeds."""
    return float(np.mean([results.records[c["cell"]]["achieved"].get("queries", 0) for c in cells]))


def _steps(results: Results, one: Sequence[Columns], two: Sequence[Columns]) -> bool:
    """Whether ``one`` takes more steps than ``two``."""
    first, second = (results.records[cells[0]["cell"]]["spec"]["attack"]["config"] for cells in (one, two))
    return bool(first.get("steps", 0) > second.get("steps", 0))


def _mean(parts: Sequence[Matrix]) -> Matrix:
    """Entry by entry, of the parts that have one."""
    stacked = np.stack(parts)
    return mean_over(stacked, ~np.isnan(stacked), 0)
