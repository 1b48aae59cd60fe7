"""EASE: a linear autoencoder in closed form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import linalg

from robench.api import BaseConfig, DataError, IntArray, TrainData
from robench.api.component import LATER, off_if_given, search
from robench_plugins.models.history_model import HistoryModel
from robench_plugins.models.sparse_matrix import Matrix, interaction_matrix

MOST_ITEMS = 30_000  # a fit of more items needs more than 15 GiB
PEAK = 2.2  # the dense float64 matrices of items × items that a fit holds at its peak
FALLBACK = 100.0  # λ without validation items
CHOICES = (FALLBACK, 30.0, 300.0, 1000.0)  # validation chooses among these; of equal values, the first wins
BLOCK = 1024  # columns that are copied at once


class Ease(HistoryModel):
    """Scores an item by a linear autoencoder of histories in closed form.

    The scores of EASE (Steck, WWW 2019) are S = X B for the interaction matrix X. Here B = I − P · diag(1 / diag P)
    with P = (XᵀX + λI)⁻¹ (eq. 8), so diag B = 0. The weight λ penalises large entries of B.
    """

    class Config(BaseConfig):
        """Settings of EASE. By default, validation chooses λ."""

        weight_decay: float = Field(
            default=FALLBACK,
            gt=0,
            description="Weight λ of the L2 penalty on B, in interactions; if the suite gives λ, nothing is chosen",
            json_schema_extra=search(30, 3000, log=True),
        )
        by_validation: bool = Field(
            default=True,
            description="Whether validation chooses λ from 30, 100, 300 and 1,000; without validation items, λ is 100",
            json_schema_extra=LATER | off_if_given("weight_decay"),
        )

    config: Config
    additive: ClassVar[bool] = True
    learns_gram: ClassVar[bool] = True
    weights: NDArray[np.float32]

    def declared_memory(self, users: int, items: int, interactions: int) -> int:
        """Returns the bytes of the dense matrices (items × items) that a fit needs."""
        return int(PEAK * 8 * items**2)

    def alternatives(self, data: TrainData) -> Iterator[Mapping[str, float]]:
        """Computes the item weights for each λ to choose from and yields the setting.

        Nothing is yielded if validation does not choose λ.
        """
        if not self.config.is_on("by_validation"):
            return
        data = self.count_items(data)
        for weight_decay in CHOICES:
            self.weights = np.empty((0, 0), dtype=np.float32)  # frees the memory of the previous λ
            self.weights = _to_weights(_invert_in_place(_regularised_gram(data, weight_decay)))
            yield {"weight_decay": weight_decay}

    def learn(self, data: TrainData) -> None:
        """Computes the item weights B.

        Raises:
            DataError: if there are more than ``MOST_ITEMS`` items.
        """
        self.weights = np.empty((0, 0), dtype=np.float32)
        gram = _regularised_gram(data, self.chosen.get("weight_decay", self.config.weight_decay))
        eye = np.eye(len(gram), order="F")
        inverse = linalg.cho_solve(linalg.cho_factor(gram, overwrite_a=True), eye, overwrite_b=True)
        del gram, eye
        self.weights = _to_weights(inverse)

    def score_rows(self, rows: Matrix, users: IntArray | None) -> NDArray[np.float32]:
        """Returns the product of the histories and the item weights.

        The result is float32 [histories, n_items].
        """
        return np.asarray(rows @ self.weights, dtype=np.float32)

    def learned_state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the item weights B, float32 [n_items, n_items]."""
        return {"weights": self.weights}

    def load_learned(self, data: TrainData, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores the item weights B."""
        self.weights = np.asarray(state["weights"], dtype=np.float32)


def _regularised_gram(data: TrainData, weight_decay: float) -> NDArray[np.float64]:
    """Returns XᵀX + λI, float64 [n_items, n_items].

    Here X is the interaction matrix without repeats, and λ is ``weight_decay``. A private matrix takes the place of
    XᵀX.

    Raises:
        DataError: if there are more than ``MOST_ITEMS`` items.
    """
    if data.n_items > MOST_ITEMS:
        raise DataError(f"ease inverts a dense items x items matrix, and {data.n_items} items are too many for it")
    if data.gram is None:
        x = interaction_matrix(data.train)
        gram = (x.T @ x).toarray(order="F").astype(np.float64)  # LAPACK works in place only on arrays in this order
    else:
        gram = np.array(data.gram, order="F")
    gram[np.diag_indices_from(gram)] += weight_decay
    return np.asarray(gram)


def _invert_in_place(gram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the inverse of a positive definite matrix and overwrites the matrix.

    The matrix is in Fortran order. ``learn`` solves a system with the identity matrix instead, which takes twice the
    time and rounds differently. Published results depend on that rounding.

    Raises:
        LinAlgError: if the matrix is not positive definite.
    """
    factor, problem = linalg.lapack.dpotrf(gram, lower=0, clean=0, overwrite_a=1)
    inverse, other = linalg.lapack.dpotri(factor, lower=0, overwrite_c=1)
    if problem or other:
        raise linalg.LinAlgError("the regularised Gram matrix is not positive definite")
    for start in range(0, len(inverse), BLOCK):  # LAPACK fills only the upper triangle
        end = min(start + BLOCK, len(inverse))
        corner = inverse[start:end, start:end]
        corner[:] = np.triu(corner) + np.triu(corner, 1).T
        inverse[end:, start:end] = inverse[start:end, end:].T
    return np.asarray(inverse)


def _to_weights(inverse: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns the item weights B, float32 [n_items, n_items].

    The argument is the inverse of the regularised Gram matrix. It is overwritten.
    """
    inverse /= -np.diag(inverse)
    np.fill_diagonal(inverse, 0)
    return inverse.astype(np.float32, order="C")
