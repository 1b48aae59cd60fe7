"""Searches for the best settings of a suite, on validation data alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from robench import __version__
from robench.api.errors import UserError, counted
from robench.api.executor import Event, Executor, Task
from robench.files.atomic import write_text
from robench.files.cache import Cache, default_folder
from robench.files.lock import searching_alone, sharing
from robench.files.writing import naming
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.run.data import hash_files, load_suite_data
from robench.run.execution import make_executor
from robench.run.limits import largest_event, strictest
from robench.run.task import Payload, cell_to_payload
from robench.spec import Cell, Part
from robench.suite.load import Suite, load_suite
from robench.suite.trials import CRITERION, FORMAT_VERSION, Trial, TrialsHeader, choose, mean_value
from robench.tune.file import TrialsFile
from robench.tune.space import STARTUP, draw_settings
from robench.tune.subjects import Subject, find_subjects
from robench.tune.tuned_suite import build_tuned_suite
from robench.tune.worker import validate

Say = Callable[[str], None]
LOST = "its worker ended without a value"


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search.

    Args:
        trials: the number of trials per component.
        seed: the seed from which the settings are drawn.
        workers: the number of workers, or None for the executor's own choice.
        executor: the name of the executor.
        scheduler: the address of a scheduler, or None.
        overrides: settings of the suite to change.
        fresh: whether the trials of an earlier search are dropped.
    """

    trials: int = 8
    seed: int = 0
    workers: int | None = None
    executor: str = "local"
    scheduler: str | None = None
    overrides: tuple[str, ...] = ()
    fresh: bool = False


@dataclass(frozen=True)
class SearchSummary:
    """The result of a search.

    Args:
        suite: the suite with the chosen settings, or None if a component has no successful trial.
        trials: the file of trials.
        best: the best trial of each component.
        failures: a line for each component without a successful trial.
    """

    suite: Path | None
    trials: Path
    best: tuple[Trial, ...]
    failures: tuple[str, ...]


