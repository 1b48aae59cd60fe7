"""Finds the limits of a victim.

The suite and its entries may have limits. For each quantity, the strictest limit applies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from robench.spec import Cell

COLUMNS = 1024  # more numbers than any attack stores per user and per held-out item
TEXTS = 64 << 20  # bytes for the record, in which long texts are shortened, and for the titles of an attack


def largest_event(users: int, held_out: int, targets: int) -> int:
    """Returns the maximum size in bytes that an event of a victim may have.

    The arrays of a cell have a row per user or per held-out item, so the bound grows with the data.

    Args:
        users: the number of users in the data.
        held_out: the number of held-out items of all users.
        targets: the number of target items in all target sets.
    """
    return TEXTS + 8 * (users + held_out) * (COLUMNS + targets)


def limited_last(cells: Iterable[Cell]) -> list[Cell]:
    """Returns the cells of a victim in the order in which they are measured.

    Cells under an attack with its own limits come last. If the victim then exceeds these limits, the cells of all other
    attacks have been measured.
    """
    return sorted(cells, key=lambda cell: cell.attack is not None and bool(cell.attack.limits))


def strictest(suite: Mapping[str, float], cells: Iterable[Cell]) -> dict[str, float]:
    """Returns the strictest value of each limit that applies to a victim.

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
