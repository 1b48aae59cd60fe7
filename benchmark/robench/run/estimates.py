"""Estimates the cost of a victim's open cells.

The estimates come from the records of earlier runs in the same folder.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import median

from robench.api.errors import UserError
from robench.run.dependencies import attack_of
from robench.spec import Cell
from robench.store.folder import Store

Key = tuple[str, ...]


class Estimates:
    """Estimated costs, based on the records of a folder.

    The estimated time of a cell is the median over the cells with the same model, defence and attack. If there are no
    such cells, the defence is ignored. The estimated time of a fit is the median over the fits with the same model and
    defence. If there are no such fits, the defence is ignored.

    Args:
        cells: the cells to read, if they have records.
        store: the folder of results.
    """

    def __init__(self, cells: Iterable[Cell], store: Store) -> None:
        self._seconds: dict[Key, list[float]] = {}
        self._memory: dict[str, float] = {}
        for cell in cells:
            try:
                record = store.read(cell.id)
            except UserError:  # the record is damaged
                continue
            if record is None or record["status"] != "ok":
                continue
            for key in _cell_keys(cell):
                self._seconds.setdefault(key, []).append(record["seconds"])
            for key in _fit_keys(cell):
                self._seconds.setdefault(key, []).append(record["fit_seconds"] or 0.0)
            if record["peak_memory_mib"]:
                model = cell.victim.model.id
                self._memory[model] = max(self._memory.get(model, 0.0), record["peak_memory_mib"])
        self._medians = {key: median(values) for key, values in self._seconds.items()}

    def seconds(self, cells: Iterable[Cell]) -> float:
        """Returns the estimated seconds of one victim's fit and cells.

        The result is infinite if nothing similar to the fit or to one of the cells was measured.
        """
        several = list(cells)
        if not several:
            return 0.0
        return self._median(_fit_keys(several[0])) + sum(self._median(_cell_keys(cell)) for cell in several)

    def memory(self, cell: Cell) -> float | None:
        """Returns the largest peak memory of earlier workers, in MiB, or None.

        Only workers that measured the same model are considered. The result is None if no record holds their memory.
        """
        return self._memory.get(cell.victim.model.id)

    def _median(self, keys: tuple[Key, ...]) -> float:
        return next((self._medians[key] for key in keys if key in self._medians), math.inf)


def _cell_keys(cell: Cell) -> tuple[Key, ...]:
    attack, model = attack_of(cell), cell.victim.model.id
    name = "clean" if attack is None else attack.id
    return ("cell", model, name, cell.victim.defense.id), ("cell", model, name)


def _fit_keys(cell: Cell) -> tuple[Key, ...]:
    model = cell.victim.model.id
    return ("fit", model, "", cell.victim.defense.id), ("fit", model)


def longest_first(victims: Mapping[str, Mapping[str, Cell]], estimates: Estimates) -> dict[str, Mapping[str, Cell]]:
    """Orders victims by the estimated time of their open cells, longest first.

    This order reduces the time at the end of a run in which some workers are idle. Victims without similar measurements
    come first. Victims with equal estimates stay in the order of the plan.
    """
    return dict(sorted(victims.items(), key=lambda victim: -estimates.seconds(victim[1].values())))


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
