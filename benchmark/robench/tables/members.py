"""What the members of ensembles did: first breaks, cost, and the alarms that their comparison raises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from robench.store.record import ENSEMBLE
from robench.tables.results import ROW, Columns, Results, row_of
from robench.tables.stats import Interval, interval

WHITE = ("gradient", "minimum-norm")


def ensembles(results: Results) -> list[dict[str, Any]]:
    """Per row, ensemble and ε, over seeds: who was to be broken, who broke, and each member's part and cost.

    ``first_breaks`` of a member is its share of all broken users; ``queries`` and ``gradients`` are per user that the
    member ran on. Where one perturbation serves all users, ``damage`` is the mean of −NDCG@k, or of the promoted items'
    NDCG@k.
    """
    groups: dict[tuple[Any, ...], list[Columns]] = {}
    for c in results.cells:
        if c.get("kind") == ENSEMBLE and results.ok(c):
            groups.setdefault((row_of(c), c["attack_label"], c["epsilon"]), []).append(c)
    found = []
    for (key, label, epsilon), cells in groups.items():
        records = [results.records[c["cell"]] for c in cells]
        broken = sum(row.get("first_breaks", 0) for record in records for row in record["members"])
        members = [
            _member([record["members"][n] for record in records], broken) for n in range(len(records[0]["members"]))
        ]
        found.append(
            {
                **dict(zip(ROW, key, strict=True)),
                "attack_label": label,
                **{name: cells[0][name] for name in ("surface", "norm", "scale", "goal")},
                "epsilon": epsilon,
                "to_break": _mean_hits(results, cells),
                "broken": broken / len(cells) if "first_breaks" in records[0]["members"][0] else None,
                "queries": float(np.mean([record["achieved"]["queries"] for record in records])),
                "gradients": float(np.mean([record["achieved"]["gradients"] for record in records])),
                "members": members,
            }
        )
    return found


def _mean_hits(results: Results, cells: Sequence[Columns]) -> float | None:
    """Users who were to be broken; None where titles are rewritten, as nobody is attacked alone."""
    hits = [found["hit"].sum() for found in (results.arrays(c["cell"]) for c in cells) if "hit" in found]
    return float(np.mean(hits)) if hits else None


def _member(rows: Sequence[Mapping[str, Any]], broken: int) -> dict[str, Any]:
    users = sum(row["users"] for row in rows)
    found = {
        "name": rows[0]["name"],
        "kind": rows[0]["kind"],
        "users": users / len(rows),
        "queries": sum(row["queries"] for row in rows) / max(1, users),
        "gradients": sum(row["gradients"] for row in rows) / max(1, users),
    }
    if "first_breaks" in rows[0]:
        return {**found, "first_breaks": sum(row["first_breaks"] for row in rows) / max(1, broken)}
    return {**found, "damage": float(np.mean([row["damage"] for row in rows]))}


def comparisons(results: Results, cells: Sequence[Columns], clean: float) -> Iterator[tuple[str, str, Interval, float]]:
    """(flag, explanation, interval of a gap, clean level) out of the members that ran on everybody.

    Compared are random points with every gradient attack that asked for as many scores, a gradient attack with one of
    fewer steps, and a search through scores with all white-box members together. Not where items are promoted.

    Args:
        cells: of one row.
        clean: mean of the reference metric.
    """
    groups: dict[tuple[str, float], list[Columns]] = {}
    for c in cells:
        if c.get("kind") == ENSEMBLE and c["goal"] == "untargeted":
            groups.setdefault((c["attack_label"], c["epsilon"]), []).append(c)
    for (label, epsilon), same in groups.items():
        ordered = sorted(same, key=lambda c: c["seed"])
        members = results.records[ordered[0]["cell"]]["members"]
        arrays, where = [results.arrays(c["cell"]) for c in ordered], f"in {label} at ε={epsilon:g}"
        if all("member_broke" in found for found in arrays):
            yield from _of_users(members, arrays, where)
        elif all("member_damage" in found for found in arrays):
            yield from _of_all(members, arrays, where, clean)


def _of_users(
    members: Sequence[Mapping[str, Any]], arrays: Sequence[Mapping[str, Any]], where: str
) -> Iterator[tuple[str, str, Interval, float]]:
    """Every user was attacked alone: gaps of shares of users, their level the share of users who were to be broken. A
    member that was spared a user, as another had broken the user before, is not credited with that user.
    """
    broke = np.stack([found["member_broke"] for found in arrays])  # [S, U, M]
    level = float(np.mean([found["hit"].mean() for found in arrays]))
    white = [n for n, member in enumerate(members) if member["kind"] in WHITE]
    for n, strong in enumerate(members):
        for m, weak in enumerate(members):
            if not (strong["everyone"] and weak["everyone"] and strong["kind"] == "gradient"):
                continue
            gap = interval((broke[:, :, m] == 1).astype(float) - (broke[:, :, n] == 1))
            if weak["kind"] == "floor" and weak["queries"] <= strong["queries"]:
                why = f"{where} {weak['name']} breaks more than {strong['name']}: its gradient does not help"
                yield "no better than random", why, gap, level
            elif weak["kind"] == "gradient" and (weak["steps"] or 0) < (strong["steps"] or 0):
                yield (
                    "more steps are weaker",
                    f"{where} {strong['name']} breaks less than {weak['name']}",
                    gap,
                    level,
                )
    for m, search in enumerate(members):
        # One white-box member at least ran on everybody, and the search came before none: nobody was spared all.
        if search["kind"] == "black-box" and search["everyone"] and any(members[n]["everyone"] for n in white):
            if m < max(white):
                continue
            together = (broke[:, :, white] == 1).any(2)
            gap = interval((broke[:, :, m] == 1).astype(float) - together)
            why = f"{where} {search['name']} breaks more through scores than all gradient attacks: they are blind"
            yield "black-box beats white-box", why, gap, level


def _of_all(
    members: Sequence[Mapping[str, Any]], arrays: Sequence[Mapping[str, Any]], where: str, clean: float
) -> Iterator[tuple[str, str, Interval, float]]:
    """One perturbation serves all users: gaps of what it did to each, on the scale of the reference metric."""
    damage = np.stack([found["member_damage"] for found in arrays])  # [S, U, M]
    for m, weak in enumerate(members):
        floor = weak["kind"] == "floor"
        fair = [
            n
            for n, member in enumerate(members)
            if member["kind"] in WHITE and (member["queries"] >= weak["queries"] or not floor)
        ]
        if weak["kind"] not in ("floor", "black-box") or not fair:
            continue
        best = np.stack([one[:, max(fair, key=one.mean(0).__getitem__)] for one in damage])
        gap = interval(damage[:, :, m] - best)
        if floor:
            why = f"{where} {weak['name']} does more than every gradient attack: their gradient does not help"
            yield "no better than random", why, gap, clean
        else:
            why = f"{where} {weak['name']} does more through scores than every gradient attack: they are blind"
            yield "black-box beats white-box", why, gap, clean
