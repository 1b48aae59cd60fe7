"""Runs a suite and writes its tables.

Both ``robench run`` and ``robench.run`` use this module.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from robench.api.errors import UserError
from robench.entrance.frames import check_used, with_frames
from robench.entrance.tables import rebuild_tables
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.runner import Options, make_runner
from robench.run.summary import Summary
from robench.tables.build import Tables

log = logging.getLogger("robench")


def run_suite(path: Path, options: Options, frames: Mapping[str, Any] | None = None) -> tuple[Summary, Tables]:
    """Runs a suite and writes its tables.

    Args:
        path: the path of the suite file.
        options: the options of the run.
        frames: the pandas frames that the suite uses as data sets, by name, as for ``robench.run``.

    Returns:
        The summary of the run, and the tables.

    Raises:
        UserError: if the suite, an option, the data or the folder of results is wrong, or if another run is using the
            folder of results.
    """
    host = Host.discover()
    registry = Registry.of(host)
    for owner, reason in host.broken.items():  # a report is named nowhere, so nothing else would say that it is missing
        log.warning("plugin %s is left out: %s", owner, reason)
    if frames is not None:
        registry = with_frames(registry, frames)
    runner = make_runner(path, host, registry, options)
    check_used(frames or (), runner.suite.datasets)
    try:
        with runner.locks:
            summary = runner.run()
            return summary, rebuild_tables(summary.folder, registry, runner.store)
    except KeyboardInterrupt as error:
        if os.path.isdir(runner.store.folder):
            error.add_note(f"finished cells are kept in {runner.store.folder}, run again to continue")
        raise


def log_failures(summary: Summary) -> None:
    """Logs lines about the cells that failed."""
    for line in summary.failure_lines():
        log.warning("%s", line)


def options_of(
    results: str | Path | None,
    workers: int | None,
    executor: str,
    scheduler: str | None,
    overrides: str | Iterable[str] | Mapping[str, Any],
    only: str | Iterable[str] | Mapping[str, Any],
    fresh: bool,
    yes: bool = False,
) -> Options:
    """Converts the arguments of ``robench.run`` to ``Options``.

    A single override or filter need not be in a list.

    Raises:
        UserError: if ``workers``, ``overrides`` or ``only`` has a wrong type, or if an override cannot be written as
            JSON.
    """
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int)):
        raise UserError(f"a whole number is needed, not {workers!r}", path="workers")
    folder = None if results is None else Path(results)
    changes = overrides_of(overrides) if isinstance(overrides, Mapping) else texts_of(overrides, "overrides")
    conditions = conditions_of(only) if isinstance(only, Mapping) else texts_of(only, "only")
    return Options(folder, workers, executor, scheduler, changes, conditions, bool(fresh), bool(yes))


def overrides_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Converts a mapping of settings to overrides of the form ``name=value``.

    Values are written as JSON, so a string that looks like a number remains a string.

    Raises:
        UserError: if a value cannot be written as JSON.
    """
    try:
        return tuple(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in settings.items())
    except (TypeError, ValueError) as error:
        raise UserError(f"numbers, texts, lists and mappings are needed: {error}", path="overrides") from None


def conditions_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Converts a mapping to conditions for cells, of the form ``key=value``.

    If a value is a list or a tuple, each entry gives a separate condition. Conditions with the same key are
    alternatives.
    """
    several = ((key, value if isinstance(value, list | tuple) else [value]) for key, value in values.items())
    return tuple(f"{key}={one}" for key, alternatives in several for one in alternatives)


def texts_of(value: object, name: str) -> tuple[str, ...]:
    """Converts a string, or several strings, to a tuple of strings.

    Args:
        value: a string, or an iterable of strings.
        name: the name of the option, for the error message.

    Raises:
        UserError: if ``value`` is neither a string nor an iterable of strings.
    """
    texts = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    for text in texts:
        if not isinstance(text, str):
            hint = {"overrides": '["seeds=[0]"] or {"seeds": [0]}', "only": '["model=mf"] or {"model": "mf"}'}[name]
            raise UserError(f"texts or a mapping are needed, not {text!r}", path=name, hint=f"for example {hint}")
    return texts
