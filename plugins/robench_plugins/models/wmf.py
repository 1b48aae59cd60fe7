"""WMF: weighted matrix factorisation by alternating least squares."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robench.api import BaseConfig, IntArray, Rng, TrainData
from robench.api.component import search
from robench_plugins.models.history_model import HistoryModel
from robench_plugins.models.sparse_matrix import BLOCK_ENTRIES, Matrix, interaction_matrix

Vectors = NDArray[np.float64]
START = 0.1  # the standard deviation of the entries of the first item vectors


class Wmf(HistoryModel):
    """Scores an item by its vector and a user vector solved from the history.

    This is weighted matrix factorisation (Hu, Koren & Volinsky, ICDM 2008). The vectors x_u of users and y_i of items
    minimise Σ_ui c_ui (p_ui − ⟨x_u, y_i⟩)² + λ (Σ_u ‖x_u‖² + Σ_i ‖y_i‖²) over all pairs of users and items (eq. 3).
    Here p_ui is 1 if u has used i, and 0 otherwise. The weight of a pair is c_ui = 1 + α · p_ui, which the paper calls
    confidence. A repeated interaction counts once. With fixed item vectors, the best user vector is x_u =
    (YᵀCᵘY + λI)⁻¹ YᵀCᵘp_u (eq. 4). The rows of Y are the item vectors, Cᵘ is the diagonal matrix of the weights c_ui,
    and p_u is the vector of all p_ui. Item vectors are solved in the same way (eq. 5). A fit solves all users, then all
    items, several times. A score uses eq. 4 with the items of the history, so a newcomer needs no training.
    """

    class Config(BaseConfig):
        """Settings, with defaults chosen by validation NDCG@10 of one seed.

        The defaults have the largest product of the values on MovieLens latest-small (leave-last-out) and MovieLens
        100K (random split) among 24 settings. docs/findings/models.md has the values. The number of iterations is that
        of the paper.
        """

        factors: int = Field(
            default=32, ge=1, description="Dimensions of the vectors", json_schema_extra=search(choices=[16, 32, 64])
        )
        confidence: float = Field(
            default=2.0,
            ge=0,
            description="Weight α that an interaction has in addition to the weight 1 of every pair",
            json_schema_extra=search(0.5, 40, log=True),
        )
        weight_decay: float = Field(
            default=20.0,
            gt=0,
            description="Weight λ of the L2 penalty on all vectors",
            json_schema_extra=search(2, 100, log=True),
        )
        iterations: int = Field(default=10, ge=1, description="Rounds in which all users and all items are solved")

    config: Config
    item_vectors: Vectors

    def declared_memory(self, users: int, items: int, interactions: int) -> int:
        """Returns the bytes of two copies of all vectors, which a fit needs."""
        return 2 * 8 * self.config.factors * (users + items)

    def fit(self, data: TrainData, rng: Rng) -> None:
        """Draws the first item vectors, then solves all users and all items in turn."""
        shape = data.n_items, self.config.factors
        self.item_vectors = rng.child("items").numpy().normal(0, START, shape)
        super().fit(data, rng)

    def learn(self, data: TrainData) -> None:
        """Solves all users and all items in turn, and keeps the last item vectors."""
        by_user = interaction_matrix(data.train)
        by_item = by_user.T.tocsr()
        for _ in range(self.config.iterations):
            self.item_vectors = self.solve(by_item, self.solve(by_user, self.item_vectors))

    def solve(self, rows: Matrix, others: Vectors) -> Vectors:
        """Returns the best vectors of rows for given vectors of the columns."""
        return weighted_ridge(rows, others, self.config.confidence, self.config.weight_decay)

    def score_rows(self, rows: Matrix, users: IntArray | None) -> NDArray[np.float32]:
        """Returns the products of each history's vector and all item vectors.

        The result is float32 [B, n_items].
        """
        return np.asarray(self.solve(rows, self.item_vectors) @ self.item_vectors.T, dtype=np.float32)

    def learned_state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the item vectors, float64 [n_items, d]."""
        return {"item_vectors": self.item_vectors}

    def load_learned(self, data: TrainData, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores the item vectors."""
        self.item_vectors = np.asarray(state["item_vectors"], dtype=np.float64)


def weighted_ridge(rows: Matrix, others: Vectors, confidence: float, weight_decay: float) -> Vectors:
    """Returns the weighted ridge regression of each row, float64 [n, d].

    The solution x of a row minimises Σ_j c_j (p_j − ⟨x, y_j⟩)² + λ ‖x‖² over all columns j. Here p_j is 1 for the
    entries of the row and 0 elsewhere, and c_j = 1 + α · p_j. The product YᵀY, where the rows of Y are the vectors y_j,
    is the same for all rows. So only the vectors of a row's own entries are gathered, and rows of similar length are
    solved together. A row without entries has the solution 0.

    Args:
        rows: a sparse matrix of zeros and ones, [n, m].
        others: the vectors y_j of the columns, float64 [m, d].
        confidence: the weight α.
        weight_decay: the weight λ.
    """
    d = others.shape[1]
    shared = others.T @ others + weight_decay * np.eye(d)
    padded = np.concatenate([others, np.zeros((1, d))])  # the last row stands in for a missing entry
    lengths = np.diff(rows.indptr)
    by_length = np.argsort(lengths, kind="stable")
    vectors = np.zeros((rows.shape[0], d))
    start = int(np.searchsorted(lengths[by_length], 1))
    while start < len(by_length):
        stop = _end_of_block(lengths[by_length], start, d)
        block = by_length[start:stop]
        place = np.arange(lengths[block[-1]])
        real = place < lengths[block, None]
        columns = np.full(real.shape, len(others))
        columns[real] = rows.indices[(rows.indptr[block, None] + place)[real]]
        used = padded[columns]
        left = shared + confidence * (used.transpose(0, 2, 1) @ used)
        right = (1 + confidence) * used.sum(1)
        vectors[block] = np.linalg.solve(left, right[:, :, None])[:, :, 0]
        start = stop
    return vectors


def _end_of_block(lengths: IntArray, start: int, d: int) -> int:
    """Returns the end of the block of rows from ``start`` that are solved together.

    The arrays of a block have at most ``BLOCK_ENTRIES`` entries, unless one row alone has more.

    Args:
        lengths: the numbers of entries of all rows, in ascending order, int64 [n].
        start: the first row of the block.
        d: the number of entries of a vector.
    """
    stop = min(len(lengths), start + max(1, BLOCK_ENTRIES // d**2))
    while stop - start > 1 and (stop - start) * lengths[stop - 1] * d > BLOCK_ENTRIES:
        stop = start + (stop - start) // 2
    return stop
