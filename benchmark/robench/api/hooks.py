"""The hooks of robench. Registration hooks return ``{name: class or "module:Class"}``; strings keep listing fast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

hookspec = pluggy.HookspecMarker("robench")
hookimpl = pluggy.HookimplMarker("robench")

Registration = Mapping[str, "type[Any] | str"]


@hookspec
def robench_datasets() -> Registration:  # type: ignore[empty-body]  # a hook specification has no body
    """Data sets: subclasses of ``Dataset``."""


@hookspec
def robench_models() -> Registration:  # type: ignore[empty-body]
    """Recommenders: subclasses of ``Model``."""


@hookspec
def robench_attacks() -> Registration:  # type: ignore[empty-body]
    """Attacks: subclasses of ``EmbeddingAttack``, ``PoisoningAttack`` or ``Corruption``."""


@hookspec
def robench_defenses() -> Registration:  # type: ignore[empty-body]
    """Defences: subclasses of ``Defense``."""


@hookspec
def robench_metrics() -> Registration:  # type: ignore[empty-body]
    """Metrics: subclasses of ``Metric``."""


@hookspec
def robench_executors() -> Registration:  # type: ignore[empty-body]
    """Executors: subclasses of ``Executor``."""


@hookspec
def robench_suite_started(suite: str, victims: int, cells: int, stored: int) -> None:
    """A run begins: ``cells`` are to be measured, ``stored`` are there already."""


@hookspec
def robench_victim_progress(victim: str, label: str, phase: str, done: int, total: int) -> None:
    """A victim moved on: ``phase`` is ``fit`` (done of total epochs) or ``measure`` (done of total cells)."""


@hookspec
def robench_cell_finished(record: Mapping[str, Any]) -> None:
    """A cell was stored, whatever its status."""


@hookspec
def robench_suite_finished(suite: str, ok: int, failed: int, skipped: int, seconds: float) -> None:
    """A run has ended."""
