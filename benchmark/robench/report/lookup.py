"""Finds stored cells for ``robench show`` and counts the cells of a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from robench.api.errors import UserError, counted
from robench.spec import CellRow
from robench.store.agreement import contradiction
from robench.store.folder import Store
from robench.store.npz import Arrays
from robench.store.plan_file import PlanFile, read_plan
from robench.store.record import Record

MOST_MATCHES = 8  # the largest number of cells in a message


@dataclass(frozen=True, eq=False)
class StoredCell:
    """A stored record, with its cell in the plan.

    Args:
        store: the store of the folder of results.
        plan: the plan of this folder.
        cell: the planned cell, or None if the plan no longer contains the cell.
        record: the record of the cell.
    """

    store: Store
    plan: PlanFile
    cell: CellRow | None
    record: Record

    @property
    def role(self) -> str:
        """The name of the cell's data set and split in users.npz.

        The name is empty if the plan no longer contains the cell.
        """
        return "" if self.cell is None else "/".join(self.cell.key.place)

    def users(self) -> Arrays:
        """Returns the arrays of users.npz, or no arrays if the file is missing."""
        return self.store.users()

    def targets(self) -> list[int]:
        """Returns the target items of the cell.

        The list is empty if the cell was not measured or has no targets. A clean cell has targets if their ranks are
        measured for comparison.
        """
        if self.record["status"] != "ok":
            return []
        items: list[int] = self.store.arrays(self.record).get("targets", np.empty(0, np.int64)).tolist()
        return items


def read_cell(path: Path) -> StoredCell:
    """Reads a record and the plan of its folder.

    Args:
        path: ``results/<suite>/<id>`` or ``results/<suite>/cells/<id>.json``, or the id of a cell below ``results/``.
            The first digits of an id are enough.

    Raises:
        UserError: if no record matches, if several records match, if the record or the plan is damaged, or if the
            record contradicts the plan.
    """
    folder, name = find_cell(path)
    store = Store(folder)
    record = store.read(name)
    if record is None:
        raise UserError("no such record", where=str(path))
    plan = read_plan(folder)
    cell = next((cell for cell in plan.cells if cell.cell == name), None)
    if cell is not None and (problem := contradiction(plan, cell, record)):
        raise UserError(problem, where=str(folder / "plan.json"))
    return StoredCell(store, plan, cell, record)


def find_cell(path: Path) -> tuple[Path, str]:
    """Returns the folder and the full id of a cell.

    Args:
        path: the path of a cell, or the first digits of an id.

    Raises:
        UserError: if ``path`` is a file other than a record, if no cell matches, or if several cells match.
    """
    if path.is_file() and (path.parent.name != "cells" or path.suffix != ".json"):
        raise UserError("not a record", where=str(path), hint="records are results/<suite>/cells/<id>.json")
    if path.parent == Path():
        folders = sorted(folder for folder in Path("results").glob("*") if folder.is_dir())
    else:
        folders = [path.parent.parent if path.parent.name == "cells" else path.parent]
    start = path.name.removesuffix(".json")
    matches = [(folder, cell) for folder in folders for cell in Store(folder).ids(start)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = ", ".join(str(folder / cell) for folder, cell in matches[:MOST_MATCHES])
        more = ", …" if len(matches) > MOST_MATCHES else ""
        raise UserError(f"{len(matches)} records begin with this", where=str(path), hint=listed + more)
    raise UserError("no such record", where=str(path), hint=_searched(folders))


def _searched(folders: Sequence[Path]) -> str:
    """Returns a hint that names the searched folders and the next step."""
    if not folders:
        return f"there is no folder of results in {Path('results').resolve()}: give results/<suite>/<id>"
    more = f" and {counted(len(folders) - MOST_MATCHES, 'more folder')}" if len(folders) > MOST_MATCHES else ""
    listed = ", ".join(map(str, folders[:MOST_MATCHES])) + more
    return f"searched in {listed}; robench show FOLDER says where its ids are"


def summarise(folder: Path) -> str:
    """Returns a line that counts the cells by status and says how to show a cell.

    A damaged record counts as ``damaged``.

    Raises:
        UserError: if the plan is missing or damaged.
    """
    plan, store = read_plan(folder), Store(folder)
    counts: Counter[str] = Counter()
    store.check_cells()
    for cell in plan.cells:
        try:
            record = store.read(cell.cell)
        except UserError:
            counts["damaged"] += 1
            continue
        counts["missing" if record is None else str(record["status"])] += 1
    listed = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    hint = f"their ids stand in {folder}/cells.csv; robench show ID (or its first digits) shows one"
    return f"{folder}: {counted(len(plan.cells), 'cell')} of suite {plan.suite} ({listed}); {hint}"
