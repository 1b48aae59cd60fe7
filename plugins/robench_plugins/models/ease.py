"""EASE: a linear autoencoder in closed form."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import linalg

from robench.api import BaseConfig, DataError, IntArray, TrainData
from robench.api.component import search
from robench_plugins.models.history_model import HistoryModel
from robench_plugins.models.sparse_matrix import Matrix, interaction_matrix

MOST_ITEMS = 30_000  # a fit of more items needs more than 15 GiB
PEAK = 2.2  # the dense float64 matrices of items × items that a fit holds at its peak


class Ease(HistoryModel):
    """Scores an item by a linear autoencoder of histories in closed form.

    The scores of EASE (Steck, WWW 2019) are S = X B for the interaction matrix X. Here B = I − P · diag(1 / diag P)
    with P = (XᵀX + λI)⁻¹ (eq. 8), so diag B = 0.
    """

    class Config(BaseConfig):
        """Settings, tuned in suites/tuning/movielens-small.yaml.

        The defaults are the best of four trials by validation NDCG@10.
        """

        weight_decay: float = Field(
            default=100.0,
            gt=0,
            description="Weight λ of the L2 penalty on B, in interactions",
            json_schema_extra=search(30, 3000, log=True),
        )

    config: Config
    weights: NDArray[np.float32]

    def declared_memory(self, users: int, items: int, interactions: int) -> int:
        """Returns the bytes of the dense matrices (items × items) that a fit needs."""
        return int(PEAK * 8 * items**2)

    def learn(self, data: TrainData) -> None:
        """Computes B.

        Raises:
            DataError: if there are more items than a dense inverse can hold.
        """
        if data.n_items > MOST_ITEMS:
            raise DataError(f"ease inverts a dense items x items matrix, and {data.n_items} items are too many for it")
        x = interaction_matrix(data.train)
        gram = (x.T @ x).toarray(order="F").astype(np.float64)  # LAPACK works in place only on arrays in this order
        gram[np.diag_indices_from(gram)] += self.config.weight_decay
        eye = np.eye(len(gram), order="F")
        inverse = linalg.cho_solve(linalg.cho_factor(gram, overwrite_a=True), eye, overwrite_b=True)
        del gram, eye
        inverse /= -np.diag(inverse)
        np.fill_diagonal(inverse, 0)
        self.weights = inverse.astype(np.float32, order="C")

    def score_rows(self, rows: Matrix, users: IntArray | None) -> NDArray[np.float32]:
        """Returns X B, float32 [B, n_items]."""
        return np.asarray(rows @ self.weights, dtype=np.float32)

    def learned_state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns B, float32 [n_items, n_items]."""
        return {"weights": self.weights}

    def load_learned(self, data: TrainData, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores B."""
        self.weights = np.asarray(state["weights"], dtype=np.float32)
