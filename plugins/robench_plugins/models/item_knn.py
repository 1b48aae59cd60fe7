"""Item-based nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robench.api import BaseConfig, IntArray, TrainData
from robench.api.component import search
from robench_plugins.models.history_model import HistoryModel
from robench_plugins.models.sparse_matrix import (
    Matrix,
    as_sparse,
    from_state,
    interaction_matrix,
    nearest_neighbours,
    stack_blocks,
    to_state,
)

ENTRY = 12  # the most bytes of a stored similarity: a float32 and an index


class ItemKnn(HistoryModel):
    """Scores an item by its similarity to the items of the history.

    The score is s(u, i) = Σ_j∈history sim(j, i). A similarity sim(j, i) counts only if j is one of the k items most
    similar to i. The similarity is the cosine ⟨a, b⟩ / (‖a‖ ‖b‖ + h). Here a and b are the columns of two items in the
    interaction matrix, and h is the shrinkage. The method goes back to Sarwar et al. (WWW 2001, section 3.1.1) and to
    Deshpande & Karypis (TOIS 2004, section 4), who keep the k items most similar to j instead. The shrinkage follows
    Ferrari Dacrema et al. (RecSys 2019).
    """

    class Config(BaseConfig):
        """Settings, with defaults from suites/tuning/movielens-small.grid.txt.

        The defaults are the best of four trials by validation NDCG@10.
        """

        k: int = Field(
            default=50,
            ge=1,
            description="Neighbours per item",
            json_schema_extra=search(20, 400, log=True),
        )
        shrinkage: float = Field(
            default=0.0,
            ge=0,
            description="Term h that is added to the product of norms, in interactions",
            json_schema_extra=search(choices=[0.0, 10.0, 100.0]),
        )

    config: Config
    additive: ClassVar[bool] = True
    learns_gram: ClassVar[bool] = True
    similarity: Matrix

    def declared_memory(self, users: int, items: int, interactions: int) -> int:
        """Returns the bytes that a fit needs for three copies of the similarities."""
        return 3 * ENTRY * min(self.config.k, items) * items

    def learn(self, data: TrainData) -> None:
        """Computes the similarities, one block of items at a time.

        A private matrix holds the dot products and, on its diagonal, the squared norms.
        """
        by_user, gram = interaction_matrix(data.train), data.gram
        by_item = by_user.T.tocsr()
        squares = data.train.counts().astype(np.float64) if gram is None else np.maximum(np.diag(gram), 0)
        norms = np.sqrt(squares)

        def block(items: slice) -> Matrix:
            dots = by_item[items] @ by_user if gram is None else as_sparse(gram[items])
            own = np.arange(items.start, items.stop)
            return nearest_neighbours(dots, (norms[items], norms), self.config.shrinkage, own, self.config.k)

        self.similarity = stack_blocks(data.n_items, data.n_items, block).T.tocsr()

    def score_rows(self, rows: Matrix, users: IntArray | None) -> NDArray[np.float32]:
        """Returns each item's summed similarity to the history, float32 [B, n_items]."""
        scores: NDArray[np.float32] = (rows @ self.similarity).toarray()
        return scores

    def learned_state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the sparse matrix of similarities, [n_items, n_items], as named arrays."""
        return to_state("similarity", self.similarity)

    def load_learned(self, data: TrainData, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores the similarities."""
        self.similarity = from_state("similarity", state)
