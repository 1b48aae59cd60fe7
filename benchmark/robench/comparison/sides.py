"""Holds a side of a comparison and finds a row by its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robench.api.digest import canonical
from robench.api.errors import UserError, likeliest
from robench.api.metric import Measure
from robench.report.numbers import format_victim
from robench.spec import CellRow, RowKey
from robench.store.plan_file import PlannedTable
from robench.store.record import Record
from robench.tables.attack_set import select_judged_cells
from robench.tables.results import Results, is_baseline


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a comparison.

    Args:
        name: the name of the side in the output, ``A`` or ``B``.
        folder: the folder of results.
        results: the cells and records of the folder.
        key: the only row to compare, or None for all rows.
    """

    name: str
    folder: Path
    results: Results
    key: RowKey | None = None

    @property
    def title(self) -> str:
        """The folder, and the row if only one row is compared."""
        return str(self.folder) if self.key is None else f"{self.folder}: {format_victim(self.key)}"

    def chosen(self) -> list[RowKey]:
        """Returns the rows to compare, in the order of the plan."""
        return [self.key] if self.key is not None else list_planned_rows(self.results)

    def records(self, key: RowKey) -> list[Record]:
        """Returns the records of a row's measured cells."""
        return [self.results.record(cell) for cell in self.results.by_row.get(key, []) if self.results.ok(cell)]

    def data_sha256(self, place: tuple[str, str]) -> set[str]:
        """Returns the digests of the data on which cells were measured.

        Only cells of the data set and split ``place`` count.
        """
        records = (record for key in self.results.by_row if key.place == place for record in self.records(key))
        return {record["provenance"]["data_sha256"] for record in records}

    def versions(self, measure: Measure) -> set[int]:
        """Returns the versions of a metric in the records."""
        stored = (record.get("metrics", {}).get(str(measure), {}) for record in self.results.records.values())
        return {values["version"] for values in stored if "version" in values}

    def attacks(self, table: PlannedTable, place: tuple[str, str]) -> dict[str, str]:
        """Returns the settings of each attack in a table, by the label of the attack.

        The settings are canonical JSON.
        """
        own = [cell for cell in self.results.cells if cell.key.place == place and not is_baseline(cell)]
        cells = [cell for cell in select_judged_cells(self.results, table, own) if self.results.ok(cell)]
        return {cell.attack_label: canonical(self._attack(cell)) for cell in cells}

    def _attack(self, cell: CellRow) -> object:
        spec = self.results.record(cell)["spec"]
        poison = spec["victim"]["poison"]
        return spec["attack"] if poison is None else poison["attack"]


def find_row(results: Results, text: str, folder: Path) -> RowKey:
    """Returns the row that a text such as ``lstm, apr λ=0.5`` names.

    A model alone names its undefended row. A few words, or parts of words, suffice if only one row contains them all.
    ``lambda=0.5`` is another way to write ``λ=0.5``.

    Raises:
        UserError: if no row or several rows match.
    """
    keys = list_planned_rows(results)
    names = {key: _name(key, keys) for key in keys}
    wanted = _folded(text)
    exact = [key for key, name in names.items() if wanted in (_folded(name), _folded(format_victim(key)))]
    plain = [key for key in names if wanted == _folded(key.model_label) and not key.defended]
    part = [key for key, name in names.items() if all(word in _folded(name) for word in wanted.split())]
    matches = next((some for some in (exact, plain, part) if some), [])
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = "; ".join(names[key] for key in matches[:8])
        raise UserError(f"'{text}' names {len(matches)} rows", where=str(folder), path="--row", hint=listed)
    likely, listing = likeliest(text, names.values()), f"known: {'; '.join(sorted(names.values()))}"
    hint = f"did you mean '{likely}'? {listing}" if likely else listing
    raise UserError(f"no row '{text}'", where=str(folder), path="--row", hint=hint)


def list_planned_rows(results: Results) -> list[RowKey]:
    """Returns the rows with a cell that is not skipped, in the order of the plan."""
    return [key for key, cells in results.by_row.items() if any(cell.status != "skipped" for cell in cells)]


def _name(key: RowKey, keys: Sequence[RowKey]) -> str:
    """Returns the name of a row.

    If the rows cover several data sets or splits, the name begins with the row's own data set and split.
    """
    place = f"{', '.join(key.place)}: " if len({other.place for other in keys}) > 1 else ""
    return place + format_victim(key)


def _folded(text: str) -> str:
    return re.sub(r"\s*,\s*", ", ", " ".join(text.casefold().replace("lambda=", "λ=").split()))
