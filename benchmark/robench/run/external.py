"""Fits the victim of an artefact and scores the artefact."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from robench.api.data import IntArray
from robench.api.errors import PluginError, UserError
from robench.engine.attack.measurement import CellArrays
from robench.files.cache import Cache
from robench.host.registry import Registry
from robench.plan.plan import Plan
from robench.run.artefact_attack import ARTEFACT_SURFACES, make_artefact_attack
from robench.run.data import data_name, load_suite_data
from robench.run.dependencies import Dependencies
from robench.run.device import pick_device, torch_settings
from robench.run.recorder import Recorder
from robench.run.victim import FittedVictim, fit_victim
from robench.spec import Cell
from robench.store.artefact import Artefact
from robench.suite.load import Suite

PARTS = ("metrics", "achieved", "diagnostics", "seconds", "provenance")  # what an external attack shares with a record


@dataclass(frozen=True, eq=False)
class ExternalScore:
    """The measured outcome of an artefact.

    Args:
        content: the fields of the external attack's record that the measurement gives.
        arrays: the arrays of the outcome, with the names that the arrays of a cell have.
    """

    content: dict[str, Any]
    arrays: CellArrays


def score_artefact(artefact: Artefact, suite: Suite, plan: Plan, registry: Registry, cache: Cache) -> ExternalScore:
    """Fits the victim of an artefact and scores the artefact.

    If the cache holds a checkpoint of the victim, it is loaded.

    For each user, the host keeps the worse of the genuine input and the input of the artefact. Users that the artefact
    leaves out keep their genuine inputs.

    Args:
        artefact: the artefact.
        suite: the suite of the board.
        plan: the plan of the suite.
        registry: the plugins.
        cache: the cache for prepared data and checkpoints.

    Raises:
        UserError: if the plan has no such cell, if the cell takes no artefacts, if the artefact does not fit the victim
            or its users, or if the artefact is beyond its budget.
    """
    cell = _find_cell(artefact, plan)
    assert cell.threat is not None
    attack = make_artefact_attack(artefact, cell.threat)
    with fitted_victim(cell, suite, plan, registry, cache) as host:
        unknown = np.setdiff1d(artefact.users, host.users)
        if len(unknown):
            raise UserError(f"user {unknown[0]} is not among the evaluated users of the cell", where=artefact.where)
        start = time.perf_counter()
        try:
            outcome = host.victim.measure(cell, attack)
        except PluginError as error:
            raise UserError(str(error), where=artefact.where) from None
        record = host.recorder.measured(cell, start, outcome.measurement, outcome.metrics, outcome.usage)
    content = {name: record[name] for name in PARTS}
    return ExternalScore({**content, "surface": artefact.surface, "epsilon": cell.epsilon}, outcome.measurement.arrays)


@dataclass(frozen=True, eq=False)
class HostedVictim:
    """A victim that was fitted in this process.

    Args:
        victim: the fitted victim.
        users: the evaluated users, int64 [U].
        recorder: an object that makes the records of the victim's cells.
    """

    victim: FittedVictim
    users: IntArray
    recorder: Recorder


@contextmanager
def fitted_victim(cell: Cell, suite: Suite, plan: Plan, registry: Registry, cache: Cache) -> Iterator[HostedVictim]:
    """Fits the victim of a cell in this process, or loads its checkpoint.

    The settings of torch are those of a worker until the block ends.

    Args:
        cell: the cell.
        suite: the suite of the cell.
        plan: the plan of the suite.
        registry: the plugins.
        cache: the cache for prepared data and checkpoints.

    Raises:
        UserError: if the data cannot be prepared.
    """
    victim = cell.victim
    cells = [one for one in plan.cells if data_name(one.victim) == data_name(victim)]
    prepared = load_suite_data(cells, suite, registry, cache)
    with torch_settings(victim.threads, suite.device):
        device = pick_device(suite.device)
        host = fit_victim(victim, prepared.data, prepared.key, registry, cache, device, suite.metrics)
        dependencies = Dependencies(registry, cache.sources)
        recorder = Recorder(dependencies, victim.threads, prepared.key.sha256, str(device), host.fitted.report)
        yield HostedVictim(host, prepared.users, recorder)


def _find_cell(artefact: Artefact, plan: Plan) -> Cell:
    """Returns the cell that an artefact names.

    Raises:
        UserError: if the plan has no such cell, or if the cell takes no artefacts.
    """
    cell = next((cell for cell in plan.cells if cell.id == artefact.cell), None)
    if cell is None:
        hint = "cells.csv lists the cells of the board"
        raise UserError(f"the board has no cell {artefact.cell}", where=artefact.where, hint=hint)
    if cell.victim.id != artefact.victim:
        problem = f"it was made for victim {artefact.victim}, and cell {cell.id} belongs to victim {cell.victim.id}"
        raise UserError(problem, where=artefact.where)
    if cell.skip or cell.attack is None or cell.threat is None or cell.threat.surface not in ARTEFACT_SURFACES:
        hint = f"name a cell that is attacked through {', '.join(ARTEFACT_SURFACES)}"
        raise UserError(f"cell {cell.id} takes no artefacts", where=artefact.where, hint=hint)
    return cell
