"""User-based nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robench.api import BaseConfig, IntArray, TrainData
from robench.api.component import search
from robench_plugins.models.history_model import HistoryModel
from robench_plugins.models.sparse_matrix import (
    BLOCK_ENTRIES,
    Matrix,
    interaction_matrix,
    nearest_neighbours,
)


class UserKnn(HistoryModel):
    """Scores an item by the similarity of the nearest neighbours who used the item.

    The score is s(u, i) = Σ_v sim(u, v) · used(v, i) over the k training users v most similar to u. Here used(v, i) is
    1 if v has used i, and 0 otherwise. The similarity is the cosine ⟨a, b⟩ / (‖a‖ ‖b‖ + h). Here a is the scored
    history, b is a training row, and h is the shrinkage. User-based neighbours go back to Resnick et al. (CSCW 1994).
    The cosine on implicit feedback follows Ferrari Dacrema et al. (RecSys 2019). No user is their own neighbour.
    """

    class Config(BaseConfig):
        """Settings, with defaults from suites/tuning/movielens-small.grid.txt.

        The defaults are the best of four trials by validation NDCG@10.
        """

        k: int = Field(
            default=50,
            ge=1,
            description="Neighbours per user",
            json_schema_extra=search(20, 400, log=True),
        )
        shrinkage: float = Field(
            default=0.0,
            ge=0,
            description="Term h that is added to the product of norms, in interactions",
            json_schema_extra=search(choices=[0.0, 10.0, 100.0]),
        )

    config: Config
    train: Matrix
    by_item: Matrix
    norms: NDArray[np.float64]

    def learn(self, data: TrainData) -> None:
        """Stores the training rows and their norms."""
        self.train = interaction_matrix(data.train)
        self.by_item = self.train.T.tocsr()
        self.norms = np.sqrt(data.train.lengths().astype(np.float64))

    def score_rows(self, rows: Matrix, users: IntArray | None) -> NDArray[np.float32]:
        """Returns the scores, float32 [B, n_items].

        Rows are scored one block at a time, because their similarities to all training users are dense.
        """
        scores = np.empty(rows.shape, dtype=np.float32)
        step = max(1, BLOCK_ENTRIES // max(1, self.train.shape[0]))
        for start in range(0, rows.shape[0], step):
            part = rows[start : start + step]
            norms = np.sqrt(part.sum(1).astype(np.float64)), self.norms
            own = None if users is None else users[start : start + step]
            nearest = nearest_neighbours(part @ self.by_item, norms, self.config.shrinkage, own, self.config.k)
            scores[start : start + step] = (nearest @ self.train).toarray()
        return scores

    def learned_state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns no arrays, because the training data is the whole model."""
        return {}

    def load_learned(self, data: TrainData, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Stores the training rows again."""
        self.learn(data)
