"""Decides which cells of a plan are stored, stale, changed or missing.

Only this module makes the decision. ``run`` measures the cells that are changed or missing, and ``plan`` counts the
cells of every state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from robench.api.errors import UserError, counted
from robench.api.metric import Metric
from robench.run.data import data_name
from robench.run.dependencies import Dependencies
from robench.run.device_type import device_type
from robench.spec import Cell
from robench.store.folder import Store
from robench.store.record import lacks_likes

State = Literal["stored", "stale", "changed", "missing", "skipped"]


@dataclass(frozen=True, eq=False)
class Todo:
    """The state of every cell of a plan.

    - A ``stored`` cell was measured, and nothing that the cell depends on has changed.
    - A ``stale`` cell was measured with different code, different files of a plugin or a different type of device.
    - A ``changed`` cell was measured on different data.
    - A ``missing`` cell was not measured, failed at its last measurement, has damaged files, or lacks the likes that a
      metric needs.
    - A ``skipped`` cell cannot be measured.

    Args:
        states: the state of each cell, by the id of the cell.
        damaged: the error for each cell with damaged files, by the id of the cell. These cells count as missing.
        elsewhere: the type of device on which a cell was measured, by the id of the cell. Only the cells that are stale
            because of the device are included.
        device: the type of device of this run, or an empty string if ``elsewhere`` is empty.
    """

    states: Mapping[str, State]
    damaged: Mapping[str, UserError] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    device: str = ""

    def state(self, cell: Cell) -> State:
        """Returns the state of a cell."""
        return self.states[cell.id]

    def open(self, cells: Iterable[Cell]) -> list[Cell]:
        """Returns the cells that a run measures."""
        return [cell for cell in cells if self.state(cell) in ("changed", "missing")]

    def count(self, state: State) -> int:
        """Returns the number of cells in a state."""
        return sum(other == state for other in self.states.values())

    def notes(self) -> list[str]:
        """Returns notes about stale cells, which ``run`` and ``plan`` show."""
        changed = self.count("stale") - len(self.elsewhere)
        causes = [(changed, "code or weights have changed since")] if changed else []
        for kind, count in sorted(Counter(self.elsewhere.values()).items()):
            causes.append((count, f"measured on {kind}, and this run uses {self.device}"))
        return [f"stale: {counted(count, 'stored cell')}: {why}; --fresh measures again" for count, why in causes]


def find_todo(
    cells: Iterable[Cell],
    store: Store,
    dependencies: Dependencies,
    metrics: Iterable[Metric],
    data: Mapping[str, str],
    device: str = "cpu",
    *,
    fresh: bool = False,
) -> Todo:
    """Finds the state of each cell by comparing the plan with the stored records.

    Args:
        cells: the selected cells.
        store: the folder of results.
        dependencies: the current code and files.
        metrics: the metrics of the suite.
        data: the digest of the prepared data, by data set and split.
        device: the device of the suite. Only the states of neural victims' cells depend on the device.
        fresh: whether stored cells are measured again. If so, no record is read.
    """
    of_suite = tuple(metrics)
    damaged: dict[str, UserError] = {}
    elsewhere: dict[str, str] = {}
    here = cache(lambda: device_type(device))

    def state(cell: Cell) -> State:
        if cell.skip:
            return "skipped"
        try:
            record = None if fresh else store.measured(cell.id)
        except UserError as error:
            damaged[cell.id] = error
            return "missing"
        if record is None or "rerun_error" in record:
            return "missing"
        if record["provenance"]["data_sha256"] != data.get(data_name(cell.victim)):
            return "changed"
        if lacks_likes(record, of_suite):
            return "missing"
        stale, kind = dependencies.is_stale(cell, record), record["provenance"]["device"].partition(":")[0]
        if not stale and dependencies.is_neural(cell) and kind != here():
            elsewhere[cell.id], stale = kind, True
        return "stale" if stale else "stored"

    states = {cell.id: state(cell) for cell in cells}
    return Todo(states, damaged, elsewhere, here() if elsewhere else "")
