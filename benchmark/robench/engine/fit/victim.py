"""Fits one victim, including the poisoning, the defence and the checkpoint."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from robench.api.attacks.base import Attack
from robench.api.attacks.poisoning import PoisoningAttack
from robench.api.data import HeldOut, IntArray, TrainData
from robench.api.defense import Defense
from robench.api.digest import digest
from robench.api.errors import PluginError, UserError
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.api.usage import record_usage
from robench.engine.data.titles import TitleReader, read_catalogue, title_reader
from robench.engine.fit.checkpoint import identify_checkpoint, make_checkpoint_key
from robench.engine.fit.loop import fit
from robench.engine.fit.poisoning import PoisonedData, add_profiles, poison
from robench.engine.fit.privatising import hide_users, learns_privately
from robench.engine.fit.profiles import ProfileMaker, VictimPipeline
from robench.engine.fit.sanitising import Sanitised, sanitise
from robench.engine.fit.training import EpochCallback
from robench.files.cache import Arrays, Cache
from robench.spec import NO_DEFENSE, Victim

Notes = dict[str, Any]  # the JSON notes that are stored with a checkpoint
# What the host counts while an attack makes its fake users, by name
COUNTED = ("surrogate_fits", "suspicion_requests", "filter_choices")


@dataclass(eq=False)
class FitResult:
    """The fitted model of a victim, with the facts that the fit yields.

    Args:
        model: the fitted model, which the defence may have wrapped.
        report: the report of the fit, for the record.
        achieved: the budget that the poisoning has spent, by name.
        sanitised: the training data that the defence has cleaned, or None if the defence cleans no data.
        read: the function by which the defence changes titles, or None if titles do not change.
        inner: the fitted model before the defence wrapped it, or None if no defence wrapped the model.
        fakes: the profile of each fake user in the training data, int64 arrays.
    """

    model: Model
    report: Notes
    achieved: dict[str, float] = field(default_factory=dict)
    sanitised: Sanitised | None = None
    read: TitleReader | None = None
    inner: Model | None = None
    fakes: Sequence[IntArray] = ()


@dataclass(frozen=True, eq=False)
class FitData:
    """The data of a fit after poisoning and cleaning.

    Args:
        poisoned: the data after poisoning, before the defence has cleaned them.
        train: the data that the model is fitted on, after the defence has cleaned them.
        sanitised: what the defence has kept, or None if the defence cleans no data.
    """

    poisoned: PoisonedData
    train: TrainData
    sanitised: Sanitised | None


@dataclass(eq=False)
class VictimFit:
    """The fit of one victim.

    The fit reads no test item. Test items are in ``held``, which is sealed until the model is fitted.

    Args:
        victim: the victim to fit.
        data: the training and validation items of the real users.
        held: the test items of the real users.
        data_sha: the digest of the prepared data.
        targets: the target items of this victim's poisoning, int64 [T].
        model: the class of the model.
        defense: the defence.
        attack: the attack that poisons the victim, or None if the victim is not poisoned.
        cache: the cache with profiles and checkpoints.
        device: the device on which the model is fitted.
        data_key: the key of the prepared data in the cache. The checkpoint stores this key, so that the victim can be
            rebuilt from the checkpoint.
        undefended: the defence that does nothing, or None. If this defence is given, and the victim's defence changes
            neither the fit nor a title, the victim shares the checkpoint of its undefended twin.
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
    undefended: Defense | None = None

    def fit(self, report: EpochCallback = lambda done, of: None) -> FitResult:
        """Fits the victim or loads its checkpoint, and releases the held-out items."""
        return self._finish(*self._fit_or_load(report))

    def validate(self, report: EpochCallback = lambda done, of: None) -> Notes:
        """Fits the victim or loads its checkpoint, and returns the report of the fit.

        The held-out items remain sealed.
        """
        return self._fit_or_load(report)[1]

    def restore(self, state: Mapping[str, NDArray[Any]]) -> FitResult:
        """Builds the victim from a model's state and releases the held-out items.

        The state may come from another version of the code.
        """
        return self._finish(self._load(state), {})

    def is_cached(self) -> bool:
        """Returns whether a complete checkpoint of this victim is in the cache."""
        return self.cache.read("checkpoints", self.key) is not None

    @property
    def checkpoint(self) -> Path:
        """The path of this victim's checkpoint, which may not exist yet."""
        return self.cache.path("checkpoints", self.key)

    @cached_property
    def key(self) -> str:
        """The digest of everything that the checkpoint depends on."""
        return make_checkpoint_key(self._identity())

    @cached_property
    def train_sha(self) -> str:
        """The digest of the interactions on which the model is fitted."""
        return self._fit_data.train.train.sha256()

    def code(self) -> dict[str, str]:
        """Returns the digests of robench's code and of each class that the fit uses."""
        attack = [] if self.attack is None else [type(self.attack)]
        return self.cache.sources.code_of([self.model, type(self._trained_as[1]), *attack])

    def _identity(self) -> Notes:
        return identify_checkpoint(
            self._trained_as[0],
            data_sha=self.data_sha,
            train_sha=self.train_sha,
            code=self.code(),
            device=self.device.type,
            outside=self._new_model().outside(),
        )

    @cached_property
    def _trained_as(self) -> tuple[Victim, Defense]:
        """The victim and the defence under which the model is trained.

        If ``undefended`` is given, and the defence changes neither the fit nor a title, these are the undefended victim
        and ``undefended``.
        """
        if self.undefended is None or not leaves_fit(self.defense):
            return self.victim, self.defense
        titles = ([item.title for item in data.catalogue.items] for data in (self.data, self._fit_data.train))
        if len(set(map(tuple, titles))) > 1:
            return self.victim, self.defense
        return replace(self.victim, defense=NO_DEFENSE), self.undefended

    @cached_property
    def _fit_data(self) -> FitData:
        rng = Rng(self.victim.seed)
        poisoned = self._poison(rng.child("poison"))
        train, sanitised = poisoned.train, None
        if type(self.defense).overrides("sanitise"):
            sanitised = sanitise(self.defense, train, rng)
            train = sanitised.train
        catalogue = read_catalogue(self.data.catalogue, title_reader(self.defense))
        return FitData(poisoned, replace(self.data, train=train, catalogue=catalogue), sanitised)

    def _poison(self, rng: Rng) -> PoisonedData:
        """Returns the training data after poisoning.

        The profiles of a ``PoisoningAttack`` are cached, so they are made only once.
        """
        train, attack, poisoning = self.data.train, self.attack, self.victim.poison
        if attack is None or poisoning is None:
            return PoisonedData(train)
        if not isinstance(attack, PoisoningAttack):
            return poison(attack, train, targets=self.targets, epsilon=poisoning.epsilon, rng=rng)
        seed, settings = self.victim.seed, self.victim.model.config
        pipeline = VictimPipeline(self.model, settings, self.defense, seed, self.device)
        maker = ProfileMaker(attack, self.data, self.targets, poisoning.epsilon, rng, pipeline)
        arrays, report = self.cache.get("profiles", digest(self._identify_profiles(attack), 32), maker.make)
        poisoned = add_profiles(train, maker.read(arrays))
        spent = {name: report[name] for name in COUNTED if name in report}
        return replace(poisoned, achieved=poisoned.achieved | spent, report=report)

    def _identify_profiles(self, attack: PoisoningAttack) -> Notes:
        """Returns everything that the profiles depend on, as plain JSON types.

        Victims with the same data, poisoning, targets and seed share their profiles. If the attack adapts to the
        victim, the model and the defence must also be equal.
        """
        assert self.victim.poison is not None
        outside = attack.outside()
        identity = {
            "poison": self.victim.poison.content(),
            "targets": self.targets.tolist(),
            "seed": self.victim.seed,
            "data": self.data_sha,
            "code": self.cache.sources.code_of([type(attack)]),
            **({"outside": outside} if outside else {}),
        }
        if attack.adaptivity() != "yes":
            return identity
        return identity | {
            "model": self.victim.model.content(),
            "defense": self.victim.defense.content(),
            "fit code": self.cache.sources.code_of([self.model, type(self.defense)]),
            "model outside": self._new_model().outside(),
            "torch": torch.__version__,
            "device": self.device.type,
        }

    def _fit_or_load(self, report: EpochCallback) -> tuple[Model, Notes]:
        """Returns the model and the report of the fit, from a checkpoint if possible."""
        fitted: list[TorchModel] = []
        made: list[Model] = []

        def make() -> tuple[Arrays, Notes]:
            model = self._new_model()
            rng = Rng(self.victim.seed).child("fit")
            start = time.perf_counter()
            with record_usage() as usage:
                result = fit(model, self._fit_data.train, self._trained_as[1], rng, device=self.device, report=report)
            seconds = round(time.perf_counter() - start, 3)
            made.append(model)
            if isinstance(model, TorchModel):
                fitted.append(model)
            # Labels are included, so that people can see what the file holds.
            origin = {**self._identity(), "victim": asdict(self._trained_as[0]), "data_key": self.data_key}
            notes = {**result.as_dict()} | {f"{name}_read": count for name, count in usage.amounts().items()}
            return dict(model.state()), {**notes, "fit_seconds": seconds, "origin": origin}

        state, notes = self.cache.get("checkpoints", self.key, make)
        # A fitted TorchModel is used directly, because its state() and restore() come from the base class. Any other
        # model is measured after restore().
        try:
            model = fitted[0] if fitted else self._load(state)
        except PluginError as error:
            if made:
                raise
            self.cache.drop(self.checkpoint, str(error))
            state, notes = self.cache.get("checkpoints", self.key, make)
            model = fitted[0] if fitted else self._load(state)
        notes.pop("origin", None)
        return model, notes

    def _finish(self, model: Model, notes: Notes) -> FitResult:
        """Releases the held-out items and returns the result of the fit.

        If the defence overrides ``wrap``, the result holds the wrapped model.
        """
        data = self._fit_data
        self.held.release()
        inner = None
        if type(self.defense).overrides("wrap"):
            inner, model = model, self.defense.wrap(model, Rng(self.victim.seed).child("wrap"))
        poisoned = data.poisoned
        fakes = [poisoned.train.row(user) for user in range(self.data.n_users, poisoned.train.n_users)]
        return FitResult(
            model, notes | poisoned.report, poisoned.achieved, data.sanitised, title_reader(self.defense), inner, fakes
        )

    def _new_model(self) -> Model:
        model: Model = self.model.make(**self.victim.model.config)
        return model

    def _load(self, state: Mapping[str, NDArray[Any]]) -> Model:
        model, data = self._new_model(), self._fit_data.train
        if learns_privately(self.defense):
            data = hide_users(data)
        try:
            model.restore(data, state, Rng(self.victim.seed).child("fit"))
        except UserError:
            raise
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            raise PluginError(f"restore() does not take what state() gave: {problem}") from error
        if isinstance(model, TorchModel):
            model.to(self.device)
            model.eval()
        return model


def leaves_fit(defense: Defense) -> bool:
    """Returns whether training under a defence equals undefended training.

    The result is True if the defence sets ``changes_fit`` to False, and does not override any method that training
    calls. The function assumes that the defence changes no title.
    """
    methods = ("loss", "sanitise", "privatise", "train_privately", "settled", "check_epochs")
    return not defense.changes_fit and not any(map(type(defense).overrides, methods))
