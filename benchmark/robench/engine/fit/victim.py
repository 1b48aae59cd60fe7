"""From prepared data to a fitted victim: poison, clean, fit (or load the checkpoint), wrap."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robench.api.attacks.base import Attack
from robench.api.attacks.poisoning import PoisoningAttack, Profiles
from robench.api.data import FloatArray, HeldOut, IntArray, Interactions, TrainData
from robench.api.defense import Defense
from robench.api.errors import PluginError, UserError
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.api.usage import record_usage
from robench.engine.data.titles import Clean, as_read, reader_of
from robench.engine.fit.loop import Report, fit
from robench.engine.fit.poisoning import Poisoned, fake_profiles, poison
from robench.files.cache import Cache
from robench.spec import Victim, digest
from robench.store.provenance import version_of

Arrays = dict[str, NDArray[Any]]


@dataclass(eq=False)
class Fitted:
    """A victim ready to be measured; ``report`` says how the fit went, ``achieved`` what the poisoning spent, ``read``
    how the defence reads a title, where it has a say.
    """

    model: Model
    report: dict[str, Any]
    achieved: dict[str, float] = field(default_factory=dict)
    suspicion: FloatArray | None = None
    read: Clean | None = None


@dataclass(eq=False)
class VictimFit:
    """Everything that a fit may use. It holds no test item: those are in ``held``, sealed until ``fitted`` returns.

    Args:
        victim: what to fit.
        data: real users' training and validation items.
        held: their test items.
        data_sha: digest of the prepared data.
        targets: the items that this victim's poisoning promotes.
        data_key: where the prepared data lies in the cache; noted in the checkpoint, which so can be used on its own.
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
    data_key: str = ""

    def fitted(self, report: Report = lambda done, of: None) -> Fitted:
        """Poison, clean, fit or load, release the held-out items, wrap."""
        return self._finished(*self._model(report))

    def restored(self, state: Mapping[str, NDArray[Any]]) -> Fitted:
        """Poison, clean, become the model of ``state`` (whatever code fitted it), release, wrap."""
        return self._finished(self._loaded(state), {})

    def kept(self) -> bool:
        """Whether a whole checkpoint of this victim is in the cache."""
        return self.cache.read("checkpoints", self.key) is not None

    @property
    def checkpoint(self) -> Path:
        """The file of this victim's checkpoint, made or not."""
        return self.cache.path("checkpoints", self.key)

    @cached_property
    def key(self) -> str:
        """What the checkpoint depends on."""
        return digest(self._identity(), 32)

    @cached_property
    def train_sha(self) -> str:
        """Digest of what the model is fitted on."""
        return self._ready[1].train.sha256()

    def _finished(self, model: Model, notes: dict[str, Any]) -> Fitted:
        poisoned, _, suspicion = self._ready
        self.held.release()
        if type(self.defense).overrides("wrap"):
            model = self.defense.wrap(model, Rng(self.victim.seed).child("wrap"))
        return Fitted(model, notes, poisoned.achieved, suspicion, self._read)

    @property
    def _read(self) -> Clean | None:
        return reader_of(self.defense)

    @cached_property
    def _ready(self) -> tuple[Poisoned, TrainData, FloatArray | None]:
        """The data after the attack, after the defence's cleaning, and the suspicion per user."""
        rng = Rng(self.victim.seed)
        poisoned = self._poisoned(rng)
        train, suspicion = poisoned.train, None
        if type(self.defense).overrides("sanitise"):
            cleaned = self.defense.sanitise(train, rng.child("sanitise"))
            train, suspicion = cleaned.train, cleaned.suspicion
        catalogue = as_read(self.data.catalogue, self._read)
        return poisoned, replace(self.data, train=train, catalogue=catalogue), suspicion

    def _identity(self) -> dict[str, Any]:
        outside = self._new().outside()
        return ({"outside": outside} if outside else {}) | {
            "victim": self.victim.content(),
            "data": self.data_sha,
            "train": self.train_sha,
            "code": self.code(),
            "torch": version_of("torch"),
            "device": self.device.type,
        }

    def code(self) -> dict[str, str]:
        """Returns digests of robench's code and of the code of each class that takes part in the fit."""
        attack = [] if self.attack is None else [type(self.attack)]
        return self.cache.sources.code_of([self.model, type(self.defense), *attack])

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
                "code": self.cache.sources.code_of([type(attack)]),
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

    def _model(self, report: Report) -> tuple[Model, dict[str, Any]]:
        """The fitted model: from its checkpoint where one is kept, else by fitting."""
        made: list[TorchModel] = []

        def make() -> tuple[Arrays, dict[str, Any]]:
            model = self._new()
            rng = Rng(self.victim.seed).child("fit")
            start = time.perf_counter()
            with record_usage() as usage:
                notes = fit(model, self._ready[1], self.defense, rng, device=self.device, report=report).as_dict()
            seconds = round(time.perf_counter() - start, 3)
            if isinstance(model, TorchModel):
                made.append(model)
            # The labels too, so that the file says by itself what it is.
            origin = {**self._identity(), "victim": asdict(self.victim), "data_key": self.data_key}
            notes |= {f"{name}_read": count for name, count in usage.amounts().items()}
            return dict(model.state()), {**notes, "fit_seconds": seconds, "origin": origin}

        state, notes = self.cache.get("checkpoints", self.key, make)
        notes.pop("origin", None)
        # A TorchModel's state is the base's. Who writes state() and restore() is measured as they give the model back.
        return made[0] if made else self._loaded(state), notes

    def _new(self) -> Model:
        return self.model(self.model.Config.model_validate(dict(self.victim.model.config)))

    def _loaded(self, state: Mapping[str, NDArray[Any]]) -> Model:
        model = self._new()
        try:
            model.restore(self._ready[1], state, Rng(self.victim.seed).child("fit"))
        except UserError:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            raise PluginError(f"restore() does not take what state() gave: {problem}") from error
        if isinstance(model, TorchModel):
            model.to(self.device)
            model.eval()
        return model


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
