"""The plan minus what is stored, through an executor, into the store; then the tables."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robench.api.errors import UserError, UserErrors
from robench.api.executor import Event, Executor, Task
from robench.files.cache import Cache, default_folder
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.filters import chosen
from robench.plan.misfits import skip_notes
from robench.plan.plan import Plan, make_plan
from robench.run.data import DataKey, check_weights, data_role, ready, roles
from robench.run.dependencies import Dependencies
from robench.run.todo import Todo, find_todo
from robench.run.worker import passed, pick_device, work
from robench.spec import Cell, Victim, cell_to_payload, label_of
from robench.store.folder import Store, users_arrays
from robench.store.provenance import stale_note
from robench.store.record import Record, new_record
from robench.suite.load import Suite, load_suite
from robench.suite.yaml import dump

log = logging.getLogger("robench")


@dataclass(frozen=True)
class Options:
    """What the command line adds to a suite."""

    results: Path | None = None
    workers: int | None = None
    executor: str = "local"
    overrides: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    fresh: bool = False


@dataclass
class Summary:
    """How a run ended. ``failures``: (cell, what it is, error) of each cell that failed."""

    folder: Path
    measured: int = 0
    stored: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    failures: list[tuple[str, str, str]] = field(default_factory=list)

    def failure_lines(self) -> list[str]:
        """Returns what the user is told of each failed cell."""
        return [
            f"failed: {what}: {error} (robench show {self.folder}/cells/{cell}.json)"
            for cell, what, error in self.failures
        ]


class Runner:
    """One run of a suite."""

    def __init__(self, suite: Suite, plan: Plan, host: Host, registry: Registry, options: Options) -> None:
        self.suite, self.plan, self.host, self.registry, self.options = suite, plan, host, registry, options
        self.cells = chosen(plan.cells, options.only)
        self.store = Store(options.results or Path("results") / suite.name)
        self.cache = Cache(default_folder())
        self.summary = Summary(self.store.folder)
        self.victims = {cell.victim.id: cell.victim for cell in plan.cells}
        self.open: dict[str, dict[str, Cell]] = {}

    def run(self) -> Summary:
        """Do what is missing.

        Raises:
            UserError: the data, the targets, a model's weights or the results folder do not fit; nothing was written
                then.
        """
        start = time.perf_counter()
        self.store.check_name(self.suite.name)
        self.cache.check()
        pick_device(self.suite.device)
        executor = self._executor()
        keys, users = self._data()
        data = {role: key.sha256 for role, key in keys.items()}
        todo = self._todo(data)
        open_cells = todo.open(self.cells)
        check_weights(open_cells, self.suite, self.registry)
        self.store.begin(dump(self.suite.resolved(self.registry)), {**self.plan.to_json(), "data_sha256": data})
        self.store.write_users(users)
        self._note_skipped(todo)
        self.summary.stored = todo.count("stored") + todo.count("stale")
        self.host.notify(
            "robench_suite_started",
            suite=self.suite.name,
            victims=len({cell.victim.id for cell in open_cells}),
            cells=len(open_cells),
            stored=self.summary.stored,
        )
        executor.run(self._tasks(open_cells, keys), work, self._on_event)
        self.summary.seconds = time.perf_counter() - start
        self.host.notify(
            "robench_suite_finished",
            suite=self.suite.name,
            ok=self.summary.measured,
            failed=self.summary.failed,
            skipped=self.summary.skipped,
            seconds=self.summary.seconds,
        )
        return self.summary

    def _executor(self) -> Executor:
        cls: type[Executor] = self.registry.load("executor", self.options.executor)
        given = {} if self.options.workers is None else {"workers": self.options.workers}
        if not set(given) <= set(cls.Config.model_fields):
            raise UserError(f"executor '{self.options.executor}' has no workers to count", path="--workers")
        if self.options.workers is not None and self.options.workers < 1:
            raise UserError("at least one worker is needed", path="--workers")
        return cls(cls.Config.model_validate(given))

    def _data(self) -> tuple[dict[str, DataKey], dict[str, Any]]:
        """Prepare every data set once, before any work, so that a mistake in it ends here."""
        keys: dict[str, DataKey] = {}
        arrays: dict[str, Any] = {}
        errors: list[UserError] = []
        notes: list[str] = []
        for role, cells in roles(self.plan.cells).items():
            try:
                found = ready(cells, self.suite, self.registry, self.cache)
            except UserError as error:
                errors.append(error)
                continue
            keys[role] = found.key
            arrays |= users_arrays(role, found.data, found.users)
            notes += found.notes
        if errors:
            raise UserErrors(errors)
        for note in notes:
            log.warning("%s", note)
        return keys, arrays

    def _todo(self, data: Mapping[str, str]) -> Todo:
        """Compares the plan with what is stored."""
        dependencies = Dependencies(self.registry, self.cache.sources)
        metrics = self.registry.metrics(self.suite.metrics).values()
        return find_todo(self.cells, self.store, dependencies, metrics, data, fresh=self.options.fresh)

    def _note_skipped(self, todo: Todo) -> None:
        """Stores a record for each skipped cell, and says how many cells are stale or skipped."""
        for cell in self.cells:
            if cell.skip:
                content = {"spec": cell.content(), "passed": passed(cell), "reason": cell.skip}
                record = new_record(cell.id, cell.victim.id, "skipped", **content, metrics={}, error=None)
                self.store.write_skipped(record)
        self.summary.skipped = todo.count("skipped")
        if stale := todo.count("stale"):
            log.warning("%s", stale_note(stale))
        for note in skip_notes(cell.skip for cell in self.cells):
            log.warning("%s", note)

    def _tasks(self, todo: Sequence[Cell], keys: dict[str, DataKey]) -> list[Task]:
        for cell in todo:
            self.open.setdefault(cell.victim.id, {})[cell.id] = cell
        tasks = []
        for victim, cells in self.open.items():
            key = keys[data_role(self.victims[victim])]
            payload = {
                "cells": [cell_to_payload(cell) for cell in cells.values()],
                "metrics": list(self.suite.metrics),
                "device": self.suite.device,
                "threads": self.victims[victim].threads,
                "cache": str(self.cache.folder),
                "data_key": key.key,
                "data_sha": key.sha256,
            }
            tasks.append(Task(victim, payload))
        return tasks

    def _on_event(self, event: Event) -> None:
        if event["kind"] == "progress":
            self.host.notify(
                "robench_victim_progress",
                victim=event["task"],
                label=self._label(self.victims[event["task"]]),
                phase=event["phase"],
                done=event["done"],
                total=event["total"],
            )
        elif event["kind"] == "cell":
            self._finish(event["record"], event["arrays"])
        elif event["kind"] == "lost":
            error = {"type": "WorkerLost", "message": event["error"], "traceback": ""}
            for cell in list(self.open.get(event["task"], {}).values()):
                content = {"spec": cell.content(), "passed": passed(cell), "metrics": {}, "error": error}
                self._finish(new_record(cell.id, cell.victim.id, "failed", **content), None)

    def _label(self, victim: Victim) -> str:
        """With the data set where there are several."""
        several = len({other.dataset.label for other in self.victims.values()}) > 1
        return f"{victim.dataset.label}: {label_of(victim)}" if several else label_of(victim)

    def _finish(self, record: Record, arrays: Any) -> None:
        """Store a cell as soon as it is done."""
        whole = self.store.write(record, arrays)
        cell = self.open[record["victim"]].pop(record["id"])
        if record["status"] == "ok":
            self.summary.measured += 1
        else:
            self.summary.failed += 1
            what = self._label(cell.victim) + (
                f", {cell.attack.label} ε={cell.epsilon:g}" if cell.attack else ", clean"
            )
            error = " ".join(f"{record['error']['type']}: {record['error']['message']}".split())
            self.summary.failures.append((cell.id, what, error))
        self.host.notify("robench_cell_finished", record=whole)


def make_runner(path: Path, host: Host, registry: Registry, options: Options) -> Runner:
    """A runner for a suite file: everything about it is checked here, before any work."""
    suite = load_suite(path, registry, options.overrides)
    return Runner(suite, make_plan(suite, registry), host, registry, options)
