"""Builds the tables for a folder of results and writes the tables to files.

This module never imports torch.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from robench.api.errors import UserError, in_lines
from robench.api.metric import Metric
from robench.files.lock import writing_tables
from robench.files.writing import naming
from robench.host.registry import Registry
from robench.report.files import DRAWERS, TABLE_FILES, write_tables
from robench.store.archive import Archive, renew_manifest
from robench.store.folder import Store
from robench.store.plan_file import PlanFile, read_plan
from robench.store.provenance import version_of
from robench.tables.build import Tables, make_tables
from robench.tables.results import Results, read_results

log = logging.getLogger("robench")


def read_folder(folder: Path, registry: Registry, store: Store | None = None) -> Results:
    """Reads the plan and the records of a folder, and finds the metrics of the plan.

    Args:
        folder: the folder of results.
        registry: the plugins, of which only metrics are used.
        store: the store of the folder, if the caller has already read arrays with it.

    Raises:
        UserError: if the plan is missing, if a file that all cells share is damaged, if the plan contradicts a record,
            or if a metric is unknown.
    """
    plan = read_plan(folder)
    return read_results(folder, _metrics(folder, plan, registry), store, plan)


def _metrics(folder: Path, plan: PlanFile, registry: Registry) -> Mapping[str, Metric]:
    try:
        return registry.metrics(map(str, plan.metrics))
    except UserError as error:
        raise UserError(error.problem, where=str(folder / "plan.json"), hint=error.hint) from None


def rebuild_tables(folder: Path, registry: Registry, store: Store | None = None) -> Tables:
    """Computes all tables of a folder and writes the files with the tables.

    The tables depend only on plan.json, the records and the arrays. In a packed folder, the manifest gets the hashes of
    the new files. A lock ensures that no other process writes the tables at the same time.

    Args:
        folder: the folder of results.
        registry: the plugins, of which only metrics are used.
        store: the store of the folder, if the caller has already read arrays with it.

    Raises:
        UserError: if the plan is missing, if a file that all cells share is damaged, if the plan contradicts a record,
            if a metric is unknown, or if the folder cannot be written.
    """
    with writing_tables(folder):
        tables = rewrite_tables(folder, registry, store)
        if Archive.is_in(folder):
            with naming(folder):
                renew_manifest(folder, TABLE_FILES, {name: version_of(name) for name in DRAWERS})
        return tables


def rewrite_tables(folder: Path, registry: Registry, store: Store | None = None) -> Tables:
    """Computes and writes all tables, while the caller holds ``writing_tables``.

    The arguments are those of ``rebuild_tables``.
    """
    tables = make_tables(read_folder(folder, registry, store))
    for line in in_lines(tables.damaged):
        log.warning("%s; the tables are made without it", line)
    write_tables(tables, folder)
    return tables
