"""Computes slices: the values of groups of users, for victims or single cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robench.api.codec import inline
from robench.api.data import FloatArray, IntArray
from robench.api.metric import Measure
from robench.spec import CellRow, RowKey
from robench.store.npz import Arrays
from robench.tables.clean import choose_reference
from robench.tables.results import Results, is_baseline
from robench.tables.stats import Interval, compute_interval

Kind = Literal["activity", "popularity", "cold or warm"]
COLD, WARM, THIRDS = "cold", "warm", ("low", "middle", "high")


@dataclass(frozen=True)
class SliceRow:
    """The value of one group of users.

    Args:
        key: the data and the victim, without the seed.
        attack_label: the label of the attack at training time, or ``none`` for clean victims.
        epsilon: the budget of the attack.
        metric: the measure.
        slice: what the group has in common. See ``group_users``.
        group: the name of the group. See ``group_users``.
        users: the number of users in the group.
        seeds: the number of seeds.
        value: the mean over seeds and users, with its interval.
        worst: whether the slice has several groups, and none of them has a lower mean.
    """

    key: RowKey = field(metadata=inline("dataset", "split", "model_label", "defense_label", "lambda", "train_epsilon"))
    attack_label: str
    epsilon: float
    metric: Measure
    slice: Kind
    group: str
    users: int
    seeds: int
    value: Interval
    worst: bool


@dataclass(frozen=True)
class CellSliceRow:
    """The value of one group of users in one measured cell.

    Args:
        metric: the measure.
        slice: what the group has in common. See ``group_users``.
        group: the name of the group.
        users: the number of users in the group.
        value: the mean over the users.
        worst: whether the slice has several groups, and none of them has a lower mean.
    """

    metric: Measure
    slice: Kind
    group: str
    users: int
    value: float
    worst: bool


def group_users(known: Arrays) -> dict[Kind, dict[str, NDArray[np.bool_]]]:
    """Returns which users are in each group, bool [users], by slice and group.

    By activity, users are divided into thirds by the length of their history. By popularity, users are divided into
    thirds by the number of training interactions of their held-out item. If a user has several held-out items, the mean
    of their numbers counts. Equal values are in the same group, so groups differ in size, and an empty group is left
    out. If no held-out item of a user has training interactions, the user is in the group ``cold``. If there are both
    such users and others, the slice ``cold or warm`` has all others in the group ``warm``.

    Args:
        known: the arrays of users.npz for one data set and split, by short name.
    """
    bounds = known["held_out_indptr"]
    sums = np.concatenate([[0], np.cumsum(known["train_count"][known["held_out_items"]])])
    start, end = bounds[known["user"]], bounds[known["user"] + 1]
    popularity = (sums[end] - sums[start]) / np.maximum(end - start, 1)
    cold = popularity == 0
    groups: dict[Kind, dict[str, NDArray[np.bool_]]] = {
        "activity": _thirds(known["history_length"], np.ones(len(start), dtype=np.bool_)),
        "popularity": _thirds(popularity, ~cold),
    }
    if cold.any():
        groups["popularity"] = {COLD: cold} | groups["popularity"]
        if not cold.all():
            groups["cold or warm"] = {COLD: cold, WARM: ~cold}
    return groups


def _thirds(values: FloatArray | IntArray, chosen: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    """Divides the chosen users into thirds by a value and leaves out empty groups."""
    if not chosen.any():
        return {}
    edges = np.quantile(values[chosen], [1 / 3, 2 / 3])
    third = np.searchsorted(edges, values, side="left")
    groups = {name: chosen & (third == number) for number, name in enumerate(THIRDS)}
    return {name: members for name, members in groups.items() if members.any()}


def build_slice_rows(results: Results) -> list[SliceRow]:
    """Returns the values of groups of users, for clean and poisoned victims.

    The baseline has no rows. The measure is that of ``choose_reference``. Without such a measure, or for a data set
    without facts about users, there are no rows.
    """
    measure = choose_reference(results)
    if measure is None:
        return []
    known = {place: group_users(part) for place, part in results.known.items() if "train_count" in part}
    cells = results.grouped(
        lambda cell: (cell.key, cell.attack_label, cell.epsilon),
        lambda cell: (cell.clean or cell.stage == "train") and not is_baseline(cell),
    )
    rows = []
    for (key, label, epsilon), part in cells.items():
        groups = known.get("/".join(key.place))
        if groups is not None:
            rows += list(_rows(results, measure, (key, label, epsilon), part, groups))
    return rows


def build_cell_slices(results: Results, cell: CellRow, measures: Sequence[Measure]) -> list[CellSliceRow]:
    """Returns the values of groups of users in one measured cell.

    Cells under an attack at test time have slices too. The groups are those of the genuine data in users.npz, and
    the values follow from the cell's arrays. The list is empty for data without facts about users.

    Args:
        results: the results of the folder.
        cell: the measured cell.
        measures: the measures. Higher values must be better. Those that do not apply to the cell have no rows.
    """
    known = results.known.get("/".join(cell.key.place), {})
    if "train_count" not in known:
        return []
    rows = []
    for measure in measures:
        values = results.per_user(cell, measure)
        if values is None:
            continue
        for kind, parts in group_users(known).items():
            means = {name: float(values[members].mean()) for name, members in parts.items()}
            for name, members in parts.items():
                worst = len(parts) > 1 and means[name] == min(means.values())
                rows.append(CellSliceRow(measure, kind, name, int(members.sum()), means[name], worst))
    return rows


def _rows(
    results: Results,
    measure: Measure,
    head: tuple[RowKey, str, float],
    cells: Sequence[CellRow],
    groups: Mapping[Kind, Mapping[str, NDArray[np.bool_]]],
) -> Iterator[SliceRow]:
    """Yields the rows of one model and defence under one attack.

    Args:
        results: the results of the folder.
        measure: the measure.
        head: the first three fields of the rows.
        cells: the measured cells of the model, defence and attack, with all seeds and target sets.
        groups: the users of each group, bool [users], by slice and group.
    """
    by_seed: dict[int, list[FloatArray]] = {}
    for cell in cells:
        values = results.per_user(cell, measure)
        if values is not None:
            by_seed.setdefault(cell.seed, []).append(values)
    if not by_seed:
        return
    whole = np.stack([np.mean(by_seed[seed], axis=0) for seed in sorted(by_seed)])
    bounds = results.metric(measure).bounds
    for kind, parts in groups.items():
        means = {name: compute_interval(whole[:, members], bounds) for name, members in parts.items()}
        lowest = min((value.mean for value in means.values() if value.mean == value.mean), default=None)
        for name, members in parts.items():
            value = means[name]
            yield SliceRow(
                *head,
                measure,
                kind,
                name,
                int(members.sum()),
                len(whole),
                value,
                len(parts) > 1 and value.mean == lowest,
            )
