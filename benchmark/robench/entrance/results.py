"""Returns the results of a folder as pandas frames.

The function ``robench.load`` is defined here. Frames are computed from plan.json, the records and the arrays, never
from the CSV files. Numbers are not rounded.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robench.api.codec import columns, encode
from robench.api.errors import UserError, in_lines, suggest
from robench.api.surfaces import SURFACES
from robench.entrance.data import data_frame_of
from robench.entrance.tables import read_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.spec import CellRow
from robench.store.folder import Store
from robench.store.npz import Arrays
from robench.tables.build import make_tables
from robench.tables.cells import ValueRow, build_value_rows
from robench.tables.clean import is_comparable
from robench.tables.leaderboard import LeaderboardRow
from robench.tables.results import Results
from robench.tables.slices import build_cell_slices

log = logging.getLogger("robench")

SLICE = ("metric", "slice", "group", "users", "value")  # the columns of a frame of slices, without ``worst``
FEW = 8  # the largest number of ids that a message lists
INTEGERS = ("k", "metric_version", "rank", "rank_high", "rank_low", "seed", "seeds", "target_set", "users")
NUMBERS = (
    *("achieved_epsilon", "epsilon", "lambda", "p_value", "train_epsilon", "value"),
    *("best_known", "clean", "clean_high", "clean_low", "drop", "worst", "worst_high", "worst_low"),
)


def load_results(folder: str | Path) -> ResultFrames:
    """Reads a folder of results and returns its pandas frames.

    Args:
        folder: the folder of results that ``robench.run`` has written, for example ``results/smoke``.

    Raises:
        UserError: if ``folder`` holds no results, if a file that all cells share is damaged, if the plan contradicts a
            record, or if no plugin offers a metric of the plan.
    """
    path = Path(folder)
    results = read_folder(path, Registry.of(Host.discover()))
    for line in in_lines(results.damaged.values()):
        log.warning("%s; its cell counts as missing", line)
    return ResultFrames(path, results)


class ResultFrames:
    """The results of one folder as pandas frames.

    Columns of strings have the dtype ``string``, columns of whole numbers ``Int64``, and columns of other numbers
    ``float64``. A missing value is ``<NA>``, or ``NaN`` in a ``float64`` column.

    Args:
        folder: the folder of results.
        results: the plan and the records of the folder.
    """

    def __init__(self, folder: Path, results: Results) -> None:
        self.folder = folder
        self._results = results

    def __repr__(self) -> str:
        """Returns a string with the folder and the number of planned cells."""
        return f"<results of {self.folder}: {len(self._results.cells)} cells>"

    @cached_property
    def cells(self) -> pd.DataFrame:
        """The table of cells.csv, with one row per measured cell, metric and target set.

        A cell that was not measured has one row with the ``status`` ``failed``, ``skipped`` or ``missing``.
        """
        return frame_of(ValueRow, build_value_rows(self._results))

    @cached_property
    def leaderboard(self) -> pd.DataFrame:
        """The table of leaderboard.csv.

        There is one row per table, data set, split, model and defence. Each row covers all seeds. If the suite has no
        attacks, there is one row per data set, split, model, defence and metric.
        """
        return frame_of(LeaderboardRow, make_tables(self._results).csv_rows())

    @cached_property
    def data(self) -> pd.DataFrame:
        """The summary of what was read, with one row per data set and split.

        The columns hold counts, times, quantiles and notes. The frame is empty for results of earlier versions of
        robench.
        """
        return data_frame_of(self._results)

    def users(self, cell: str) -> pd.DataFrame:
        """Returns a frame with one row per evaluated user of a measured cell.

        The frame has these columns:

        - ``user`` is the row of the user in the data, Int64.
        - ``user_id`` is the id of the user in the source, string.
        - ``held_out`` holds lists of the held-out items.
        - ``ranks`` holds lists of the ranks of these items, starting at 1.
        - ``top`` holds lists of the best items, best first.
        - ``loss`` and ``clean_loss`` are float64, and exist only if the attack has a loss per user.
        - Each metric that was measured for the cell has a float64 column, such as ``ndcg@10``.

        Metrics of targets are means over the target sets. Items are given by their rows in the catalogue. The method
        ``titles`` returns the title of each row.

        Args:
            cell: the id of the cell, or the first digits of the id.

        Raises:
            UserError: if no cell or more than one cell matches, if the cell was not measured, or if users.npz does not
                hold the cell's users.
        """
        measured = self._measured(cell)
        arrays = self._results.arrays(measured)
        known = self._known_users(measured)
        rows, bounds = arrays["users"], known["held_out_indptr"]
        places = {user: place for place, user in enumerate(known["user"].tolist())}
        ids = known["user_id"]
        frame = pd.DataFrame(
            {
                "user": pd.array(rows, dtype="Int64"),
                "user_id": pd.array([str(ids[places[user]]) for user in rows.tolist()], dtype="string"),
                "held_out": [known["held_out_items"][bounds[u] : bounds[u + 1]].tolist() for u in rows.tolist()],
                "ranks": [part.tolist() for part in np.split(arrays["ranks"], arrays["indptr"][1:-1])],
                "top": [[item for item in items if item >= 0] for items in arrays["top"].tolist()],
            }
        )
        if measured.clean or not SURFACES[measured.surface].each_item_alone:
            for name in ("loss", "clean_loss"):
                if name in arrays:
                    frame[name] = arrays[name].astype(np.float64)
        for measure in self._results.plan.metrics:
            values = self._results.over_sets(measured, measure)
            if values is not None:
                frame[str(measure)] = values.astype(np.float64)
        return frame

    def slices(self, cell: str) -> pd.DataFrame:
        """Returns the values of groups of users in a measured cell.

        There is one row per metric and group. The frame has these columns:

        - ``metric`` is the name of the metric, string. The metrics are those that judge each user by the ranks of
          held-out items, and for which higher values are better.
        - ``slice`` and ``group`` say which users are in the group, string.
        - ``users`` is the number of users in the group, Int64.
        - ``value`` is the mean over these users, float64.
        - ``worst`` is true if no other group of the slice has a lower value, boolean.

        The groups and the values are computed from users.npz and the arrays of the cell. The frame is empty for results
        of earlier versions of robench, which hold no facts about users.

        Args:
            cell: the id of the cell, or the first digits of the id.

        Raises:
            UserError: if no cell or more than one cell matches, or if the cell was not measured.
        """
        measured = self._measured(cell)
        measures = [one for one in self._results.plan.metrics if is_comparable(self._results.metric(one))]
        rows = build_cell_slices(self._results, measured, measures)
        frame = pd.DataFrame({name: column_of([encode(getattr(row, name)) for row in rows], name) for name in SLICE})
        frame["worst"] = pd.array([row.worst for row in rows], dtype="boolean")
        return frame

    def titles(self, cell: str) -> pd.Series[str]:
        """Returns the title of every item in the data set of a cell.

        The series has the dtype ``string``. The index of a title is the item's row in the catalogue.

        Args:
            cell: the id of the cell, or the first digits of the id.

        Raises:
            UserError: if no cell or more than one cell matches, or if users.npz does not hold the titles.
        """
        return pd.Series(self._known_users(self._planned(cell))["title"], dtype="string", name="title")

    def _planned(self, cell: str) -> CellRow:
        """Returns the planned cell with an id that begins with ``cell``.

        Raises:
            UserError: if no cell or more than one cell has such an id.
        """
        ids = [planned.cell for planned in self._results.cells]
        matches = [planned for planned in self._results.cells if planned.cell.startswith(cell)]
        if len(matches) == 1:
            return matches[0]
        if cell and matches:
            listed = ", ".join(planned.cell for planned in matches[:FEW])
            raise UserError(f"{len(matches)} cells begin with '{cell}'", where=str(self.folder), hint=listed)
        hint = suggest(cell, {one: one for one in ids}, FEW) or "the column cell of cells.csv has the ids"
        raise UserError(f"no cell '{cell}'", where=str(self.folder), hint=hint)

    def _measured(self, cell: str) -> CellRow:
        planned = self._planned(cell)
        status = self._results.status(planned)
        if status != "ok":
            raise UserError(f"cell {planned.cell} is {status}: it has no users", where=str(self.folder))
        return planned

    def _known_users(self, cell: CellRow) -> Arrays:
        """Returns the arrays in users.npz that belong to the data of a cell, by name.

        Raises:
            UserError: if users.npz has no arrays for this data.
        """
        prefix = f"{cell.key.dataset}/{cell.key.split}/"
        arrays = {name: array for name, array in self._users.items() if name.startswith(prefix)}
        if not arrays:
            raise UserError(f"no users of {prefix[:-1]}", where=str(self.folder / "users.npz"))
        return {name.removeprefix(prefix): array for name, array in arrays.items()}

    @cached_property
    def _users(self) -> Arrays:
        return Store(self.folder).users()


def frame_of(row: type, rows: Iterable[object]) -> pd.DataFrame:
    """Converts dataclass instances to a pandas frame with one row per instance.

    The dtype of a column depends only on the name of the column, even if there are no rows.

    Args:
        row: the dataclass, which defines the columns.
        rows: the instances of the dataclass.
    """
    plain = [encode(one) for one in rows]
    return pd.DataFrame({name: column_of([one[name] for one in plain], name) for name in columns(row)})


def column_of(values: list[Any], name: str) -> pd.Series[Any]:
    """Converts the values of a column to a pandas series.

    The name of the column determines the dtype. An empty string becomes a missing value.
    """
    known = [None if value == "" else value for value in values]
    if name in NUMBERS:
        return pd.Series([np.nan if value is None else float(value) for value in known], dtype="float64")
    if name in INTEGERS:
        return pd.Series(known, dtype="Int64")
    return pd.Series([None if value is None else str(value) for value in known], dtype="string")
