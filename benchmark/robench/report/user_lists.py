"""Shows the clean and the attacked list of one user, for ``robench show --user``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from robench.api.data import IntArray
from robench.api.errors import UserError, did_you_mean
from robench.api.escapes import visible
from robench.report.lookup import StoredCell
from robench.spec import CellRow
from robench.store.npz import Arrays

MOST_USERS = 50  # a message suggests similar ids only if there are fewer users
Titles = NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class UserList:
    """A user's top items in one cell, with the ranks of held-out and target items.

    Args:
        top: the best items, best first, padded with −1.
        ranks: the ranks of the held-out items.
        target_ranks: the rank of each target item. The rank is 0 if the item is in the user's data.
    """

    top: IntArray
    ranks: IntArray
    target_ranks: Mapping[int, int]


def show_user(stored: StoredCell, user: str, console: Console) -> None:
    """Prints a user's top list and ranks, and the effect of an attack on this user.

    Raises:
        UserError: if the cell was not measured, if users.npz does not hold the cell's users, or if this user was not
            evaluated in the cell.
    """
    record, role, cell = stored.record, stored.role, stored.cell
    if record["status"] != "ok":
        raise UserError(f"the cell is {record['status']}: it has no lists", where=record["id"])
    known = stored.users()
    if cell is None or f"{role}/user_id" not in known:
        raise UserError("users.npz does not know the users of this cell", where=str(stored.store.folder))
    ids = known[f"{role}/user_id"].tolist()
    if user not in ids:
        hint = did_you_mean(user, ids) if len(ids) < MOST_USERS else ""
        raise UserError(f"no evaluated user '{user}'", where=role, hint=hint)
    titles = np.array([visible(title) for title in known[f"{role}/title"].tolist()], dtype=np.str_)
    number = int(known[f"{role}/user"][ids.index(user)])
    indptr = known[f"{role}/held_out_indptr"]
    held_out = known[f"{role}/held_out_items"][indptr[number] : indptr[number + 1]].tolist()
    title = f"user {visible(user)}, cell {record['id']}: held out {', '.join(titles[held_out])}"
    console.print(_table(title, _lists(stored, cell, number), titles, stored.targets(), held_out))
    arrays = stored.store.arrays(record)
    for line in [*_outcome(stored, cell, arrays, number), *_edits(arrays.get("script"), number, titles)]:
        console.print(line, highlight=False, soft_wrap=True)


def _lists(stored: StoredCell, cell: CellRow, user: int) -> dict[str, UserList]:
    """Returns the user's lists in this cell and in the matching clean cell.

    The keys are the headers of the columns. A cell that was not measured has no list.
    """
    twins = (c for c in stored.plan.cells if c.clean and (c.key, c.seed) == (cell.key, cell.seed))
    clean = next(twins, None)
    columns = {"clean": clean}
    if clean is None or clean.cell != cell.cell:
        columns[f"{cell.attack_label}, this cell"] = cell
    lists = {}
    for name, shown in columns.items():
        record = None if shown is None else stored.store.read(shown.cell)
        if record is not None and record["status"] == "ok":
            arrays = stored.store.arrays(record)
            row = arrays["users"].tolist().index(user)
            ranks = arrays["ranks"][arrays["indptr"][row] : arrays["indptr"][row + 1]]
            lists[name] = UserList(arrays["top"][row], ranks, _target_ranks(arrays, row))
    return lists


def _table(
    title: str, lists: Mapping[str, UserList], titles: Titles, targets: Sequence[int], held_out: Sequence[int]
) -> Table:
    marks = {**dict.fromkeys(targets, "  (target)"), **dict.fromkeys(held_out, "  (held out)")}
    table = Table("place", *lists, title=title, title_justify="left")
    for place in range(10):
        items = (int(shown.top[place]) for shown in lists.values())
        table.add_row(str(place + 1), *("" if i < 0 else f"{titles[i]}{marks.get(i, '')}" for i in items))
    table.add_row("ranks of held out", *(", ".join(map(str, shown.ranks.tolist())) for shown in lists.values()))
    for target in targets:
        ranks = (shown.target_ranks.get(target) for shown in lists.values())
        cells = ("–" if rank is None else str(rank) if rank else "in their data" for rank in ranks)
        table.add_row(f"rank of {titles[target]} (target)", *cells)
    return table


def _target_ranks(arrays: Arrays, row: int) -> dict[int, int]:
    """Returns the rank of every target for a user.

    The rank is 0 if the user's data contains the target.
    """
    if "target_ranks" not in arrays:
        return {}
    return dict(zip(arrays["targets"].tolist(), arrays["target_ranks"][:, row].tolist(), strict=True))


def _outcome(stored: StoredCell, cell: CellRow, arrays: Arrays, user: int) -> list[str]:
    """Returns at most one line about what a test-time attack did to a user.

    The line says that there was nothing to promote or to break, that targets were in the clean top k already, that no
    perturbation breaks this user, that nothing did harm, or which member of an ensemble reached the goal first.
    """
    if cell.stage != "test" or "hit" not in arrays:
        return []
    row = arrays["users"].tolist().index(user)
    within = f"within ε = {cell.epsilon:g}"
    still = "; left alone" if "spent" in arrays and not arrays["spent"][row] else ""
    text = ""
    if cell.goal == "promote" and not any(_target_ranks(arrays, row).values()):
        text = "nothing to promote: every target is in this user's data already"
    elif cell.goal == "promote" and not arrays["hit"][row]:
        text = f"nothing to reach: every target that this user lacks was in the clean top {cell.k} already"
    elif not arrays["hit"][row]:
        text = f"nothing to break: no held-out item was in the clean top {cell.k}"
    elif "first" in arrays and arrays["first"][row] >= 0:
        text = f"the goal was reached first by {stored.record['members'][int(arrays['first'][row])]['name']}"
    elif "radius" in arrays and still:
        radius = float(arrays["radius"][row])
        shortest = (
            f"the shortest that breaks has ε = {radius:.4g}" if np.isfinite(radius) else "none that breaks was found"
        )
        text = f"no perturbation {within} breaks this user: {shortest}"
    elif still:
        text = f"nothing that was tried {within} did harm"
    return [f"{text}{still}"] if text else []


def _edits(script: IntArray | None, user: int, titles: Titles) -> list[str]:
    """Returns one line per edit of a user's history.

    If the history was not edited, a single line says so. Without a script of edits, the result is empty.
    """
    if script is None:
        return []
    lines = []
    for _, place, out, new in script[script[:, 0] == user].tolist():
        if out < 0:
            lines.append(f"{titles[new]} inserted as item {place + 1} of the history")
        elif new < 0:
            lines.append(f"{titles[out]}, item {place + 1} of the history, deleted")
        else:
            lines.append(f"{titles[out]}, item {place + 1} of the history, replaced by {titles[new]}")
    return lines or ["the history was left as it is"]
