"""Summarises the members of ensembles by their first breaks and their costs.

The module also compares members with each other, to find members that are too weak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from robench.api.codec import IF_SET, inline
from robench.api.threat import Threat
from robench.spec import CellRow, RowKey
from robench.store.npz import Arrays
from robench.store.record import ENSEMBLE
from robench.tables.comparisons import BLACK_BOX, FLOOR, GRADIENT, LEAST_GAP, LEAST_GAP_OF_EDITS, WHITE, Comparison
from robench.tables.results import Results, grouped
from robench.tables.stats import compute_interval

MemberRecord = Mapping[str, Any]  # an entry of the record's ``members``


@dataclass(frozen=True)
class MemberRow:
    """The results of one ensemble member, combined over seeds.

    Args:
        name: the name of the member.
        kind: the kind of the member's attack.
        users: the number of users that the member attacked, averaged over cells.
        queries: the number of score evaluations per attacked user.
        gradients: the number of gradients per attacked user.
        first_breaks: the share of the broken users that the member broke first. The value is None if one perturbation
            serves all users.
        damage: the mean over users of −NDCG@k, or of the NDCG@k of promoted items. The value is None unless one
            perturbation serves all users.
    """

    name: str
    kind: str
    users: float
    queries: float
    gradients: float
    first_breaks: float | None = field(default=None, metadata=IF_SET)
    damage: float | None = field(default=None, metadata=IF_SET)


@dataclass(frozen=True)
class EnsembleRow:
    """The results of one ensemble at one ε, averaged over seeds.

    Args:
        key: the data and the victim, without the seed.
        attack_label: the label of the ensemble.
        threat: the threat model of the ensemble.
        epsilon: the budget.
        to_break: the number of users for whom the genuine input does not reach the goal. The value is None if titles
            are rewritten.
        broken: the number of users that the ensemble broke. The value is None if one perturbation serves all users.
        queries: the number of score evaluations. A scoring of n users counts as n evaluations.
        gradients: the number of gradients. A gradient evaluation of n users counts as n gradients.
        members: the rows of the members, in the order of the ensemble.
    """

    key: RowKey = field(metadata=inline())
    attack_label: str
    threat: Threat = field(metadata=inline("surface", "norm", "scale", "goal"))
    epsilon: float
    to_break: float | None
    broken: float | None
    queries: float
    gradients: float
    members: tuple[MemberRow, ...]


def build_ensemble_rows(results: Results) -> list[EnsembleRow]:
    """Returns one row per ``RowKey``, ensemble, threat model and ε."""
    groups = results.grouped(
        lambda cell: (cell.key, cell.attack_label, cell.threat, cell.epsilon), lambda cell: cell.kind == ENSEMBLE
    )
    return [
        _ensemble_row(results, key, label, threat, epsilon, cells)
        for (key, label, threat, epsilon), cells in groups.items()
        if threat is not None
    ]


def _ensemble_row(
    results: Results, key: RowKey, label: str, threat: Threat, epsilon: float, cells: Sequence[CellRow]
) -> EnsembleRow:
    records = [results.record(cell) for cell in cells]
    by_member: list[tuple[MemberRecord, ...]] = list(zip(*(record["members"] for record in records), strict=True))
    broken = sum(member.get("first_breaks", 0) for members in by_member for member in members)
    return EnsembleRow(
        key,
        label,
        threat,
        epsilon,
        _users_to_break(results, cells),
        broken / len(cells) if "first_breaks" in by_member[0][0] else None,
        float(np.mean([record["achieved"]["queries"] for record in records])),
        float(np.mean([record["achieved"]["gradients"] for record in records])),
        tuple(_member_row(members, broken) for members in by_member),
    )


def _users_to_break(results: Results, cells: Sequence[CellRow]) -> float | None:
    hits = [arrays["hit"].sum() for arrays in map(results.arrays, cells) if "hit" in arrays]
    return float(np.mean(hits)) if hits else None


def _member_row(members: Sequence[MemberRecord], broken: int) -> MemberRow:
    """Returns the row of one member.

    Args:
        members: the member's entries in the records, one per cell.
        broken: the number of users that the ensemble broke, summed over the cells.
    """
    users = sum(member["users"] for member in members)
    alone = "first_breaks" in members[0]
    return MemberRow(
        members[0]["name"],
        members[0]["kind"],
        users / len(members),
        sum(member["queries"] for member in members) / max(1, users),
        sum(member["gradients"] for member in members) / max(1, users),
        sum(member["first_breaks"] for member in members) / max(1, broken) if alone else None,
        None if alone else float(np.mean([member["damage"] for member in members])),
    )


def compare_members(results: Results, cells: Sequence[CellRow], clean: float) -> Iterator[Comparison]:
    """Yields comparisons of members with members that should not be stronger.

    If every user has a separate perturbation, ``_compare_breaks`` compares the members. If one perturbation serves all
    users, ``_compare_damage`` compares them. If the attack has target items, no members are compared.

    Args:
        results: the results of the folder.
        cells: the cells of one row.
        clean: the clean mean of the reference metric.
    """
    ensembles = [cell for cell in cells if cell.kind == ENSEMBLE and cell.goal == "untargeted"]
    for (label, epsilon), group in grouped(ensembles, lambda cell: (cell.attack_label, cell.epsilon)).items():
        ordered = sorted(group, key=lambda cell: cell.seed)
        members = results.record(ordered[0])["members"]
        arrays, where = [results.arrays(cell) for cell in ordered], f"in {label} at ε={epsilon:g}"
        if all("member_broke" in one for one in arrays):
            yield from _compare_breaks(members, arrays, where, group[0].surface)
        elif all("member_damage" in one for one in arrays):
            yield from _compare_damage(members, arrays, where, clean)


def _compare_breaks(
    members: Sequence[MemberRecord], arrays: Sequence[Arrays], where: str, surface: str | None
) -> Iterator[Comparison]:
    """Compares members that attack each user alone, by their shares of broken users.

    - A gradient attack is compared with random points that used at most as many score evaluations.
    - A gradient attack with more steps is compared with a gradient attack with fewer steps.
    - All white-box members together are compared with a later search by scores, if one of them ran on all users.

    Except for the white-box members taken together, only members that ran on all users are compared. The level of each
    comparison is the share of users that the members had to break.
    """
    broke = np.stack([one["member_broke"] for one in arrays])  # [seeds, users, members]
    level = float(np.mean([one["hit"].mean() for one in arrays]))
    white = [n for n, member in enumerate(members) if member["kind"] in WHITE]
    for n, strong in enumerate(members):
        for m, weak in enumerate(members):
            if not (strong["everyone"] and weak["everyone"] and strong["kind"] == GRADIENT):
                continue
            gap = compute_interval((broke[:, :, m] == 1).astype(float) - (broke[:, :, n] == 1))
            if weak["kind"] == FLOOR and weak["queries"] <= strong["queries"]:
                why = f"{where} {weak['name']} breaks more than {strong['name']}: its gradient does not help"
                yield Comparison("no better than random", why, gap, level)
            elif weak["kind"] == GRADIENT and (weak["steps"] or 0) < (strong["steps"] or 0):
                why = f"{where} {strong['name']} breaks less than {weak['name']}"
                yield Comparison("more steps are weaker", why, gap, level)
    for m, search in enumerate(members):
        # If a white-box member ran on everybody and the search came last, every user met a white-box member.
        if search["kind"] == BLACK_BOX and search["everyone"] and any(members[n]["everyone"] for n in white):
            if m < max(white):
                continue
            together = (broke[:, :, white] == 1).any(2)
            gap = compute_interval((broke[:, :, m] == 1).astype(float) - together)
            why = f"{where} {search['name']} breaks more through scores than all gradient attacks: they are blind"
            least = LEAST_GAP_OF_EDITS if surface == "history" else LEAST_GAP
            yield Comparison("black-box beats white-box", why, gap, level, least)


def _compare_damage(
    members: Sequence[MemberRecord], arrays: Sequence[Arrays], where: str, clean: float
) -> Iterator[Comparison]:
    """Compares members that use one perturbation for all users, by damage per user.

    Random points and a search by scores are compared with the best white-box member of each seed. For random points,
    this member must have used at least as many score evaluations. The level of each comparison is the clean mean of the
    reference metric.
    """
    damage = np.stack([one["member_damage"] for one in arrays])  # [seeds, users, members]
    for m, weak in enumerate(members):
        floor = weak["kind"] == FLOOR
        fair = [
            n
            for n, member in enumerate(members)
            if member["kind"] in WHITE and (member["queries"] >= weak["queries"] or not floor)
        ]
        if weak["kind"] not in (FLOOR, BLACK_BOX) or not fair:
            continue
        best = np.stack([one[:, max(fair, key=one.mean(0).__getitem__)] for one in damage])
        gap = compute_interval(damage[:, :, m] - best)
        if floor:
            why = f"{where} {weak['name']} does more than every gradient attack: their gradient does not help"
            yield Comparison("no better than random", why, gap, clean)
        else:
            why = f"{where} {weak['name']} does more through scores than every gradient attack: they are blind"
            yield Comparison("black-box beats white-box", why, gap, clean)
