"""Estimates the cost of a victim's open cells.

The estimates come from the records of earlier runs in the same folder, and from those of the current run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from robench.api.errors import UserError
from robench.run.dependencies import attack_of
from robench.spec import Cell
from robench.store.folder import Store
from robench.store.record import Record

Key = tuple[str, ...]


@dataclass(eq=False)
class _Times:
    """The mean duration of each kind of fit and cell."""

    _sums: dict[Key, tuple[float, int]] = field(default_factory=dict)

    def add(self, keys: Iterable[Key], seconds: float) -> None:
        """Adds one duration to several kinds."""
        for key in keys:
            total, count = self._sums.get(key, (0.0, 0))
            self._sums[key] = total + seconds, count + 1

    def mean(self, key: Key) -> float | None:
        """Returns the mean duration of a kind, or None if no duration was added."""
        total, count = self._sums.get(key, (0.0, 0))
        return total / count if count else None


class Estimates:
    """Estimated costs, based on records.

    The estimated time of a cell is the mean over the cells with the same data set, model, attack and defence. If there
    are no such cells, the defence is ignored, and then the data set. The same rule applies to fits, without the attack.
    A mean is used because the first of several ε of one attack may include the work for all of them.

    A record of the current run takes precedence over those of earlier runs, because the machine and its load may
    differ. If only earlier records are similar, their times are multiplied by a ratio. This ratio is the time that the
    cells and fits of the current run took, divided by the time that earlier records predicted for them.

    A victim with a stored cell has been fitted before. Its checkpoint is usually in the cache, so its fit is estimated
    to take no time.

    Args:
        cells: the cells of the plan. Cells without a record are skipped.
        store: the folder of results.
    """

    def __init__(self, cells: Iterable[Cell], store: Store) -> None:
        self._earlier, self._now = _Times(), _Times()
        self._memory: dict[str, float] = {}
        self._fitted: set[str] = set()
        self._taken = self._predicted = 0.0
        for cell in cells:
            try:
                record = store.read(cell.id)
            except UserError:  # the record is damaged
                continue
            if record is not None and record["status"] == "ok":
                self._earlier.add(_cell_keys(cell), record["seconds"])
                self._earlier.add(_fit_keys(cell), record["fit_seconds"] or 0.0)
                self._fitted.add(cell.victim.id)
                if record["peak_memory_mib"]:
                    model = cell.victim.model.id
                    self._memory[model] = max(self._memory.get(model, 0.0), record["peak_memory_mib"])

    def add(self, cell: Cell, record: Record, fit_seconds: float | None = None) -> None:
        """Adds a record of the current run.

        Args:
            cell: the cell of the record.
            record: the record.
            fit_seconds: the seconds that the fit took in the current run, or None if the record is not the first one of
                its victim.
        """
        if record["status"] != "ok":
            return
        self._compare(_cell_keys(cell), record["seconds"])
        self._now.add(_cell_keys(cell), record["seconds"])
        if fit_seconds is not None:
            if cell.victim.id not in self._fitted:
                self._compare(_fit_keys(cell), fit_seconds)
            self._now.add(_fit_keys(cell), fit_seconds)

    def _compare(self, keys: Iterable[Key], seconds: float) -> None:
        """Updates the ratio between the times of this run and those of earlier runs.

        If no earlier record is similar, nothing changes.

        Args:
            keys: the kinds of the fit or cell, from the most similar one to the least similar one.
            seconds: the seconds that the fit or cell took in this run.
        """
        if (before := next((mean for key in keys if (mean := self._earlier.mean(key)) is not None), None)) is not None:
            self._taken, self._predicted = self._taken + seconds, self._predicted + before

    def seconds(self, cells: Iterable[Cell]) -> float:
        """Returns the estimated seconds of one victim's fit and cells.

        The result is infinite if nothing similar to the fit or to one of the cells was measured.
        """
        several = list(cells)
        return self.fit_seconds(several[0]) + sum(map(self.cell_seconds, several)) if several else 0.0

    def fit_seconds(self, cell: Cell) -> float:
        """Returns the estimated seconds of the fit of a cell's victim.

        The result is 0 if the victim has been fitted before, and infinity if nothing is known.
        """
        return 0.0 if cell.victim.id in self._fitted else self._mean(_fit_keys(cell))

    def cell_seconds(self, cell: Cell) -> float:
        """Returns the estimated seconds of a cell without the fit.

        The result is infinity if no similar cell was measured.
        """
        return self._mean(_cell_keys(cell))

    def memory(self, cell: Cell) -> float | None:
        """Returns the largest peak memory of earlier workers, in MiB, or None.

        Only workers that measured the same model are considered. The result is None if no record holds their memory.
        """
        return self._memory.get(cell.victim.model.id)

    def _mean(self, keys: tuple[Key, ...]) -> float:
        ratio = self._taken / self._predicted if self._predicted > 0 else 1.0
        for key in keys:
            if (mean := self._now.mean(key)) is not None:
                return mean
            if (mean := self._earlier.mean(key)) is not None:
                return ratio * mean
        return math.inf


def _cell_keys(cell: Cell) -> tuple[Key, ...]:
    attack, model = attack_of(cell), cell.victim.model.id
    name = "clean" if attack is None else attack.id
    data = cell.victim.dataset.id
    return ("cell", data, model, name, cell.victim.defense.id), ("cell", data, model, name), ("cell", model, name)


def _fit_keys(cell: Cell) -> tuple[Key, ...]:
    model, data = cell.victim.model.id, cell.victim.dataset.id
    return ("fit", data, model, "", cell.victim.defense.id), ("fit", data, model), ("fit", model)


def longest_first(victims: Mapping[str, Mapping[str, Cell]], estimates: Estimates) -> dict[str, Mapping[str, Cell]]:
    """Orders victims by the estimated time of their open cells, longest first.

    This order reduces the time at the end of a run in which some workers are idle. Victims without similar measurements
    come first. Among them, the first victim of each model and defence comes first, so that every kind has a measurement
    soon. Other victims with equal estimates stay in the order of the plan.
    """
    kinds: Counter[Key] = Counter()

    def order(victim: tuple[str, Mapping[str, Cell]]) -> tuple[float, int]:
        seconds = estimates.seconds(victim[1].values())
        if math.isfinite(seconds):
            return -seconds, 0
        kind = _fit_keys(next(iter(victim[1].values())))[0]
        kinds[kind] += 1
        return -seconds, kinds[kind]

    return dict(sorted(victims.items(), key=order))


def group_by_victim(cells: Iterable[Cell]) -> dict[str, list[Cell]]:
    """Returns the cells of each victim, by the id of the victim."""
    victims: dict[str, list[Cell]] = {}
    for cell in cells:
        victims.setdefault(cell.victim.id, []).append(cell)
    return victims


def describe_open(cells: Iterable[Cell], estimates: Estimates) -> list[str]:
    """Returns a list with one line about the estimated cost of the open cells.

    The list is empty if earlier records give no estimate.
    """
    victims = group_by_victim(cells)
    seconds = [estimates.seconds(some) for some in victims.values()]
    known = [one for one in seconds if math.isfinite(one)]
    if not known:
        return []
    memory = [size for some in victims.values() if (size := estimates.memory(some[0])) is not None]
    of = "" if len(known) == len(seconds) else f" for {len(known)} of {len(seconds)} victims"
    most = f", up to {max(memory):.0f} MiB per worker" if memory else ""
    return [f"to do, by earlier records: about {sum(known):.1f} s{of}, the longest victim {max(known):.1f} s{most}"]
