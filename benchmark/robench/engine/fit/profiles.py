"""Makes the profiles of fake users once, for all victims that share them."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from robench.api.attacks.poisoning import AttackerView, PoisoningAttack
from robench.api.attacks.profiles import Profiles
from robench.api.data import IntArray, TrainData
from robench.api.defense import Defense
from robench.api.errors import PluginError
from robench.api.models.base import Model
from robench.api.rng import Rng
from robench.engine.fit.attacker import choose_seen_users, keep_seen
from robench.engine.fit.poisoning import make_profiles
from robench.engine.fit.poisoning_budget import ProfileBudget
from robench.engine.fit.surrogate import HostPipeline, PipelineCosts, seal
from robench.files.cache import Arrays

Report = dict[str, float]  # what the profiles cost, by name


@dataclass(frozen=True, eq=False)
class VictimPipeline:
    """The part of a victim that an attack may copy.

    Args:
        model: the class of the model.
        settings: the resolved settings of the model.
        defense: the defence.
        seed: the seed of the victim.
        device: the device on which the victim is fitted.
    """

    model: type[Model]
    settings: Mapping[str, Any]
    defense: Defense
    seed: int
    device: torch.device


@dataclass(frozen=True, eq=False)
class ProfileMaker:
    """An attack with fake users, together with the attack's inputs.

    Args:
        attack: the attack.
        data: the training and validation items of all real users.
        targets: the items to promote or demote, int64 [T].
        epsilon: the maximum number of fake users as a share of the real users.
        rng: the random stream of the poisoning.
        victim: the victim's pipeline. The attack sees the pipeline only if the attack's knowledge includes the model.
    """

    attack: PoisoningAttack
    data: TrainData
    targets: IntArray
    epsilon: float
    rng: Rng
    victim: VictimPipeline

    @cached_property
    def seen(self) -> TrainData:
        """The data of the users that the attack sees."""
        share = self.attack.config.knowledge.data
        return keep_seen(self.data, choose_seen_users(self.data.n_users, share, self.rng.child("seen")))

    @cached_property
    def budget(self) -> ProfileBudget:
        """The limits for the number and the size of profiles."""
        return ProfileBudget.of(self.attack, self.seen.train, self.targets, self.epsilon, self.data.n_users)

    def make(self) -> tuple[Arrays, Report]:
        """Asks the attack for profiles and returns them with a report of their costs.

        The profiles are returned as arrays. The report holds the seconds of the attack as ``profile_seconds``, and each
        cost that the attack states as ``profile_<name>``. If the attack may fit surrogates, the report also holds what
        the host has counted: ``surrogate_fits``, ``surrogate_seconds``, ``suspicion_requests``, ``suspicion_seconds``
        and ``filter_choices``, which is the result of ``PipelineCosts.choices``.

        Raises:
            PluginError: if the profiles exceed the budget, if the attack has changed the rows of real users, or if it
                states costs that are not finite numbers.
        """
        costs = PipelineCosts()
        pipeline = self._pipeline(costs)
        view = AttackerView(self.seen.train, self.seen.catalogue, pipeline and seal(pipeline))
        before, start = self.data.train.sha256(), time.perf_counter()
        profiles = make_profiles(
            self.attack, view, self.data.n_users, targets=self.targets, epsilon=self.epsilon, rng=self.rng
        )
        report = _stated(profiles.costs) | {"profile_seconds": round(time.perf_counter() - start, 4)}
        if self.data.train.sha256() != before:
            raise PluginError("the attack changed the rows of real users")
        if pipeline is not None:
            report |= {
                "surrogate_fits": costs.fits,
                "surrogate_seconds": round(costs.seconds, 4),
                "suspicion_requests": costs.requests,
                "suspicion_seconds": round(costs.request_seconds, 4),
                "filter_choices": costs.choices(profiles, self.data.n_items),
            }
        return _to_arrays(profiles), report

    def read(self, arrays: Arrays) -> Profiles:
        """Returns the profiles in the arrays that ``make`` returned.

        Raises:
            PluginError: if the profiles exceed the budget.
        """
        return self.budget.checked(_from_arrays(arrays))

    def _pipeline(self, costs: PipelineCosts) -> HostPipeline | None:
        """Returns the pipeline that the attack may fit, or None.

        The fits and the requests for suspicion scores are counted in ``costs``.
        """
        knowledge, victim = self.attack.config.knowledge, self.victim
        if knowledge.model == "none":
            return None
        same = knowledge.model == "victim"
        return HostPipeline(
            self.seen,
            (victim.model, dict(victim.settings)),
            victim.defense,
            self.budget,
            self.attack.setting("surrogate_fits", 1),
            self.attack.setting("suspicion_requests", 1),
            Rng(victim.seed) if same else self.rng.child("surrogate"),
            victim.device,
            fresh=not same,
            costs=costs,
        )


def _stated(costs: Mapping[str, float]) -> Report:
    """Returns the costs that an attack states, by their names in the record.

    Raises:
        PluginError: if the costs are not a mapping, if a name is not a string, or if a cost is not a finite number.
    """
    if not isinstance(costs, Mapping):
        raise PluginError(f"the costs of Profiles are {type(costs).__name__}, not a mapping")
    plain = {name: _to_python(value) for name, value in costs.items()}
    for name, value in plain.items():
        if not isinstance(name, str) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise PluginError(f"the attack states the cost {name!r} as {value!r}, which is not a finite number")
    return {f"profile_{name}": value for name, value in plain.items()}


def _to_python(value: Any) -> Any:
    """Returns a number of numpy as a Python number, and any other value as given."""
    return value.item() if isinstance(value, np.generic) else value


def _to_arrays(profiles: Profiles) -> Arrays:
    lengths = np.array([len(row) for row in profiles.rows], dtype=np.int64)
    return {"items": np.concatenate([np.empty(0, dtype=np.int64), *profiles.rows]), "lengths": lengths}


def _from_arrays(arrays: Mapping[str, NDArray[Any]]) -> Profiles:
    if not len(arrays["lengths"]):
        return Profiles(())
    return Profiles(tuple(np.split(arrays["items"], np.cumsum(arrays["lengths"])[:-1])))
