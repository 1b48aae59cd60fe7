"""Runs a suite and writes its tables.

Both ``robench run`` and ``robench.run`` use this module.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from robench.api.errors import UserError
from robench.entrance.tables import rebuild_tables
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.runner import Options, make_runner
from robench.run.summary import Summary
from robench.tables.build import Tables

log = logging.getLogger("robench")


def run_suite(path: Path, options: Options) -> tuple[Summary, Tables]:
    """Runs a suite and writes its tables.

    Args:
        path: the suite.
        options: the options of the run.

    Returns:
        The summary of the run, and the tables.

    Raises:
        UserError: if the suite, an option, the data or the folder of results is wrong, or another run is using this
            folder.
    """
    host = Host.discover()
    registry = Registry.of(host)
    runner = make_runner(path, host, registry, options)
    try:
        with runner.locks:
            summary = runner.run()
            return summary, rebuild_tables(summary.folder, registry, runner.store)
    except KeyboardInterrupt:
        log.warning("interrupted; finished cells are kept in %s, run again to go on", runner.store.folder)
        raise


def log_failures(summary: Summary) -> None:
    """Logs a line for each cell that failed."""
    for line in summary.failure_lines():
        log.warning("%s", line)


def options_of(
    results: str | Path | None,
    workers: int | None,
    executor: str,
    scheduler: str | None,
    overrides: str | Iterable[str],
    only: str | Iterable[str],
    fresh: bool,
) -> Options:
    """Checks the options of ``robench.run``, and returns them.

    A single override or filter need not be in a list.

    Raises:
        UserError: if an option has a wrong type.
    """
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int)):
        raise UserError(f"a whole number is needed, not {workers!r}", path="workers")
    folder = None if results is None else Path(results)
    return Options(
        folder, workers, executor, scheduler, texts_of(overrides, "overrides"), texts_of(only, "only"), bool(fresh)
    )


def texts_of(value: str | Iterable[str], name: str) -> tuple[str, ...]:
    """Returns one or several strings as a tuple.

    Raises:
        UserError: if one of them is not a string.
    """
    texts = (value,) if isinstance(value, str) else tuple(value)
    for text in texts:
        if not isinstance(text, str):
            raise UserError(f"texts are needed, not {text!r}", path=name, hint='for example ["seeds=[0]"]')
    return texts
