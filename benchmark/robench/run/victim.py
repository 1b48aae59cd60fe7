"""Fits one victim in a worker and measures its cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robench.api.attacks.base import Attack
from robench.api.data import HeldOut, IntArray
from robench.api.digest import digest
from robench.api.metric import ItemFacts, Measure, Metric
from robench.api.usage import record_usage
from robench.engine.attack.measurement import Measurement
from robench.engine.calibration import Calibration, calibrate, draw_test_negatives
from robench.engine.data.prepared import Prepared
from robench.engine.data.targets import choose_targets, evaluated_users
from robench.engine.fit.refit import Refit
from robench.engine.fit.training import EpochCallback
from robench.engine.fit.victim import FitResult, VictimFit
from robench.engine.measure import MeasuredVictim
from robench.engine.rank.votes import collect_votes
from robench.files.cache import Cache
from robench.host.registry import Registry
from robench.run.data import DataKey
from robench.spec import NO_DEFENSE, Cell, Victim
from robench.store.certificate import Certificate, measure_certificate
from robench.store.detection import Detection, measure_detection
from robench.store.facts import collect_facts
from robench.store.record import build_outcome, compute_metric_values


def make_victim_fit(
    victim: Victim,
    data: Prepared,
    key: DataKey,
    registry: Registry,
    cache: Cache,
    device: torch.device,
    targets: IntArray,
) -> VictimFit:
    """Returns the fit of a victim without running it.

    Fits of the same victim, data, code and device share a checkpoint.

    Args:
        victim: the victim to fit.
        data: the prepared data of the victim.
        key: the key and the digest of this data.
        registry: the plugins.
        cache: the cache for checkpoints.
        device: the device on which to fit.
        targets: the target items of the victim's poisoning, int64 [T].
    """
    return VictimFit(
        victim,
        data.train_data(),
        data.held_out(),
        key.sha256,
        targets,
        registry.class_of("model", victim.model.name),
        registry.make("defense", victim.defense),
        None if victim.poison is None else registry.make("attack", victim.poison.attack),
        cache,
        device,
        key.key,
        registry.make("defense", NO_DEFENSE),
    )


def targets_of(victim: Victim, data: Prepared) -> IntArray:
    """Returns the items for which ranks are stored, int64 [T].

    For a poisoned victim, these are the targets of the poisoning. For other victims, these are the items of every
    target set.
    """
    sets = choose_targets(data.train, victim.targets, data.catalogue.ids) if victim.targets.count else []
    chosen = sets if victim.poison is None else sets[victim.poison.target_set : victim.poison.target_set + 1]
    return np.concatenate([np.empty(0, np.int64), *chosen])


@dataclass(frozen=True, eq=False)
class CellMeasurement:
    """The measurement of one cell.

    ``metrics`` holds the value and the metric version of each measure. ``usage`` holds the usage of language models.
    """

    measurement: Measurement
    metrics: Mapping[str, object]
    usage: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class _CleanVictim:
    """A victim that is measured on one sample of users, with its clean measurement.

    ``usage`` is the usage of language models during the clean measurement.
    """

    victim: MeasuredVictim
    measurement: Measurement
    usage: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class _Failure:
    """An error in a clean measurement.

    Every cell that needs this measurement reports the error.
    """

    error: Exception
    trace: TracebackType | None


@dataclass(eq=False)
class FittedVictim:
    """A fitted victim, ready for the measurement of its cells.

    The clean measurement is made only once per sample of users.

    Args:
        fitted: the model, and the report of its fit.
        data: the prepared data.
        held: the held-out items, which are available because the fit has ended.
        targets: the items for which ranks are stored, int64 [T].
        metrics: the metric of each measure of the suite.
        registry: the plugins.
        device: the device on which the victim was fitted.
    """

    fitted: FitResult
    data: Prepared
    held: HeldOut
    targets: IntArray
    metrics: Mapping[Measure, Metric]
    registry: Registry
    device: torch.device
    _clean: dict[str, _CleanVictim | _Failure] = field(default_factory=dict)
    _calibration: Calibration | None = None

    def measure(self, cell: Cell, attack: Attack | None = None) -> CellMeasurement:
        """Measures one cell.

        Args:
            cell: the cell.
            attack: an attack that takes the place of the cell's attack, or None. It must have the same threat model.

        Raises:
            Exception: any error of the model, the attack or a metric.
        """
        clean = self._clean_of(cell)
        if cell.attack is None:
            measurement, usage, reference = self._clean_cell(cell, clean), clean.usage, None
        else:
            measurement, usage = self._attack(cell, attack or self.registry.make("attack", cell.attack), clean.victim)
            reference = build_outcome(clean.measurement.arrays)
        outcome = build_outcome(measurement.arrays, reference, self._items)
        return CellMeasurement(measurement, compute_metric_values(self.metrics, outcome, cell.threat, cell.kind), usage)

    @cached_property
    def _items(self) -> ItemFacts | None:
        """Facts about the items, or None if no metric needs them."""
        needed = any(metric.needs == "items" for metric in self.metrics.values())
        return collect_facts(self.data) if needed else None

    def _clean_cell(self, cell: Cell, clean: _CleanVictim) -> Measurement:
        """Returns a clean cell's measurement, with the targets and results of the fit."""
        arrays, diagnostics = dict(clean.measurement.arrays), dict(clean.measurement.diagnostics)
        detection: Detection = {}
        if len(self.targets):
            arrays["targets"] = self.targets
        if (sanitised := self.fitted.sanitised) is not None:
            arrays |= {"suspicion": sanitised.suspicion, "flagged": sanitised.flagged}
            detection = measure_detection(sanitised.suspicion, sanitised.flagged, self.data.train.n_users)
            if (poison := cell.victim.poison) is not None:
                known = self.registry.make("defense", cell.victim.defense).known_attacks()
                detection["known_attack"] = int(poison.attack.name in known)
        if fakes := self.fitted.fakes:
            arrays["fake_items"] = np.concatenate(fakes).astype(np.int32)
            arrays["fake_lengths"] = np.array([len(row) for row in fakes], dtype=np.int32)
        certificate: Certificate = {}
        if cell.victim.poison is None and cell.victim.defense.name == NO_DEFENSE.name:
            certificate = self._certify(arrays, clean.victim)
        return Measurement(
            arrays, dict(self.fitted.achieved), diagnostics, detection=detection, certificate=certificate
        )

    def _certify(self, arrays: dict[str, NDArray[Any]], victim: MeasuredVictim) -> Certificate:
        """Returns the certificate of a model that combines votes of base models.

        The votes are added to the arrays. For other models, the result is empty, and the arrays stay as they are.
        Defended and poisoned victims have no certificate, so the caller leaves them out: a defence may read the
        training data in any way.
        """
        trained = int((self.data.train.lengths() > 0).sum())
        collected = collect_votes(victim.model, victim.chunks(), victim.history, arrays["top"], trained)
        if collected is None:
            return {}
        votes, voting = collected
        arrays |= votes
        return measure_certificate(arrays, voting)

    def _attack(self, cell: Cell, attack: Attack, victim: MeasuredVictim) -> tuple[Measurement, Mapping[str, int]]:
        assert cell.attack is not None
        targets = self._promoted(cell)
        with record_usage() as usage:
            measurement = victim.attacked(attack, cell.epsilon, digest(cell.attack.content()), targets)
        self._add_calibration(measurement)
        if targets is not None:
            measurement.arrays["targets"] = targets
        return measurement, usage.amounts()

    def _promoted(self, cell: Cell) -> IntArray | None:
        """Returns the target items of a cell's attack, int64 [T].

        The result is None if the cell has no target set.
        """
        if cell.target_set is None:
            return None
        count = cell.victim.targets.count
        return self.targets[cell.target_set * count : (cell.target_set + 1) * count]

    def _clean_of(self, cell: Cell) -> _CleanVictim:
        """Returns the victim and its clean measurement on the users of a cell.

        All cells with the same users share one clean measurement.

        Raises:
            Exception: any error of the victim. Every cell with these users raises the same error.
        """
        key = digest(None if cell.users is None else cell.users.content())
        if key not in self._clean:
            try:
                self._clean[key] = self._measure_clean(cell)
            except Exception as error:  # a plugin may raise anything
                self._clean[key] = _Failure(error, error.__traceback__)
        clean = self._clean[key]
        if isinstance(clean, _Failure):
            raise clean.error.with_traceback(clean.trace)  # drops the frames of an earlier cell
        return clean

    def _measure_clean(self, cell: Cell) -> _CleanVictim:
        history = self.data.history()
        held = self.held.read()
        has_likes = any(metric.needs == "likes" for metric in self.metrics.values())
        victim = MeasuredVictim(
            self.fitted.model,
            history,
            held,
            evaluated_users(self.data, cell.users),
            cell.victim.seed,
            self.data.catalogue,
            self.fitted.read,
            draw_test_negatives(history, held) if has_likes else None,
            self.fitted.inner,
            self._refit(cell.victim),
        )
        if has_likes and self._calibration is None:
            self._calibration = calibrate(self.fitted.model, self.data.train_data(), victim.draws())
        with record_usage() as usage:
            measurement = victim.clean(self.targets)
        self._add_calibration(measurement)
        return _CleanVictim(victim, measurement, usage.amounts())

    def _refit(self, victim: Victim) -> Refit:
        """Returns the victim's model and defence, ready to be fitted to other users."""
        model = self.registry.class_of("model", victim.model.name)
        defense = self.registry.make("defense", victim.defense)
        return Refit(self.data.train_data(), model, victim.model.config, defense, self.device)

    def _add_calibration(self, measurement: Measurement) -> None:
        """Adds the victim's calibration to a measurement if a metric needs likes."""
        if self._calibration is not None:
            measurement.arrays["calibration"] = np.array([self._calibration.a, self._calibration.b])
            measurement.diagnostics |= self._calibration.diagnostics()


def fit_victim(
    victim: Victim,
    data: Prepared,
    key: DataKey,
    registry: Registry,
    cache: Cache,
    device: torch.device,
    measures: Sequence[str],
    report: EpochCallback = lambda done, of: None,
) -> FittedVictim:
    """Fits a victim, or loads its checkpoint, for the measurement of its cells.

    Args:
        victim: the victim to fit.
        data: the prepared data of the victim.
        key: the key and the digest of this data.
        registry: the plugins.
        cache: the cache for checkpoints.
        device: the device on which to fit.
        measures: the measures of the suite, such as ``ndcg@10``.
        report: a function that receives the number of finished epochs and the total number of epochs.

    Raises:
        Exception: any error of a plugin.
    """
    targets = targets_of(victim, data)
    fit = make_victim_fit(victim, data, key, registry, cache, device, targets)
    metrics = registry.metrics(measures)
    by_measure = {measure: metrics[measure.name] for measure in map(Measure.parse, measures)}
    return FittedVictim(fit.fit(report), data, fit.held, targets, by_measure, registry, device)
