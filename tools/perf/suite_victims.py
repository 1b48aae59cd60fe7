"""Fits the victims of a suite for other scripts in this folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from robench.api import IntArray
from robench.engine.data.targets import evaluated_users
from robench.engine.measure import MeasuredVictim
from robench.files.cache import Cache, default_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.filters import select_cells
from robench.plan.plan import make_plan
from robench.run.data import data_name, prepare_data
from robench.run.victim import make_victim_fit, targets_of
from robench.spec import Cell
from robench.suite.load import load_suite


@dataclass(frozen=True)
class SuiteVictim:
    """One fitted victim of a suite.

    Args:
        label: the labels of model and defence, and the seed.
        row: the labels of model and defence.
        model: the fitted model with the suite's evaluated users.
        cells: the selected cells of this victim, in the order of the plan.
        targets: the target items of the victim's poisoning, or else the items of all target sets, int64 [T].
    """

    label: str
    row: str
    model: MeasuredVictim
    cells: tuple[Cell, ...]
    targets: IntArray


def suite_victims(path: Path, only: Sequence[str], overrides: Sequence[str] = ()) -> Iterator[SuiteVictim]:
    """Yields the victims of a suite that have at least one selected cell.

    Checkpoints are read from the cache of robench, or stored there.

    Args:
        path: the file of the suite.
        only: conditions on cells, as in ``robench run --only``.
        overrides: changes of the suite, as in ``robench run --set``.
    """
    torch.set_num_threads(1)
    registry, cache = Registry.of(Host.discover()), Cache(default_folder())
    suite = load_suite(path, registry, tuple(overrides))
    cells = select_cells(make_plan(suite, registry).cells, tuple(only))
    victims = {cell.victim.id: cell.victim for cell in cells}
    data = {}
    for name, victim in victims.items():
        source = data_name(victim)
        if source not in data:
            data[source] = prepare_data(victim.dataset, victim.split, registry, suite.folder, cache)
        key, prepared = data[source]
        targets = targets_of(victim, prepared)
        fit = make_victim_fit(victim, prepared, key, registry, cache, torch.device("cpu"), targets)
        model, own = fit.fit().model, tuple(cell for cell in cells if cell.victim.id == name)
        held, users = fit.held.read(), evaluated_users(prepared, own[0].users)
        measured = MeasuredVictim(model, prepared.history(), held, users, victim.seed, prepared.catalogue)
        row = f"{victim.model.label} {victim.defense.label}"
        yield SuiteVictim(f"{row} seed {victim.seed}", row, measured, own, targets)
