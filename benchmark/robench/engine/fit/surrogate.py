"""Fits copies of the victim's pipeline for an attack with fake users."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import torch

from robench.api.attacks.profiles import Profiles
from robench.api.attacks.surrogate import Pipeline, Surrogate, Suspicion
from robench.api.data import Interactions, TrainData
from robench.api.defense import Defense
from robench.api.errors import PluginError
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.engine.data.titles import read_catalogue, title_reader
from robench.engine.fit.loop import fit
from robench.engine.fit.poisoning_budget import ProfileBudget
from robench.engine.fit.sanitising import sanitise
from robench.store.detection import FLAGGED


@dataclass(eq=False)
class PipelineCosts:
    """The costs of an attack's requests to the victim's pipeline.

    Args:
        fits: the number of fitted surrogates.
        seconds: the seconds that these fits took.
        requests: the number of requests for suspicion scores.
        request_seconds: the seconds that these requests took.
        filtered: the digest of each different set of fake users that the defence has cleaned. The set without fake
            users does not count.
    """

    fits: int = 0
    seconds: float = 0.0
    requests: int = 0
    request_seconds: float = 0.0
    filtered: set[str] = field(default_factory=set)

    def choices(self, profiles: Profiles, n_items: int) -> int:
        """Returns how many cleaned sets of fake users an attack chose from.

        This is the number of different sets that the defence has cleaned. It is 0 if the chosen set is not one of them.

        Args:
            profiles: the fake users that the attack has chosen.
            n_items: the number of items in the catalogue.
        """
        return len(self.filtered) if _digest(profiles, n_items) in self.filtered else 0


def _digest(profiles: Profiles, n_items: int) -> str:
    """Returns a digest of fake users that depends on the order of users and items."""
    return Interactions.from_rows(list(profiles.rows), n_items).sha256()


@dataclass(frozen=True, eq=False)
class HostPipeline:
    """The victim's model and defence on the users that an attack sees.

    Args:
        data: the training and validation items of the seen users.
        model: the class and the resolved settings of the victim's model.
        defense: the victim's defence.
        budget: the budget of the attack, which the fake users of every surrogate must meet.
        fits: the maximum number of fits.
        requests: the maximum number of requests for suspicion scores.
        rng: the random stream from which a fit draws. The streams within it have the same names as in the fit of a
            victim. If this is the victim's stream, ``fresh`` is False and the attack sees all users, the fit with the
            final profiles equals the victim's fit.
        device: the device on which surrogates are fitted.
        fresh: whether every fit draws different random numbers.
        costs: what the attack has spent so far.
    """

    data: TrainData
    model: tuple[type[Model], dict[str, object]]
    defense: Defense
    budget: ProfileBudget
    fits: int
    requests: int
    rng: Rng
    device: torch.device
    fresh: bool = True
    costs: PipelineCosts = field(default_factory=PipelineCosts)

    @property
    def fits_left(self) -> int:
        """The number of fits that the attack may still request."""
        return self.fits - self.costs.fits

    @property
    def requests_left(self) -> int:
        """The number of times that the attack may still request suspicion scores."""
        return self.requests - self.costs.requests

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

    def suspicion(self, profiles: Profiles) -> Suspicion | None:
        """Returns the suspicion of the users, or None if there are no scores.

        Raises:
            PluginError: if no request is left, or if the profiles exceed the budget.
        """
        train = self.data.train.appended(self.budget.checked(profiles).rows)
        if not self._filters:
            return None
        if not self.requests_left:
            raise PluginError(
                f"the attack asked for suspicion scores more than {self.requests} times (suspicion_requests)"
            )
        self.costs.requests += 1
        start = time.perf_counter()
        suspicion = self._clean(train, profiles, self.rng.child(self.costs.fits) if self.fresh else self.rng)[1]
        self.costs.request_seconds += time.perf_counter() - start
        return suspicion

    @property
    def _filters(self) -> bool:
        """True if the defence cleans training data."""
        return type(self.defense).overrides("sanitise")

    def _clean(self, train: Interactions, profiles: Profiles, rng: Rng) -> tuple[Interactions, Suspicion]:
        """Returns the cleaned data and the suspicion of the users."""
        sanitised = sanitise(self.defense, train, rng)
        if profiles.rows:
            self.costs.filtered.add(_digest(profiles, train.n_items))
        n = self.data.n_users
        scores, flagged = sanitised.suspicion, sanitised.flagged[n:] == FLAGGED
        return sanitised.train, Suspicion(scores[n:], scores[:n], flagged)

    def _poisoned(self, profiles: Profiles, rng: Rng) -> tuple[TrainData, Suspicion | None]:
        """Returns the data of a fit, and the suspicion of the users.

        The latter is None if the defence does not override ``sanitise``.
        """
        train = self.data.train.appended(self.budget.checked(profiles).rows)
        suspicion = None
        if self._filters:
            train, suspicion = self._clean(train, profiles, rng)
        catalogue = read_catalogue(self.data.catalogue, title_reader(self.defense))
        return replace(self.data, train=train, catalogue=catalogue), suspicion


def seal(pipeline: HostPipeline) -> Pipeline:
    """Returns a pipeline that offers the methods of ``Pipeline`` and nothing else.

    The attack gets this object, which has no attribute with the budget, the costs or the data of the host.
    """

    class SealedPipeline:
        """A pipeline that passes every call to the host's pipeline."""

        __slots__ = ()

        @property
        def fits_left(self) -> int:
            """The number of fits that the attack may still request."""
            return pipeline.fits_left

        @property
        def requests_left(self) -> int:
            """The number of times that the attack may still request suspicion scores."""
            return pipeline.requests_left

        def fit(self, profiles: Profiles) -> Surrogate:
            """Fits the victim's model with its defence on the seen users and on fake users."""
            return pipeline.fit(profiles)

        def suspicion(self, profiles: Profiles) -> Suspicion | None:
            """Returns the suspicion of the users, or None if there are no scores."""
            return pipeline.suspicion(profiles)

    return SealedPipeline()
