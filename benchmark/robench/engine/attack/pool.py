"""Groups arenas, so that users of several chunks are attacked together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from robench.engine.attack.arena import Arena

# A group keeps the inputs of its arenas until the attack ends, so its memory has a bound.
MOST_ARENAS, MOST_USERS = 16, 4096


def pool_arenas(arenas: Iterable[Arena], most: int) -> Iterator[list[Arena]]:
    """Groups consecutive arenas, so that their users can be attacked together.

    With a large catalogue, a chunk has few users, and only some of them are to be broken. An attack on few users takes
    almost as long as an attack on many users, so groups save time.

    The arenas of a group have the same form. An arena without a form is a group of its own. A group has at most 16
    arenas, which hold at most 4,096 users together.

    Args:
        arenas: the arenas of a victim, in order.
        most: the maximum number of users to break in a group of several arenas.
    """
    group: list[Arena] = []
    users = rows = 0
    for arena in arenas:
        own = int(arena.to_break.sum())
        joins = bool(group) and arena.form is not None and arena.form == group[0].form
        if group and not (
            joins and len(group) < MOST_ARENAS and users + arena.n_users <= MOST_USERS and rows + own <= most
        ):
            yield group
            group, users, rows = [], 0, 0
        group, users, rows = [*group, arena], users + arena.n_users, rows + own
    if group:
        yield group
