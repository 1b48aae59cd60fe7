"""Popularity randomisation: random popular items for users without a history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from robench.api import BaseConfig, Defense, IntArray, Interactions, Model, Rng, Surface, TrainData


class RandomisedModel(Model):
    """A fitted model that gives popular items in random order to unknown users.

    Every scoring draws new orders from the global generator of torch, which the host seeds.

    Args:
        inner: the fitted model.
        candidates: the number of the most popular items whose order is random.
    """

    surfaces: ClassVar[frozenset[Surface]] = frozenset()

    def __init__(self, inner: Model, candidates: int) -> None:
        super().__init__()
        self.inner, self.candidates_count = inner, candidates

    def fit(self, data: TrainData, rng: Rng) -> None:
        """Fits the inner model."""
        self.inner.fit(data, rng)

    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of the inner model, with random orders for empty histories."""
        empty = history.indptr[users] == history.indptr[users + 1]
        return self._mixed(self.inner.scores(users, history), empty)

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of newcomers, with random orders for empty histories."""
        return self._mixed(self.inner.newcomers(history), history.lengths() == 0)

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the state of the inner model."""
        return self.inner.state()

    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Restores the inner model."""
        self.inner.restore(data, state, rng)

    def _mixed(self, scores: NDArray[np.float32], empty: NDArray[np.bool_]) -> NDArray[np.float32]:
        count = min(self.candidates_count, scores.shape[1])
        mixed = scores.copy()
        for row in np.flatnonzero(empty).tolist():
            best = np.argsort(-scores[row], kind="stable")[:count]
            mixed[row, best] = scores[row, best][torch.randperm(count).numpy()]
        return mixed


class PopularityRandomisation(Defense):
    """Gives users without a history random items among the most popular ones.

    In the setting of Zhang et al. (CCS 2021), a service knows no items of a non-member and recommends the most popular
    items. The same list for all non-members makes them easy to recognise. Their defence, popularity randomisation,
    picks these items at random from a larger set of popular items. Here, the scores of the ``candidates`` most popular
    items are put in random order, anew for every such user. Users with a history keep their lists. The defence
    guarantees nothing, and it acts only where ``non_members: popular`` is the setting of an attack.
    """

    class Config(BaseConfig):
        """Settings of the randomisation."""

        candidates: int = Field(default=1000, ge=2, description="Most popular items that are put in random order")

    config: Config
    changes_fit: ClassVar[bool] = False

    def problem(self, model: type[Model]) -> str:
        """Returns why the defence cannot protect a model, or an empty string if it can.

        A neural model scores an empty history in its own way, which need not be by popularity.
        """
        return super().problem(model) or ("is neural" if model.neural else "")

    def wrap(self, model: Model, rng: Rng) -> Model:
        """Returns the randomised model."""
        return RandomisedModel(model, self.config.candidates)
