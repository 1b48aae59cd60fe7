"""From prepared data to a fitted victim: poison, clean, fit (or load the checkpoint), wrap."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robench.api.attack import Attack, PoisoningAttack, Profiles
from robench.api.data import FloatArray, HeldOut, IntArray, Interactions, TrainData
from robench.api.defense import Defense
from robench.api.model import Model
from robench.api.rng import Rng
from robench.api.torch_model import TorchModel
from robench.cache import Cache
from robench.engine.poisoning import Poisoned, fake_profiles, poison
from robench.engine.training import Report, fit
from robench.provenance import code_of, version_of
from robench.spec import Victim, digest

Arrays = dict[str, NDArray[Any]]


@dataclass(eq=False)
class Fitted:
    """A victim ready to be measured; ``report`` says how the fit went, ``achieved`` what the poisoning spent."""

    model: Model
    report: dict[str, Any]
    achieved: dict[str, float] = field(default_factory=dict)
    suspicion: FloatArray | None = None


@dataclass(eq=False)
class Workshop:
    """Everything that a fit may use. It holds no test item: those are in ``held``, sealed until ``fitted`` returns.

    Args:
        victim: what to fit.
        data: real users' training and validation items.
        held: their test items.
        data_sha: digest of the prepared data.
        targets: the items that this victim's poisoning promotes.
    """

    victim: Victim
    data: TrainData
    held: HeldOut
    data_sha: str
    targets: IntArray
    model: type[Model]
    defense: Defense
    attack: Attack | None
    cache: Cache
    device: torch.device

    def fitted(self, report: Report = lambda done, of: None) -> Fitted:
        """Poison, clean, fit or load, release the held-out items, wrap."""
        rng = Rng(self.victim.seed)
        poisoned = self._poisoned(rng)
        train, suspicion = poisoned.train, None
        if type(self.defense).overrides("sanitise"):
            cleaned = self.defense.sanitise(train, rng.child("sanitise"))
            train, suspicion = cleaned.train, cleaned.suspicion
        data = TrainData(train, self.data.validation, self.data.catalogue)
        model, notes = self._model(data, rng.child("fit"), report)
        self.held.release()
        if type(self.defense).overrides("wrap"):
            model = self.defense.wrap(model, rng.child("wrap"))
        return Fitted(model, notes, poisoned.achieved, suspicion)

    def _code(self) -> list[Any]:
        """Which classes take part, and the digests of their code."""
        parts: list[type] = [self.model, type(self.defense), *([type(self.attack)] if self.attack else [])]
        return [[f"{part.__module__}:{part.__qualname__}" for part in parts], code_of(parts)]

    def _poisoned(self, rng: Rng) -> Poisoned:
        """The training data after the attack; profiles of oblivious attacks are made once and shared by all victims."""
        if self.attack is None or self.victim.poison is None:
            return Poisoned(self.data.train)
        attack, epsilon = self.attack, self.victim.poison.epsilon
        stream = rng.child("poison")
        if not (isinstance(attack, PoisoningAttack) and attack.adaptive == "oblivious"):
            return poison(attack, self.data.train, targets=self.targets, epsilon=epsilon, rng=stream)
        key = digest(
            {
                "poison": self.victim.poison.content(),
                "targets": self.targets.tolist(),
                "seed": self.victim.seed,
                "data": self.data_sha,
                "code": code_of([type(attack)]),
            },
            32,
        )

        def make() -> tuple[Arrays, dict[str, Any]]:
            rows = fake_profiles(attack, self.data.train, targets=self.targets, epsilon=epsilon, rng=stream).rows
            empty = np.empty(0, dtype=np.int64)
            return {
                "items": np.concatenate([empty, *rows]),
                "lengths": np.array([len(row) for row in rows], dtype=np.int64),
            }, {}

        arrays, _ = self.cache.get("profiles", key, make)
        rows = np.split(arrays["items"], np.cumsum(arrays["lengths"])[:-1]) if len(arrays["lengths"]) else []
        return poison(
            _Made(attack, Profiles(tuple(rows))), self.data.train, targets=self.targets, epsilon=epsilon, rng=stream
        )

    def _model(self, data: TrainData, rng: Rng, report: Report) -> tuple[Model, dict[str, Any]]:
        """The fitted model: from its checkpoint where one is kept, else by fitting."""
        config = self.model.Config.model_validate(dict(self.victim.model.config))
        key = digest(
            {
                "victim": self.victim.content(),
                "data": self.data_sha,
                "train": data.train.sha256(),
                "code": self._code(),
                "torch": version_of("torch"),
                "device": self.device.type,
            },
            32,
        )
        made: list[Model] = []

        def make() -> tuple[Arrays, dict[str, Any]]:
            model = self.model(config)
            start = time.perf_counter()
            notes = fit(model, data, self.defense, rng, device=self.device, report=report).as_dict()
            made.append(model)
            return dict(model.state()), {**notes, "fit_seconds": round(time.perf_counter() - start, 3)}

        state, notes = self.cache.get("checkpoints", key, make)
        if made:
            return made[0], notes
        model = self.model(config)
        model.restore(data, state, rng)
        if isinstance(model, TorchModel):
            model.to(self.device)
            model.eval()
        return model, notes


class _Made(PoisoningAttack):
    """An attack whose profiles are there already, so that the host checks and applies them by its one path."""

    def __init__(self, attack: PoisoningAttack, profiles: Profiles) -> None:
        super().__init__(attack.config)
        self._profiles = profiles

    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """The ones that were made."""
        return self._profiles
