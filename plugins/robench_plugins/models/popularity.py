"""Popularity, the baseline that every model must beat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robench.api import IntArray, Interactions, Model, Rng, TrainData
from robench.api.models.base import ColdUser


class Popularity(Model):
    """Scores every item by its number of training interactions.

    The scores are the same for all users.
    """

    baseline: ClassVar[bool] = True
    learns_gram: ClassVar[bool] = True
    cold_user: ClassVar[ColdUser] = "popularity"
    counts: NDArray[np.float32]

    def fit(self, data: TrainData, rng: Rng) -> None:
        """Counts the training interactions of every item.

        The counts of a private matrix are its diagonal.
        """
        counts = data.train.counts() if data.gram is None else np.diag(data.gram)
        self.counts = counts.astype(np.float32)

    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """Returns the counts for every user, float32 [B, n_items]."""
        return np.tile(self.counts, (len(users), 1))

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the counts, float32 [n_items]."""
        return {"counts": self.counts}

    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Restores the counts."""
        self.counts = np.asarray(state["counts"], dtype=np.float32)
