"""Item neighbours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robench.api import BaseConfig, IntArray, TrainData
from robench_plugins.models.from_history import FromHistory
from robench_plugins.models.sparse import Matrix, blocks, cosine, from_state, matrix, strongest, to_state


class ItemKnn(FromHistory):
    """Item-based neighbours: s(u, i) = Σ_j∈history sim(j, i) over the k items j most like i.

    sim is the cosine of the items' columns with shrinkage, ⟨a, b⟩ / (‖a‖ ‖b‖ + h) (Sarwar et al., WWW 2001, section
    3.1.1; Deshpande & Karypis, TOIS 2004, section 4; shrinkage as in Ferrari Dacrema et al., RecSys 2019).
    """

    class Config(BaseConfig):
        """Settings; the best of four trials by validation NDCG@10 (suites/tuning/movielens-small.yaml)."""

        k: int = Field(default=50, ge=1, description="neighbours kept per item")
        shrinkage: float = Field(default=0.0, ge=0)

    config: Config
    similarity: Matrix

    def learn(self, data: TrainData) -> None:
        """The similarities, a block of items at a time."""
        by_item = matrix(data.train).T.tocsr()
        norms = np.sqrt(data.train.counts().astype(np.float64))

        def made(part: slice) -> Matrix:
            dots = (by_item[part] @ by_item.T).toarray()
            cosine(self.config.shrinkage, dots, norms[part], norms)
            dots[np.arange(len(dots)), np.arange(part.start, part.stop)] = 0
            return strongest(dots, self.config.k)

        self.similarity = blocks(data.n_items, data.n_items, made).T.tocsr()

    def of(self, rows: Matrix, users: IntArray | None) -> NDArray[np.float32]:
        """Sums of similarities."""
        found: NDArray[np.float32] = (rows @ self.similarity).toarray()
        return found

    def learnt(self) -> Mapping[str, NDArray[np.generic]]:
        """Similarities, sparse [from, to]."""
        return to_state("similarity", self.similarity)

    def recall(self, data: TrainData, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Take them."""
        self.similarity = from_state("similarity", state)
