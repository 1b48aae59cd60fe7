"""Warns about attacks that fit no model and budgets that look like mistakes.

The commands ``plan`` and ``run`` show the warnings.
"""

from __future__ import annotations

from collections.abc import Sequence

from robench.spec import Cell, CellRow
from robench.tables.results import grouped

MOST_RELATIVE = 5.0  # a perturbation of this many times the usual size of an input leaves nothing of the input
MOST_FAKE_USERS = 1.0  # fake users per real user


def budget_notes(cells: Sequence[Cell]) -> list[str]:
    """Returns lines about attacks that fit no model or have a huge budget.

    Args:
        cells: the cells of the suite, whether skipped or not.
    """
    rows = [cell.row() for cell in cells if cell.threat is not None]
    notes = []
    for label, group in grouped(rows, lambda row: row.attack_label).items():
        if all(row.status == "skipped" for row in group):
            notes.append(f"{label} fits no model of the suite: none of its cells can be measured")
            continue
        notes += dict.fromkeys(note for row in group if (note := _note(row)) and row.status != "skipped")
    return notes


def _note(row: CellRow) -> str:
    if row.norm.startswith("users") and row.epsilon > MOST_FAKE_USERS:
        share = f"{100 * row.epsilon:g}% fake users"
        return f"{row.attack_label} ε={row.epsilon:g}: {share}; did you mean {row.epsilon / 100:g}?"
    if row.norm in ("l2", "linf") and row.scale == "relative" and row.epsilon > MOST_RELATIVE:
        return (
            f"{row.attack_label} ε={row.epsilon:g}: {row.epsilon:g} times the size of an input, relative to its RMS; "
            "is this an absolute budget (scale: absolute)?"
        )
    return ""
