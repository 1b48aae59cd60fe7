"""Finds the limits of a victim.

The suite and its entries may have limits. For each quantity, the strictest limit counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from robench.spec import Cell


def strictest(suite: Mapping[str, float], cells: Iterable[Cell]) -> dict[str, float]:
    """Returns the strictest limits of a victim.

    Args:
        suite: the limits of the suite.
        cells: the cells of one victim that are measured together.
    """
    given = [suite]
    for cell in cells:
        victim = cell.victim
        poison = None if victim.poison is None else victim.poison.attack
        parts = (victim.dataset, victim.model, victim.defense, poison, cell.attack)
        given += [part.limits for part in parts if part is not None]
    names = dict.fromkeys(name for limits in given for name in limits)
    return {name: min(limits[name] for limits in given if name in limits) for name in names}