@dataclass(eq=False)
class _Open:
    """A trial with fits that have not ended yet."""

    subject: Subject
    number: int
    settings: Mapping[str, Any]
    cells: Mapping[str, Cell]
    values: dict[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0
    error: str = ""

    def trial(self) -> Trial:
        """Returns the finished trial."""
        return Trial(
            self.subject.kind,
            self.subject.label,
            self.subject.part.name,
            self.number,
            dict(self.settings),
            self.subject.fixed(),
            None if self.error else mean_value(self.values.values()),
            round(self.seconds, 3),
            dict(self.values),
            self.error,
        )


def tune_suite(path: Path, options: SearchOptions, registry: Registry, say: Say) -> SearchSummary:
    """Searches for the best settings of a suite, or continues an earlier search.

    First, the settings of each model are searched, without a defence. Then the settings of each defence are searched,
    on the models with their chosen settings. The trials are kept in ``<suite>.trials.jsonl`` beside the suite. The
    suite with the chosen settings is ``<suite>.tuned.yaml``.

    Args:
        path: the suite.
        options: the options of the search.
        registry: the plugins.
        say: a function that receives a line per finished trial, and the notes of workers.

    Raises:
        UserError: if the suite, an option or the data is wrong, if the package optuna is missing, if the file of trials
            belongs to another search, or if another process is searching the same suite.
    """
    if options.trials < 1:
        raise UserError(f"{options.trials} trials", path="--trials", hint="1 or more")
    if find_spec("optuna") is None:
        raise UserError("robench tune needs the package optuna", hint="pip install 'robench[tune]'")
    suite = load_suite(path, registry, options.overrides)
    if len(suite.datasets) != 1:
        problem = f"settings are chosen for one data set, and the suite has {len(suite.datasets)}"
        raise UserError(problem, where=suite.tree.place(("datasets",)), path="datasets")
    if suite.tuning is not None:
        problem = "its settings were chosen by an earlier search"
        raise UserError(problem, where=suite.tree.place(("tuned",)), path="tuned", hint="tune the suite of that search")
    return _Search(suite, options, registry, say).run()


class _Search:
    def __init__(self, suite: Suite, options: SearchOptions, registry: Registry, say: Say) -> None:
        self.suite, self.options, self.registry, self.say = suite, options, registry, say
        self.cells = make_plan(suite, registry).cells
        self.subjects = find_subjects(self.cells, suite.seeds[0], registry)
        if not self.subjects:
            hint = "a setting that the suite gives is never searched"
            raise UserError("no component has a setting to search", where=str(suite.file), hint=hint)
        self.cache = Cache(default_folder())
        self.models: dict[str, Part] = {}

    def run(self) -> SearchSummary:
        """Runs the trials that are not stored yet and writes the tuned suite.

        If a component failed, no suite is written.
        """
        self.cache.check()
        with ExitStack() as stack:
            stack.enter_context(searching_alone(self._path("trials.jsonl")))
            stack.enter_context(sharing(self.cache.use_lock))
            clean = [cell for cell in self.cells if cell.attack is None]
            self.data = load_suite_data(clean, self.suite, self.registry, self.cache, required=True)
            self.file = TrialsFile(self._path("trials.jsonl"), self._header(), fresh=self.options.fresh)
            for subject in self.subjects:
                self.file.check(subject)
            best, failures = self._search()
            return self._write(best, failures)

    def _write(self, best: Mapping[Subject, Trial], failures: Sequence[str]) -> SearchSummary:
        """Writes the trials in order, and the tuned suite unless a component failed."""
        content = self.file.finish(self.subjects, self.options.trials)
        if failures:
            return SearchSummary(None, self.file.path, tuple(best.values()), tuple(failures))
        claim = {
            "file": self.file.path.name,
            "trials": self.options.trials,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        chosen: dict[tuple[str, str], Mapping[str, Any]] = {
            (trial.kind, trial.label): self._settings_to_write(subject, trial) for subject, trial in best.items()
        }
        target = self._path("tuned.yaml")
        with naming(target.parent):
            write_text(target, build_tuned_suite(self.suite, chosen, claim))
        return SearchSummary(target, self.file.path, tuple(best.values()), ())

    def _settings_to_write(self, subject: Subject, trial: Trial) -> Mapping[str, Any]:
        """Returns the settings of a trial as a suite must give them.

        Trial 0 may leave a setting to the fit, which chooses the value by validation. If a suite gives such a setting,
        the fit no longer chooses. So the result then also contains the setting that lets the fit choose.
        """
        if trial.number:
            return trial.settings
        switches = self.registry.class_of(subject.kind, subject.part.name).Config.switches()
        off = subject.part.config
        return {
            **trial.settings,
            **{s: True for s, names in switches.items() if {*names} & {*trial.settings} and s not in off},
        }

    def _path(self, ending: str) -> Path:
        return self.suite.file.with_name(f"{self.suite.file.stem}.{ending}")

    def _header(self) -> TrialsHeader:
        return TrialsHeader(
            FORMAT_VERSION,
            self.suite.name,
            CRITERION,
            self.suite.datasets[0].content(),
            self.suite.split.content(),
            self.data.key.sha256,
            self.suite.seeds[0],
            self.options.seed,
            self.suite.threads,
            __version__,
        )

    def _search(self) -> tuple[dict[Subject, Trial], list[str]]:
        """Searches the settings of the models, and then those of the defences.

        If every trial of a model failed, the search ends before the defences.

        Returns:
            The best trial of each component, and a line for each component without a successful trial.
        """
        best: dict[Subject, Trial] = {}
        for kind in ("model", "defense"):
            subjects = [subject for subject in self.subjects if subject.kind == kind]
            self._run_trials(subjects)
            failures = []
            for subject in subjects:
                trials = self.file.of(subject)[: self.options.trials]
                trial = choose(trials)
                if trial is None:
                    failures.append(f"every trial of {subject.label} failed: {trials[0].error}")
                    continue
                best[subject] = trial
                if kind == "model":
                    part = subject.part_with(subject.part, trial.number, trial.settings, self.registry)
                    self.models[subject.label] = part
            if failures:  # defences are judged on the chosen models
                return best, failures
        return best, []

    def _run_trials(self, subjects: Sequence[Subject]) -> None:
        """Runs the trials of some subjects, except those that are stored already.

        The first trials do not depend on each other, so they run together. Each later trial learns from all before it.
        """
        first = min(STARTUP, self.options.trials)
        rounds = [range(first), *(range(number, number + 1) for number in range(first, self.options.trials))]
        for numbers in rounds:
            opened = [one for subject in subjects for one in self._open(subject, numbers)]
            if opened:
                self._fit(opened)

    def _open(self, subject: Subject, numbers: range) -> list[_Open]:
        """Returns a subject's trials with these numbers, except those already stored."""
        stored = {trial.number: trial for trial in self.file.of(subject)}
        taken = [stored[number].settings for number in sorted(stored) if number < numbers.start]
        opened = []
        for number in numbers:
            if number not in stored:
                earlier = [trial for trial in stored.values() if trial.number < number]
                key = [self.options.seed, subject.kind, subject.label]
                settings = draw_settings(subject.axes, subject.part, number, earlier, taken, key)
                opened.append(self._new(subject, number, settings))
            taken.append(stored[number].settings if number in stored else opened[-1].settings)
        return opened

    def _new(self, subject: Subject, number: int, settings: Mapping[str, Any]) -> _Open:
        try:
            cells = subject.fits(number, settings, self.models, self.registry)
        except UserError as error:
            return _Open(subject, number, settings, {}, error=error.problem)
        return _Open(subject, number, settings, {cell.victim.id: cell for cell in cells})

    def _fit(self, opened: Sequence[_Open]) -> None:
        """Fits the victims of some trials.

        A trial is stored as soon as its last fit has ended. If a worker dies, its fit is tried once more.
        """
        for one in opened:
            if not one.cells:
                self._finish(one)
        waiting = [one for one in opened if one.cells]
        lost: dict[str, str] = {}

        def receive(event: Event) -> None:
            task, kind = event.get("task"), event.get("kind")
            mine = [one for one in waiting if task in one.cells and task not in one.values]
            if kind == "note" and mine:
                self.say(str(event.get("text", "")))
            elif kind == "lost":
                lost[str(task)] = str(event.get("error", LOST))
            elif kind == "cell":
                for one in mine:
                    self._receive(one, str(task), event)

        with self._executor() as executor:
            for _ in range(2):  # a fit whose worker died is tried once more
                cells = {task: cell for one in waiting for task, cell in one.cells.items() if task not in one.values}
                if cells:
                    executor.run(self._tasks(cells), validate, receive)
        for one in waiting:
            for task in [task for task in one.cells if task not in one.values]:
                self._receive(one, task, {"error": lost.get(task, LOST)})

    def _receive(self, one: _Open, task: str, event: Event) -> None:
        value, seconds = event.get("value"), event.get("seconds", 0.0)
        sound = type(value) is float and 0 <= value <= 1 and type(seconds) is float and seconds >= 0
        one.values[task] = value if sound else None
        one.seconds += seconds if sound else 0.0
        if not sound:
            one.error = one.error or str(event.get("error") or "its worker sent no value from 0 to 1")
        if len(one.values) == len(one.cells):
            self._finish(one)

    def _finish(self, one: _Open) -> None:
        trial = one.trial()
        self.file.add(trial)
        outcome = f"failed: {trial.error}" if trial.value is None else f"{trial.value:.4f}"
        self.say(f"{trial.label}, trial {trial.number}: {outcome}  {dict(trial.settings)}  {trial.seconds:.1f} s")

    def _executor(self) -> Executor:
        return make_executor(self.registry, self.options.executor, self.options.workers, self.options.scheduler)

    def _tasks(self, cells: Mapping[str, Cell]) -> list[Task]:
        key, data = self.data.key, self.data.data
        files = hash_files(self.cache, key.key)
        return [
            Task(
                task,
                Payload(
                    cells=[cell_to_payload(cell)],
                    metrics=[],
                    device=self.suite.device,
                    threads=cell.victim.threads,
                    cache=str(self.cache.folder),
                    data_key=key.key,
                    data_sha=key.sha256,
                    files=files,
                    limits=strictest(self.suite.limits, [cell]),
                    largest=largest_event(data.train.n_users, 0, 0),
                ),
            )
            for task, cell in cells.items()
        ]


def describe_search(summary: SearchSummary) -> list[str]:
    """Returns lines with the chosen settings and the files."""
    lines = [
        f"{trial.label}: {trial.value:.4f} by trial {trial.number}  {dict(trial.settings)}" for trial in summary.best
    ]
    lines.append(f"trials: {summary.trials}")
    return lines + (
        [f"suite: {summary.suite}"]
        if summary.suite
        else [f"no suite: {counted(len(summary.failures), 'component')} failed"]
    )
