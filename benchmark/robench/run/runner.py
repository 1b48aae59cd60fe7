"""Runs a suite.

The runner prepares the data, sends the open cells to an executor, and stores the results in the folder.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from robench.api.codec import encode
from robench.api.errors import UserError, UserErrors, in_lines
from robench.api.executor import Executor, Task
from robench.api.summary import DataSummary
from robench.api.time_left import TimeLeft
from robench.files.cache import Cache, default_folder
from robench.files.leftovers import remove_leftovers
from robench.files.lock import sharing, working_alone, writing_tables
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.filters import select_cells
from robench.plan.misfits import note_skips
from robench.plan.plan import Plan, make_plan
from robench.run.budgets import budget_notes
from robench.run.data import DataKey, SuiteData, data_name, group_by_data, hash_files, load_suite_data
from robench.run.dependencies import Dependencies, check_files
from robench.run.device import pick_device
from robench.run.dropped import check_overrides, dropped_notes, find_dropped
from robench.run.estimates import Estimates, group_by_victim, longest_first
from robench.run.execution import make_executor
from robench.run.forecast import Forecast, count_workers
from robench.run.inbox import Inbox
from robench.run.limits import largest_event, limited_last, strictest
from robench.run.spending import check_spending, declared_spending
from robench.run.summary import Summary
from robench.run.task import Payload, cell_to_payload, record_of
from robench.run.todo import Todo, find_todo
from robench.run.worker import work
from robench.spec import Cell, Victim, describe_victim
from robench.store.arrays import users_arrays
from robench.store.folder import Store
from robench.store.npz import hash_arrays
from robench.store.origin import check_origin, note_origin
from robench.suite.load import Suite, load_suite
from robench.suite.yaml import dump

log = logging.getLogger("robench")


@dataclass(frozen=True)
class Options:
    """The options of a run that are not part of the suite.

    The options come from the command line or from ``robench.run``. The docstring of ``robench.run`` explains them.
    """

    results: Path | None = None
    workers: int | None = None
    executor: str = "local"
    scheduler: str | None = None
    overrides: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    fresh: bool = False
    yes: bool = False


@dataclass(frozen=True, eq=False)
class _DataRead:
    """The keys, arrays and summaries of a run's data, once the data is in the cache.

    Args:
        keys: the keys of the data, by data set and split.
        users: the arrays of users.npz, by name.
        summaries: the summaries of the data, by data set and split.
    """

    keys: dict[str, DataKey]
    users: dict[str, NDArray[Any]]
    summaries: dict[str, DataSummary]


def make_runner(path: Path, host: Host, registry: Registry, options: Options) -> Runner:
    """Returns a runner for a suite file.

    The suite, its overrides and the filters for cells are checked here. ``Runner.run`` checks the other options.

    Raises:
        UserError: if the suite, an override or a filter is wrong.
    """
    suite = load_suite(path, registry, options.overrides)
    return Runner(suite, make_plan(suite, registry), host, registry, options)


class Runner:
    """One run of a suite.

    Args:
        suite: the suite to run.
        plan: the plan of the suite.
        host: the host, which calls the lifecycle hooks of plugins.
        registry: the plugins.
        options: the options of the run.

    Attributes:
        locks: the context in which ``run`` is called. Until the context ends, the run holds its locks on the folder of
            results and on the cache.
    """

    def __init__(self, suite: Suite, plan: Plan, host: Host, registry: Registry, options: Options) -> None:
        self.suite, self.plan, self.host, self.registry, self.options = suite, plan, host, registry, options
        self.cells = select_cells(plan.cells, options.only)
        self.store = Store(options.results or Path("results") / suite.name)
        self.cache = Cache(default_folder())
        self.summary = Summary(self.store.folder)
        self.locks = ExitStack()
        self._alone = False
        self._largest: dict[str, int] = {}  # the most bytes of an event, by the key of the data
        self._victims = {cell.victim.id: cell.victim for cell in plan.cells}

    def run(self) -> Summary:
        """Measures the open cells and stores each cell as soon as it is finished.

        Raises:
            UserError: if data cannot be prepared, if files of a model or an attack are missing or broken, if an option
                is wrong, if models may spend much and ``yes`` is not given, or if the folder belongs to another suite
                or is in use. In these cases, the stored results do not change.
        """
        start = time.perf_counter()
        self._check_folder()
        if os.path.exists(self.store.folder):
            self._work_alone()
        self.cache.check()
        self.locks.enter_context(sharing(self.cache.use_lock))
        with self._executor() as executor:
            if not executor.elsewhere:
                pick_device(self.suite.device, self.suite.tree.place(("device",)))
            self._run(executor, start)
        return self.summary

    def _run(self, executor: Executor, start: float) -> None:
        read = self._read_data()
        data = {name: key.sha256 for name, key in read.keys.items()}
        todo = self._todo(data)
        cells = todo.open(self.cells)
        check_files(cells, self.suite, self.registry)
        if not self.options.yes:
            metrics = self.registry.metrics(self.suite.metrics).values()
            check_spending(declared_spending(cells, read.summaries, self.registry, metrics))
        self._work_alone()
        dropped = self._check_folder()  # again, because another run may have ended meanwhile
        with writing_tables(self.store.folder):
            note_origin(self.store.folder, self.suite.file, self.plan.to_json())
            trials = None if self.suite.tuning is None else self.suite.tuning.content
            self.store.begin(dump(self.suite.resolved(self.registry)), self._plan_content(read), trials)
            self.store.write_users(read.users)
        for note in dropped_notes(dropped):
            log.warning("%s", note)
        self._note_skipped(todo)
        estimates = Estimates(self.plan.cells if cells else (), self.store)
        victims = {name: {cell.id: cell for cell in some} for name, some in group_by_victim(cells).items()}
        forecast = Forecast(
            victims, estimates, count_workers(self.options.workers, self.options.executor, self.suite.device)
        )
        self._notify_start(cells, forecast.time_left())
        try:
            self._measure(executor, cells, read.keys, estimates, forecast)
        finally:  # The progress line must restore the terminal, even after an interrupt or on a full disk.
            self.summary.seconds = time.perf_counter() - start
            self._notify_end()

    def _check_folder(self) -> dict[str, str]:
        """Checks the folder and the effect of ``--set`` on it.

        See ``check_origin`` and ``check_overrides``.

        Returns:
            The label of the model for each measured cell that this run removes from the tables. See ``find_dropped``.
        """
        self.store.check_name(self.suite.name)
        check_origin(self.store.folder, self.suite.file, self.plan.to_json)
        dropped = find_dropped(self.plan.cells, self.store)
        check_overrides(self.suite, dropped, self.options.overrides, self.registry, str(self.store.folder))
        return dropped

    def _plan_content(self, read: _DataRead) -> dict[str, Any]:
        """Returns the content of plan.json."""
        digests = {name: key.sha256 for name, key in read.keys.items()}
        content = {"data_sha256": digests, "users_sha256": hash_arrays(read.users), "data": encode(read.summaries)}
        return {**self.plan.on_data(digests.values()).to_json(), **content}

    def _work_alone(self) -> None:
        """Takes the lock on the folder of results, unless this run already holds it.

        The unfinished files of killed runs are then removed.
        """
        if not self._alone:
            held = self.locks.enter_context(working_alone(self.store.folder))
            remove_leftovers(self.store.folder, self.cache.folder, alone=held)
            self._alone = True

    def _executor(self) -> Executor:
        return make_executor(self.registry, self.options.executor, self.options.workers, self.options.scheduler)

    def _read_data(self) -> _DataRead:
        """Prepares all data of the plan and passes the summaries to plugins.

        Raises:
            UserErrors: if some data cannot be prepared, or if cells cannot use their data.
        """
        read = _DataRead({}, {}, {})
        prepared: list[SuiteData] = []
        errors: list[UserError] = []
        for name, cells in group_by_data(self.plan.cells).items():
            try:
                data = load_suite_data(cells, self.suite, self.registry, self.cache, required=True)
            except UserError as error:
                errors.append(error)
                continue
            prepared.append(data)
            read.keys[name], read.summaries[name] = data.key, data.data.summary
            sizes = data.data.train.n_users, len(data.data.test.items)
            self._largest[data.key.key] = largest_event(*sizes, self.suite.targets.count * self.suite.targets.sets)
            read.users.update(users_arrays(name, data.data, data.users))
        if errors:
            raise UserErrors(errors)
        for one in prepared:
            self.host.notify("robench_data_read", data=one.label, summary=one.data.summary)
            for note in one.notes:
                log.warning("%s", note)
        return read

    def _todo(self, data: Mapping[str, str]) -> Todo:
        dependencies = Dependencies(self.registry, self.cache.sources)
        metrics = self.registry.metrics(self.suite.metrics).values()
        return find_todo(
            self.cells, self.store, dependencies, metrics, data, self.suite.device, fresh=self.options.fresh
        )

    def _note_skipped(self, todo: Todo) -> None:
        """Stores a record for each skipped cell and logs notes about cells.

        The notes report damaged, stale and skipped cells, attacks that fit no model, and budgets that are probably
        mistakes. The summary receives the numbers of stored and skipped cells.
        """
        with self.store.in_background():
            for cell in self.cells:
                if cell.skip:
                    self.store.write_skipped(record_of(cell, "skipped", reason=cell.skip, metrics={}, error=None))
        for line in in_lines(todo.damaged.values()):
            log.warning("%s; the cell is measured again", line)
        self.summary.stored = todo.count("stored") + todo.count("stale")
        self.summary.skipped = todo.count("skipped")
        for note in [*budget_notes(self.cells), *todo.notes(), *note_skips(cell.skip for cell in self.cells)]:
            log.warning("%s", note)

    def _measure(
        self,
        executor: Executor,
        cells: Sequence[Cell],
        keys: Mapping[str, DataKey],
        estimates: Estimates,
        forecast: Forecast,
    ) -> None:
        """Measures cells in at most two rounds.

        If a worker dies, its unfinished cells are tried again in the second round. These cells fail at once if the
        executor reports that a second attempt would end in the same way.
        """
        digests = {name: key.sha256 for name, key in keys.items()}
        inbox = Inbox(
            cells,
            self.store,
            self.summary,
            self.host,
            lambda cell: self._label(cell.victim),
            lambda cell: digests[data_name(cell.victim)],
            forecast,
        )
        with self.store.in_background():
            executor.run(self._tasks(longest_first(inbox.open, estimates), keys), work, inbox.receive)
            if left := inbox.unfinished():
                executor.run(self._tasks(left, keys), work, inbox.receive)
            inbox.close()

    def _tasks(self, cells: Mapping[str, Mapping[str, Cell]], keys: Mapping[str, DataKey]) -> list[Task]:
        """Returns one task per victim, in the given order of victims."""
        tasks, files = [], {key: hash_files(self.cache, key.key) for key in keys.values()}
        for victim, some in cells.items():
            key = keys[data_name(self._victims[victim])]
            payload = Payload(
                cells=[cell_to_payload(cell) for cell in limited_last(some.values())],
                metrics=list(self.suite.metrics),
                device=self.suite.device,
                threads=self._victims[victim].threads,
                cache=str(self.cache.folder),
                data_key=key.key,
                data_sha=key.sha256,
                files=files[key],
                limits=strictest(self.suite.limits, some.values()),
                largest=self._largest[key.key],
            )
            tasks.append(Task(victim, payload))
        return tasks

    def _label(self, victim: Victim) -> str:
        """Returns a readable name of a victim.

        The name includes the data set if the suite has several.
        """
        several = len({other.dataset.label for other in self._victims.values()}) > 1
        return f"{victim.dataset.label}: {describe_victim(victim)}" if several else describe_victim(victim)

    def _notify_start(self, cells: Sequence[Cell], time_left: TimeLeft) -> None:
        self.host.notify(
            "robench_suite_started",
            suite=self.suite.name,
            victims=len({cell.victim.id for cell in cells}),
            cells=len(cells),
            stored=self.summary.stored,
            time_left=time_left,
        )

    def _notify_end(self) -> None:
        self.host.notify(
            "robench_suite_finished",
            suite=self.suite.name,
            ok=self.summary.measured,
            failed=len(self.summary.failures),
            skipped=self.summary.skipped,
            seconds=self.summary.seconds,
        )
