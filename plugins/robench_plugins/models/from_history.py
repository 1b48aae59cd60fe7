"""Models that score a history, whoever's it is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robench.api import IntArray, Interactions, Model, Rng, Surface, TrainData
from robench_plugins.models.sparse import Matrix, matrix, some_rows


class FromHistory(Model):
    """Scores are a function of the user's items; a subclass learns in ``learn`` and says which in ``of``."""

    surfaces: ClassVar[frozenset[Surface]] = frozenset({"history"})
    counts: NDArray[np.float32]

    def fit(self, data: TrainData, rng: Rng) -> None:
        """Count the items, then learn."""
        self.counts = data.train.counts().astype(np.float32)
        self.learn(data)

    @abstractmethod
    def learn(self, data: TrainData) -> None:
        """Everything that ``of`` needs."""

    @abstractmethod
    def of(self, rows: Matrix, users: IntArray | None) -> NDArray[np.float32]:
        """Scores float32 [B, n_items].

        Args:
            rows: float32 [B, n_items], 1 where the history holds the item.
            users: int64 [B], whose they are; None for newcomers.
        """

    @abstractmethod
    def learnt(self) -> Mapping[str, NDArray[np.generic]]:
        """What ``learn`` has found, as named arrays."""

    @abstractmethod
    def recall(self, data: TrainData, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take what ``learnt`` gave."""

    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """float32 [B, n_items]; a row without items gets the popular ones."""
        scores = self.of(some_rows(history, users), users)
        scores[history.indptr[users] == history.indptr[users + 1]] = self.counts
        return scores

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """By the history; a row without items gets the popular ones."""
        scores = self.of(matrix(history), None)
        scores[history.lengths() == 0] = self.counts
        return scores

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """What was learnt, and the counts."""
        return {**self.learnt(), "counts": self.counts}

    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Take them."""
        self.counts = np.asarray(state["counts"], dtype=np.float32)
        self.recall(data, state)
