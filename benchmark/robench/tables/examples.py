"""Chooses users whose list an attack changed and names the items of both lists."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from robench.api.data import IntArray
from robench.spec import CellRow, RowKey
from robench.store.npz import Arrays
from robench.store.record import ENSEMBLE
from robench.tables.leaderboard import LeaderboardTable
from robench.tables.results import Results

MOST_MODELS = 3  # the most examples of one ranking table
TOP = 10  # the length of the lists
Item = tuple[str, str]


@dataclass(frozen=True)
class ExampleRow:
    """The top list of one user before and after an attack.

    Args:
        key: the data and the victim, without the seed.
        cell: the id of the attacked cell.
        attack_label: the label of the attack.
        epsilon: the budget.
        seed: the seed of the victim.
        user: the id of the user.
        before: the clean top list, best first. Each entry has the title of an item and the item's role: ``held out``,
            ``target`` or an empty string.
        after: the top list under attack, in the same form.
        outcome: the ranks of the held-out items or of a target before and after, in words.
    """

    key: RowKey
    cell: str
    attack_label: str
    epsilon: float
    seed: int
    user: str
    before: tuple[Item, ...]
    after: tuple[Item, ...]
    outcome: str


def build_example_rows(results: Results, tables: Sequence[LeaderboardTable]) -> list[list[ExampleRow]]:
    """Returns examples for every ranking table, in the order of the tables.

    Each example comes from an undefended victim of one of the first models of a table. It shows the first user who
    loses every held-out item from the top list, or whose list a target enters or leaves as the attack intends.
    """
    return [list(_examples(results, table)) for table in tables]


def _examples(results: Results, table: LeaderboardTable) -> Iterator[ExampleRow]:
    count = 0
    keys = [row.key for row in table.rows if not row.key.defended and row.worst is not None]
    for key in keys:
        cells = [
            cell
            for cell in results.by_row[key]
            if cell.threat == table.threat and cell.epsilon <= table.epsilon and results.ok(cell)
        ]
        for cell in sorted(cells, key=lambda cell: _order(results, table, cell)):
            example = _example(results, cell)
            if example is not None:
                yield example
                count += 1
                break
        if count == MOST_MODELS:
            return


def _order(results: Results, table: LeaderboardTable, cell: CellRow) -> tuple[bool, float, int, float]:
    """Returns a sort key by which the most telling cells come first.

    Cells of ensembles come first. Then the largest ε, the first seed and the greatest harm decide, in this order.
    """
    value = results.record(cell)["metrics"].get(str(table.metric), {}).get("value") or 0.0
    return cell.kind != ENSEMBLE, -cell.epsilon, cell.seed, -value if table.rise else value


def _example(results: Results, cell: CellRow) -> ExampleRow | None:
    """Returns an example from an attacked cell, or None.

    It shows the first user whose list shows the goal of the attack. The result is None if there is no such user, if the
    clean cell is missing or has other users, or if users.npz has no titles or no ids of users.
    """
    place = "/".join(cell.key.place)
    known = results.known.get(place, {})
    clean = _clean_cell(results, cell)
    if clean is None or "title" not in known or "user_id" not in known:
        return None
    old, new = results.arrays(clean), results.arrays(cell)
    if not np.array_equal(old["users"], new["users"]):
        return None
    user = _changed_user(old, new, cell)
    if user is None:
        return None
    row, items, word = user
    titles = [str(title) for title in known["title"].tolist()]
    number = int(new["users"][row])
    ids = {int(position): str(name) for position, name in zip(known["user"], known["user_id"], strict=True)}
    if not items:
        start, end = known["held_out_indptr"][number : number + 2]
        items = known["held_out_items"][start:end].tolist()
    tops = [[item for item in one["top"][row][:TOP].tolist() if item >= 0] for one in (old, new)]
    before, after = (tuple((titles[item], word * (item in items)) for item in top) for top in tops)
    outcome = _outcome(old, new, row, items, titles, word)
    return ExampleRow(
        cell.key,
        cell.cell,
        cell.attack_label,
        cell.epsilon,
        cell.seed,
        ids.get(number, str(number)),
        before,
        after,
        outcome,
    )


def _clean_cell(results: Results, cell: CellRow) -> CellRow | None:
    """Returns the measured clean cell with the row and the seed of a cell, or None.

    For a poisoned victim, this is a cell of the same victim without poisoning.
    """
    return next((one for one in results.clean_cells(cell.key) if one.seed == cell.seed), None)


def _changed_user(old: Arrays, new: Arrays, cell: CellRow) -> tuple[int, list[int], str] | None:
    """Returns the row of a user, the items that moved, and the role of these items.

    The list of items is empty for held-out items, because the caller looks them up. The result is None if no user's
    list shows the goal of the attack.
    """
    k = min(cell.k or TOP, TOP)
    if cell.goal in ("promote", "demote"):
        return _moved_target(old, new, k, up=cell.goal == "promote")
    starts = new["indptr"][:-1]
    best = [np.minimum.reduceat(one["ranks"], starts) for one in (old, new)]
    moved = np.flatnonzero((best[0] <= k) & (best[1] > k))
    return (int(moved[0]), [], "held out") if len(moved) else None


def _moved_target(old: Arrays, new: Arrays, k: int, *, up: bool) -> tuple[int, list[int], str] | None:
    if "target_ranks" not in old or "target_ranks" not in new:
        return None
    targets = new["targets"].tolist()
    places = {item: place for place, item in enumerate(old["targets"].tolist())}
    for place, item in enumerate(targets):
        if item not in places:
            continue
        before, after = old["target_ranks"][places[item]], new["target_ranks"][place]
        first, last = (before, after) if up else (after, before)
        moved = np.flatnonzero((first > k) & (last > 0) & (last <= k))
        if len(moved):
            return int(moved[0]), [item], "target"
    return None


def _outcome(old: Arrays, new: Arrays, row: int, items: Sequence[int], titles: Sequence[str], word: str) -> str:
    """Returns a sentence with the clean and the attacked ranks of the marked items."""
    if word == "target":
        ranks = [_target_rank(one, row, items[0]) for one in (old, new)]
        return f"the target {titles[items[0]]} moves from rank {ranks[0]} to rank {ranks[1]}"
    before, after = (_held_out_ranks(one, row).tolist() for one in (old, new))
    names = ", ".join(titles[item] for item in items)
    moves = ", ".join(f"from rank {a} to rank {b}" for a, b in zip(before, after, strict=True))
    return f"the held-out {names} moves {moves}"


def _held_out_ranks(arrays: Arrays, row: int) -> IntArray:
    ranks: IntArray = arrays["ranks"][arrays["indptr"][row] : arrays["indptr"][row + 1]]
    return ranks


def _target_rank(arrays: Arrays, row: int, item: int) -> int:
    return int(arrays["target_ranks"][arrays["targets"].tolist().index(item), row])
