"""User neighbours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robench.api import BaseConfig, IntArray, TrainData
from robench_plugins.models.from_history import FromHistory
from robench_plugins.models.sparse import BLOCK_ENTRIES, Matrix, cosine, matrix, strongest


class UserKnn(FromHistory):
    """User-based neighbours: s(u, i) = Σ_v sim(u, v) · [v used i] over the k training users v most like u.

    sim is the cosine with shrinkage, ⟨a, b⟩ / (‖a‖ ‖b‖ + h), between the history that is scored and the training rows
    (Resnick et al. 1994 with cosine on implicit feedback, as in Ferrari Dacrema et al., RecSys 2019). Nobody is a
    neighbour of oneself.
    """

    class Config(BaseConfig):
        """Settings; the best of four trials by validation NDCG@10 (suites/tuning/movielens-small.yaml)."""

        k: int = Field(default=50, ge=1, description="neighbours")
        shrinkage: float = Field(default=0.0, ge=0)

    config: Config
    train: Matrix
    by_item: Matrix
    norms: NDArray[np.float64]

    def learn(self, data: TrainData) -> None:
        """Keep the training rows."""
        self.train = matrix(data.train)
        self.by_item = self.train.T.tocsr()
        self.norms = np.sqrt(data.train.lengths().astype(np.float64))

    def of(self, rows: Matrix, users: IntArray | None) -> NDArray[np.float32]:
        """Some rows at a time, because their similarities to everybody are dense."""
        found = np.empty(rows.shape, dtype=np.float32)
        step = max(1, BLOCK_ENTRIES // max(1, self.train.shape[0]))
        for start in range(0, rows.shape[0], step):
            part = rows[start : start + step]
            dots = (part @ self.by_item).toarray()
            cosine(self.config.shrinkage, dots, np.sqrt(part.sum(1).astype(np.float64)), self.norms)
            if users is not None:
                dots[np.arange(len(dots)), users[start : start + step]] = 0
            found[start : start + step] = (strongest(dots, self.config.k) @ self.train).toarray()
        return found

    def learnt(self) -> Mapping[str, NDArray[np.generic]]:
        """Nothing beyond the training data."""
        return {}

    def recall(self, data: TrainData, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Keep the training rows again."""
        self.learn(data)
