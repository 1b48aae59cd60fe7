"""Builds the tables of a folder and writes them. It never imports torch."""

from __future__ import annotations

import logging
from pathlib import Path

from robench.host.registry import Registry
from robench.report.files import write_tables
from robench.store.folder import Store
from robench.store.plan_file import read_plan
from robench.tables.build import Tables, build_tables

log = logging.getLogger("robench")


def rebuild_tables(folder: Path, registry: Registry, store: Store | None = None) -> Tables:
    """Computes every table from plan.json and the records, and writes the files of the leaderboard.

    Args:
        folder: the folder of results.
        registry: the plugins. Only their metrics are used.
        store: the store of the folder, if some of its arrays have already been read.

    Raises:
        UserError: if there is no plan, it contradicts a record, a metric is unknown, or the folder cannot be written.
    """
    tables = build_tables(folder, registry.metrics(map(str, read_plan(folder).metrics)), store)
    for error in tables.damaged:
        log.warning("%s; the tables are made without it", error)
    write_tables(tables, folder)
    return tables
