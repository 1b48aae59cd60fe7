"""Recommenders: the contract that the host measures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robench.api.component import Component
from robench.api.data import IntArray, Interactions, TrainData
from robench.api.rng import Rng
from robench.api.threat import Surface


class Model(Component):
    """A recommender that scores the whole catalogue for a user.

    ``surfaces`` are those beside ``interactions`` (which every model has: its training data) that attacks may touch.
    A neural model derives from ``TorchModel`` and does not override ``fit``.
    """

    surfaces: ClassVar[frozenset[Surface]] = frozenset()

    @abstractmethod
    def fit(self, data: TrainData, rng: Rng) -> None:
        """Learn from ``data.train`` (rows: real users, then fake ones); ``data.validation`` is for selection only."""

    @abstractmethod
    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """Scores of the whole catalogue.

        Args:
            users: int64 [B] rows of real users.
            history: one row per real user, what is known of them (training and validation items at test time).

        Returns:
            float32 [B, n_items], finite, higher is better. The host masks known items.
        """

    @abstractmethod
    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Everything learnt, as named arrays; stored as safetensors."""

    @abstractmethod
    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Become the model whose ``state`` this is, fitted on ``data`` with ``rng``."""
