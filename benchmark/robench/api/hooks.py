"""The hooks of plugins: six hooks register components, and five follow a run.

A registration hook returns ``{name: class or "module:Class"}``. If the values are strings, robench can list the
components without importing their modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

from robench.api.summary import DataSummary
from robench.api.time_left import TimeLeft

hookspec = pluggy.HookspecMarker("robench")
hookimpl = pluggy.HookimplMarker("robench")

Registration = Mapping[str, "type[Any] | str"]


@hookspec
def robench_datasets() -> Registration:  # type: ignore[empty-body]  # a hook specification has no body
    """Registers data sets, which are subclasses of ``Dataset``."""


@hookspec
def robench_models() -> Registration:  # type: ignore[empty-body]
    """Registers recommenders, which are subclasses of ``Model``."""


@hookspec
def robench_attacks() -> Registration:  # type: ignore[empty-body]
    """Registers attacks.

    Attacks are subclasses of ``EmbeddingAttack``, ``HistoryAttack``, ``TextAttack``, ``PoisoningAttack``,
    ``Corruption`` or ``Ensemble``.
    """


@hookspec
def robench_defenses() -> Registration:  # type: ignore[empty-body]
    """Registers defences, which are subclasses of ``Defense``."""


@hookspec
def robench_metrics() -> Registration:  # type: ignore[empty-body]
    """Registers metrics, which are subclasses of ``Metric``."""


@hookspec
def robench_executors() -> Registration:  # type: ignore[empty-body]
    """Registers executors, which are subclasses of ``Executor``."""


@hookspec
def robench_data_read(data: str, summary: DataSummary) -> None:
    """Announces that a data set has been read and split.

    The hook receives the label and the summary of the data set, before anything is measured.
    """


@hookspec
def robench_suite_started(suite: str, victims: int, cells: int, stored: int, time_left: TimeLeft | None) -> None:
    """Announces the start of a run.

    The hook receives the numbers of victims and cells that are still to be measured, and the number of stored cells.
    ``time_left`` is the estimated time until the end of the run, or None if there is no estimate. An implementation may
    leave out arguments that it does not need.
    """


@hookspec
def robench_victim_progress(
    victim: str, label: str, phase: str, done: int, total: int, time_left: TimeLeft | None
) -> None:
    """Announces the progress of a victim.

    ``done`` and ``total`` count epochs in the phase ``fit``, and cells in the phase ``measure``. ``time_left`` is the
    estimated time until the end of the run.
    """


@hookspec
def robench_cell_finished(record: Mapping[str, Any], time_left: TimeLeft | None) -> None:
    """Announces that a cell was measured or has failed.

    The hook receives the stored record. If the cell failed and was measured earlier, this is the earlier record.
    ``time_left`` is the estimated time until the end of the run.
    """


@hookspec
def robench_suite_finished(suite: str, ok: int, failed: int, skipped: int, seconds: float) -> None:
    """Announces the end of a run.

    The hook receives the number of cells per status, and the duration of the run in seconds.
    """
