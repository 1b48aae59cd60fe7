"""The hooks of plugins. Six hooks register components, and five follow a run.

A registration hook returns ``{name: class or "module:Class"}``. If the values are strings, robench can list plugins
without importing their modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

from robench.api.summary import DataSummary

hookspec = pluggy.HookspecMarker("robench")
hookimpl = pluggy.HookimplMarker("robench")

Registration = Mapping[str, "type[Any] | str"]


@hookspec
def robench_datasets() -> Registration:  # type: ignore[empty-body]  # a hook specification has no body
    """Registers data sets, subclasses of ``Dataset``."""


@hookspec
def robench_models() -> Registration:  # type: ignore[empty-body]
    """Registers recommenders, subclasses of ``Model``."""


@hookspec
def robench_attacks() -> Registration:  # type: ignore[empty-body]
    """Registers attacks.

    Attacks are subclasses of ``EmbeddingAttack``, ``HistoryAttack``, ``TextAttack``, ``PoisoningAttack``,
    ``Corruption`` or ``Ensemble``.
    """


@hookspec
def robench_defenses() -> Registration:  # type: ignore[empty-body]
    """Registers defences, subclasses of ``Defense``."""


@hookspec
def robench_metrics() -> Registration:  # type: ignore[empty-body]
    """Registers metrics, subclasses of ``Metric``."""


@hookspec
def robench_executors() -> Registration:  # type: ignore[empty-body]
    """Registers executors, subclasses of ``Executor``."""


@hookspec
def robench_data_read(data: str, summary: DataSummary) -> None:
    """Announces that a data set has been read and split, before anything is measured.

    The hook receives the label of the data set, and the counts of what was read.
    """


@hookspec
def robench_suite_started(suite: str, victims: int, cells: int, stored: int) -> None:
    """Announces the start of a run.

    The hook receives the number of cells to measure and the number of stored cells.
    """


@hookspec
def robench_victim_progress(victim: str, label: str, phase: str, done: int, total: int) -> None:
    """Announces the progress of a victim.

    Progress is counted in epochs during ``fit``, and in cells during ``measure``.
    """


@hookspec
def robench_cell_finished(record: Mapping[str, Any]) -> None:
    """Announces that the record of a cell is stored, whatever the cell's status."""


@hookspec
def robench_suite_finished(suite: str, ok: int, failed: int, skipped: int, seconds: float) -> None:
    """Announces the end of a run, with the number of cells that have each status."""
