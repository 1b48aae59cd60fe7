"""The base class of models that score a history only by its items."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robench.api import IntArray, Interactions, Model, Rng, Surface, TrainData
from robench_plugins.models.sparse_matrix import Matrix, interaction_matrix, matrix_of_users, without_repeats


class HistoryModel(Model):
    """A model that scores any history, because it has no vector per user.

    A history without items gets the training counts of the items as scores.
    """

    surfaces: ClassVar[frozenset[Surface]] = frozenset({"history"})
    counts: NDArray[np.float32]

    @abstractmethod
    def learn(self, data: TrainData) -> None:
        """Learns everything that ``score_rows`` needs."""

    @abstractmethod
    def score_rows(self, rows: Matrix, users: IntArray | None) -> NDArray[np.float32]:
        """Returns the scores of the whole catalogue, float32 [B, n_items].

        Args:
            rows: the histories, sparse float32 [B, n_items], with 1 for each item of a history.
            users: the user of each history, int64 [B], or None for users who are not in the training data.
        """

    @abstractmethod
    def learned_state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the result of ``learn`` as named arrays."""

    @abstractmethod
    def load_learned(self, data: TrainData, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores the result of ``learn`` from ``learned_state``.

        Args:
            data: the training data.
            state: the named arrays.
        """

    def fit(self, data: TrainData, rng: Rng) -> None:
        """Counts the interactions of each item and learns from data without repeats."""
        self.learn(self.count_items(data))

    def count_items(self, data: TrainData) -> TrainData:
        """Returns the data without repeats and counts the interactions of each item.

        The counts of a private matrix are its diagonal.
        """
        data = replace(data, train=without_repeats(data.train))
        counts = data.train.counts() if data.gram is None else np.diag(data.gram)
        self.counts = counts.astype(np.float32)
        return data

    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of the whole catalogue, float32 [B, n_items]."""
        scores = self.score_rows(matrix_of_users(without_repeats(history), users), users)
        scores[history.indptr[users] == history.indptr[users + 1]] = self.counts
        return scores

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """Returns scores for users outside the training data, float32 [n, n_items]."""
        scores = self.score_rows(interaction_matrix(without_repeats(history)), None)
        scores[history.lengths() == 0] = self.counts
        return scores

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the learned arrays and the counts."""
        return {**self.learned_state(), "counts": self.counts}

    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Restores the counts and the learned arrays."""
        self.counts = np.asarray(state["counts"], dtype=np.float32)
        self.load_learned(replace(data, train=without_repeats(data.train)), state)
