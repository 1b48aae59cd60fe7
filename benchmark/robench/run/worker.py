"""One task: fit a victim (or load it), then measure each of its cells. Runs in a worker process."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robench.api.data import IntArray, Interactions, joined
from robench.api.errors import UserError
from robench.api.executor import Emit, Task
from robench.api.metric import Measure, Metric
from robench.api.threat import Threat
from robench.api.usage import record_usage
from robench.engine.attack.arena import Measurement
from robench.engine.calibration import Calibration, beside_held_out, calibrate
from robench.engine.data.prepare import Prepared
from robench.engine.data.targets import choose_targets, evaluated_users
from robench.engine.fit.victim import Fitted, VictimFit
from robench.engine.measure import MeasuredVictim
from robench.files.cache import Cache
from robench.host.discovery import Host
from robench.host.registry import Kind, Registry
from robench.run.data import DataKey, path_of
from robench.run.dependencies import Dependencies
from robench.spec import Cell, Part, Victim, cell_from_payload, digest
from robench.store.provenance import peak_memory, provenance
from robench.store.record import Record, metric_values, new_record, outcome_of

log = logging.getLogger("robench")


def pick_device(wanted: str) -> torch.device:
    """``auto``: the accelerator where there is one.

    Raises:
        UserError: there is none, and one was asked for.
    """
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("there is no GPU that torch can use", where=f"device: {wanted}", hint="write device: auto")
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted)


def set_up(threads: int) -> None:
    """Torch as every victim is fitted and measured: fixed threads, one kernel path."""
    torch.set_num_threads(threads)
    torch.backends.mha.set_fastpath_enabled(False)


def made(registry: Registry, kind: Kind, part: Part) -> Any:
    """The component of a part."""
    cls = registry.class_of(kind, part.name)
    return cls(cls.Config.model_validate(dict(part.config)))


def victim_fit(
    victim: Victim,
    data: Prepared,
    key: DataKey,
    registry: Registry,
    cache: Cache,
    device: torch.device,
    targets: IntArray,
) -> VictimFit:
    """Where a victim is fitted; the same victim, data, code and device have the same checkpoint."""
    return VictimFit(
        victim,
        data.train_data(),
        data.held_out(),
        key.sha256,
        targets,
        registry.class_of("model", victim.model.name),
        made(registry, "defense", victim.defense),
        None if victim.poison is None else made(registry, "attack", victim.poison.attack),
        cache,
        device,
        key.key,
    )


def targets_of(victim: Victim, train: Interactions) -> IntArray:
    """The items whose places are measured: those that the poisoning promotes, or all sets."""
    sets = choose_targets(train, victim.targets) if victim.targets.count else []
    chosen = sets if victim.poison is None else sets[victim.poison.target_set : victim.poison.target_set + 1]
    return np.concatenate([np.empty(0, np.int64), *chosen])


def work(task: Task, emit: Emit) -> None:
    """Measure the cells of a task; a failure costs what it concerns and is told with its traceback."""
    payload = task.payload
    set_up(int(payload["threads"]))
    cells = [cell_from_payload(content) for content in payload["cells"]]
    registry = Registry.of(Host.discover())
    run = _Run(cells, payload, registry, emit, task.id)
    try:
        run.prepare()
    except Exception as error:  # whatever a plugin raises costs its own victim
        for cell in cells:
            emit({"kind": "cell", "task": task.id, "record": run.failed(cell, error), "arrays": None})
        return
    for number, cell in enumerate(cells):
        start = time.perf_counter()
        try:
            record, arrays = run.measured(cell, start)
        except Exception as error:  # whatever a plugin raises costs its own cell
            record, arrays = run.failed(cell, error), None
        emit({"kind": "cell", "task": task.id, "record": record, "arrays": arrays})
        emit(run.progress("measure", number + 1, len(cells)))


@dataclass(frozen=True, eq=False)
class _Clean:
    """A victim on one choice of users: ready to be attacked, and measured clean; ``usage`` is what that took."""

    bench: MeasuredVictim
    measurement: Measurement
    usage: dict[str, int]


@dataclass(frozen=True, eq=False)
class _Failure:
    """The error of a clean measurement, which every cell that needs it reports."""

    error: Exception
    trace: TracebackType | None


@dataclass(eq=False)
class _Run:
    """One victim at work."""

    cells: list[Cell]
    payload: Mapping[str, Any]
    registry: Registry
    emit: Emit
    task: str

    def __post_init__(self) -> None:
        """Nothing is loaded yet."""
        self.cache = Cache(Path(self.payload["cache"]))
        self.dependencies = Dependencies(self.registry, self.cache.sources)

    def prepare(self) -> None:
        """Load data and plugins, and fit."""
        victim = self.cells[0].victim
        self.device = pick_device(self.payload["device"])
        cache = self.cache
        data = Prepared.load(path_of(cache, self.payload["data_key"]))
        key = DataKey(self.payload["data_key"], self.payload["data_sha"])
        self.targets = targets_of(victim, data.train)
        shop = victim_fit(victim, data, key, self.registry, cache, self.device, self.targets)
        measures = [Measure.parse(name) for name in self.payload["metrics"]]
        metrics = self.registry.metrics(self.payload["metrics"])
        self.metrics: dict[Measure, Metric] = {measure: metrics[measure.name] for measure in measures}
        self.fitted: Fitted = shop.fitted(lambda done, of: self.emit(self.progress("fit", done, of)))
        self.data, self.held = data, shop.held
        self.clean: dict[str, _Clean | _Failure] = {}
        self.liked = any(metric.needs == "likes" for metric in self.metrics.values())
        self.calibration: Calibration | None = None

    def progress(self, phase: str, done: int, total: int) -> dict[str, Any]:
        """A progress event."""
        return {"kind": "progress", "task": self.task, "phase": phase, "done": done, "total": total}

    def _clean(self, cell: Cell) -> _Clean:
        """Returns the clean measurement of the victim on a cell's users, made once for all its cells.

        Raises:
            Exception: whatever the victim raises; the same error for every cell that needs the measurement.
        """
        key = digest(None if cell.users is None else cell.users.content())
        if key not in self.clean:
            try:
                self.clean[key] = self._measure_clean(cell)
            except Exception as error:  # whatever a plugin raises
                self.clean[key] = _Failure(error, error.__traceback__)
        clean = self.clean[key]
        if isinstance(clean, _Failure):
            raise clean.error.with_traceback(clean.trace)  # without the trace of an earlier cell
        return clean

    def _measure_clean(self, cell: Cell) -> _Clean:
        history = joined(self.data.train, self.data.validation)
        held = self.held.read()
        bench = MeasuredVictim(
            self.fitted.model,
            history,
            held,
            evaluated_users(self.data, cell.users),
            cell.victim.seed,
            self.data.catalogue,
            self.fitted.read,
            beside_held_out(history, held) if self.liked else None,
        )
        if self.liked and self.calibration is None:
            self.calibration = calibrate(self.fitted.model, self.data.train_data(), bench.draws())
        with record_usage() as usage:
            measurement = self._calibrated(bench.clean(self.targets))
        return _Clean(bench, measurement, usage.amounts())

    def _calibrated(self, found: Measurement) -> Measurement:
        """With the victim's one calibration, where likes are measured."""
        if self.calibration is not None:
            found.arrays["calibration"] = np.array([self.calibration.a, self.calibration.b])
            found.diagnostics |= self.calibration.diagnostics()
        return found

    def measured(self, cell: Cell, start: float) -> tuple[Record, dict[str, NDArray[Any]]]:
        """One cell: its record and arrays."""
        victim = self._clean(cell)
        clean, usage = victim.measurement, victim.usage
        if cell.attack is None:
            found = Measurement(dict(clean.arrays), dict(self.fitted.achieved), dict(clean.diagnostics))
            if len(self.targets):
                found.arrays["targets"] = self.targets
            if self.fitted.suspicion is not None:
                found.arrays["suspicion"] = self.fitted.suspicion
            reference = None
        else:
            attack = made(self.registry, "attack", cell.attack)
            targets = self.promoted(cell)
            with record_usage() as recorded:
                measurement = victim.bench.attacked(attack, cell.epsilon, digest(cell.attack.content()), targets)
            found = self._calibrated(measurement)
            if targets is not None:
                found.arrays["targets"] = targets
            reference, usage = outcome_of(clean.arrays), recorded.amounts()
        outcome = outcome_of(found.arrays, reference)
        threat = Threat(**cell.threat) if cell.threat else None
        metrics = metric_values(self.metrics, outcome, threat, cell.kind)
        record = self._record(cell, "ok", start)
        if outside := self.dependencies.outside(cell):
            record["provenance"]["outside"] = outside
        record |= {"metrics": metrics, "achieved": found.achieved, "diagnostics": found.diagnostics}
        if found.members:
            record["members"] = found.members
        if found.titles:
            record["titles"] = found.titles
        if usage:
            record["reading"] = usage
        return record, found.arrays

    def promoted(self, cell: Cell) -> IntArray | None:
        """The items that a cell's attack promotes; None for one without a target set."""
        if cell.target_set is None:
            return None
        count = cell.victim.targets.count
        return self.targets[cell.target_set * count : (cell.target_set + 1) * count]

    def failed(self, cell: Cell, error: BaseException) -> Record:
        """The record of a cell that could not be measured."""
        record = self._record(cell, "failed", None)
        text = "".join(traceback.format_exception(error))
        return record | {"error": {"type": type(error).__name__, "message": str(error), "traceback": text}}

    def _record(self, cell: Cell, status: Any, start: float | None) -> Record:
        owners = [cell.victim.dataset.owner, cell.victim.model.owner, cell.victim.defense.owner]
        parts = [cell.attack, None if cell.victim.poison is None else cell.victim.poison.attack]
        owners += [part.owner for part in parts if part is not None]
        fitted = getattr(self, "fitted", None)
        notes = dict(fitted.report) if fitted is not None else {}
        origin = provenance(
            owners,
            self._code(cell),
            device=str(getattr(self, "device", "")),
            threads=int(self.payload["threads"]),
        )
        return new_record(
            cell.id,
            cell.victim.id,
            status,
            spec=cell.content(),
            passed=passed(cell),
            metrics={},
            achieved={},
            diagnostics={},
            fit=notes,
            seconds=None if start is None else round(time.perf_counter() - start, 4),
            fit_seconds=notes.pop("fit_seconds", None),
            peak_memory_mib=peak_memory(),
            provenance={**origin, "data_sha256": self.payload["data_sha"]},
            error=None,
        )

    def _code(self, cell: Cell) -> dict[str, str]:
        try:
            return self.dependencies.code(cell)
        except UserError:  # a plugin that cannot be imported: the record of the failure says so
            return {}


def passed(cell: Cell) -> dict[str, Any]:
    """The settings as the suite's author typed them, beside the resolved ones in ``spec``."""
    v = cell.victim
    parts = {"dataset": v.dataset, "split": v.split, "model": v.model, "defense": v.defense, "attack": cell.attack}
    if v.poison is not None:
        parts["attack"] = v.poison.attack
    return {role: dict(part.passed) for role, part in parts.items() if part is not None}
