"""Fits copies of the victim's pipeline for an attack with fake users."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import torch

from robench.api.attacks.profiles import Profiles
from robench.api.attacks.surrogate import Surrogate
from robench.api.data import FloatArray, TrainData
from robench.api.defense import Defense
from robench.api.errors import PluginError
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.engine.data.titles import read_catalogue, title_reader
from robench.engine.fit.loop import fit
from robench.engine.fit.poisoning_budget import ProfileBudget
from robench.engine.fit.sanitising import sanitise


@dataclass(eq=False)
class SurrogateCosts:
    """The number of surrogates that an attack has fitted, and their seconds."""

    fits: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class HostPipeline:
    """The victim's model and defence on the users that an attack sees.

    Args:
        data: the training and validation items of the seen users.
        model: the class and the resolved settings of the victim's model.
        defense: the victim's defence.
        budget: the budget of the attack, which the fake users of every surrogate must meet.
        fits: the largest number of fits.
        rng: the random stream from which a fit draws. The streams within it have the same names as in the fit of a
            victim. If this is the victim's stream, ``fresh`` is False and the attack sees all users, the fit with the
            final profiles equals the victim's fit.
        device: the device on which surrogates are fitted.
        fresh: whether every fit draws other random numbers.
        costs: what the attack has spent so far.
    """

    data: TrainData
    model: tuple[type[Model], dict[str, object]]
    defense: Defense
    budget: ProfileBudget
    fits: int
    rng: Rng
    device: torch.device
    fresh: bool = True
    costs: SurrogateCosts = field(default_factory=SurrogateCosts)

    @property
    def fits_left(self) -> int:
        """The number of fits that the attack may still request."""
        return self.fits - self.costs.fits

    def fit(self, profiles: Profiles) -> Surrogate:
        """Fits the victim's model with its defence on the seen users and on fake users.

        Raises:
            PluginError: if no fit is left, or if the profiles exceed the budget.
        """
        if not self.fits_left:
            raise PluginError(f"the attack asked for more than {self.fits} fits of the victim's pipeline")
        start = time.perf_counter()
        rng = self.rng.child(self.costs.fits) if self.fresh else self.rng
        self.costs.fits += 1
        data, suspicion = self._poisoned(profiles, rng)
        cls, settings = self.model
        model: Model = cls.make(**settings)
        report = fit(model, data, self.defense, rng.child("fit"), self.device)
        if isinstance(model, TorchModel):
            model.eval()
        if type(self.defense).overrides("wrap"):
            model = self.defense.wrap(model, rng.child("wrap"))
        self.costs.seconds += time.perf_counter() - start
        return Surrogate(model, suspicion, report.validation_ndcg)

    def suspicion(self, profiles: Profiles) -> FloatArray | None:
        """Returns the suspicion score of each fake user, or None if there are no scores.

        Raises:
            PluginError: if the profiles exceed the budget.
        """
        return self._poisoned(profiles, self.rng.child(self.costs.fits) if self.fresh else self.rng)[1]

    def _poisoned(self, profiles: Profiles, rng: Rng) -> tuple[TrainData, FloatArray | None]:
        """Returns the data of a fit, and the suspicion score of each fake user.

        The scores are None if the defence does not override ``sanitise``.
        """
        train = self.data.train.appended(self.budget.checked(profiles).rows)
        suspicion = None
        if type(self.defense).overrides("sanitise"):
            sanitised = sanitise(self.defense, train, rng)
            train, suspicion = sanitised.train, sanitised.suspicion[self.data.n_users :]
        catalogue = read_catalogue(self.data.catalogue, title_reader(self.defense))
        return replace(self.data, train=train, catalogue=catalogue), suspicion
