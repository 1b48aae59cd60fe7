"""Counts how many victims share the profiles of fake users, for ``plan``."""

from __future__ import annotations

from collections.abc import Iterable

from robench.api.digest import digest
from robench.api.errors import counted
from robench.spec import Cell


def profile_notes(cells: Iterable[Cell]) -> list[str]:
    """Returns a line about the sets of fake users that the victims share.

    Victims with the same data, poisoning, targets and seed share their profiles. An attack that is allowed to fit the
    victim's own model and defence makes separate profiles for each model and defence. There is no line if no victim has
    fake users.

    Args:
        cells: the cells of the suite, whether skipped or not.
    """
    made: dict[str, set[str]] = {}
    for cell in cells:
        victim, poison, threat = cell.victim, cell.victim.poison, cell.threat
        if poison is None or threat is None or threat.knowledge is None or cell.skip:
            continue
        shared = victim.content()
        if cell.adaptive != "yes":
            shared |= {"model": None, "defense": None, "threads": None}
        made.setdefault(digest(shared), set()).add(victim.id)
    if not made:
        return []
    victims = sum(map(len, made.values()))
    return [f"fake users: {counted(len(made), 'set')} of profiles, each made once, for {counted(victims, 'victim')}"]
