"""What the members of ensembles did: first breaks, cost, and the alarms that their comparison raises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from robench.record import ENSEMBLE
from robench.results import ROW, Columns, Results, row_of
from robench.stats import Interval, interval

WHITE = ("gradient", "minimum-norm")


def ensembles(results: Results) -> list[dict[str, Any]]:
    """Per row, ensemble and ε, over seeds: who was to be broken, who broke, and each member's part and cost.

    ``first_breaks`` of a member is its share of all broken users; ``queries`` and ``gradients`` are per user that the
    member ran on. Where one perturbation serves all users, ``damage`` is the mean of −Σ 1 / log2(1 + rank).
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
                **{name: cells[0][name] for name in ("surface", "norm", "goal")},
                "epsilon": epsilon,
                "to_break": float(np.mean([results.arrays(c["cell"])["hit"].sum() for c in cells])),
                "broken": broken / len(cells) if "first_breaks" in records[0]["members"][0] else None,
                "queries": float(np.mean([record["achieved"]["queries"] for record in records])),
                "gradients": float(np.mean([record["achieved"]["gradients"] for record in records])),
                "members": members,
            }
        )
    return found


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


def comparisons(results: Results, cells: Sequence[Columns]) -> Iterator[tuple[str, str, Interval, float]]:
    """(flag, explanation, interval of a gap, clean level) out of the members that ran on everybody.

    The gap is of shares of users, so its level is the share of users who were to be broken. Compared are random points
    with every gradient attack that asked for as many scores, a gradient attack with one of fewer steps, and a search
    through scores with all white-box members together (one that was spared a user, as another attack had broken the
    user before, is not credited with that user).

    Args:
        cells: of one row.
    """
    groups: dict[tuple[str, float], list[Columns]] = {}
    for c in cells:
        if c.get("kind") == ENSEMBLE and "member_broke" in results.arrays(c["cell"]):
            groups.setdefault((c["attack_label"], c["epsilon"]), []).append(c)
    for (label, epsilon), same in groups.items():
        ordered = sorted(same, key=lambda c: c["seed"])
        members = results.records[ordered[0]["cell"]]["members"]
        broke = np.stack([results.arrays(c["cell"])["member_broke"] for c in ordered])  # [S, U, M]
        level = float(np.mean([results.arrays(c["cell"])["hit"].mean() for c in ordered]))
        white = [n for n, member in enumerate(members) if member["kind"] in WHITE]
        where = f"in {label} at ε={epsilon:g}"
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
