"""PCA-VarSelect: fake users have little weight in the main components."""

from __future__ import annotations

import numpy as np
from pydantic import Field
from scipy.sparse.linalg import LinearOperator, eigsh

from robench.api import FloatArray, Interactions, Rng
from robench_plugins.defenses.detection.detector import Detector, DetectorConfig
from robench_plugins.models.sparse_matrix import interaction_matrix

LEAST = 1e-12  # the smallest share of a component that is told apart from zero


class PcaVarSelect(Detector):
    """Suspects users with little weight in the main components of all users.

    The method is PCA-VarSelect of Mehta & Nejdl (UMUAI 2009, algorithm 1), in which users are the variables and items
    are the observations. Let Z [users, items] be the matrix of interactions, with each user's row standardised to mean
    0 and variance 1. C = Z Zᵀ is then the correlation of users, times the number of items. Let v_1, ..., v_m be the
    eigenvectors of its m largest eigenvalues. The distance of a user u is the sum of (v_c[u])² over c = 1, ..., m.
    Users with the smallest distances are suspected: their items have little in common with the main directions of
    taste.

    Deviations from the paper:

    - The feedback is implicit, so the rows hold ones and zeros in place of ratings.
    - The paper takes the r smallest distances, and r must be known. Here, the suspicion is −ln of the distance, which
      has the same order, and ``Detector`` drops the users above a quantile that it estimates.

    Fake users with popular items have much in common with real users. Fake users with the same items have a component
    of their own, in which their entries are large. Both are hard to detect in this way.
    """

    class Config(DetectorConfig):
        """Settings of PCA-VarSelect."""

        components: int = Field(default=3, ge=1, description="Number m of main components; the paper takes up to 3")

    config: Config

    def scores(self, train: Interactions, rng: Rng) -> FloatArray:
        """Returns minus the logarithm of each user's distance, float64 [n_users].

        The distance is the sum of the squares of the user's entries in the main eigenvectors.
        """
        vectors = principal_users(train, min(self.config.components, train.n_users), rng)
        distances: FloatArray = np.square(vectors).sum(1)
        return -np.log(np.maximum(distances, LEAST))


def principal_users(train: Interactions, components: int, rng: Rng) -> FloatArray:
    """Returns eigenvectors of the users' correlation, float64 [n_users, components].

    The eigenvectors belong to the largest eigenvalues. The correlation matrix is stored only if there is at most one
    more user than components. A user with all items has no variance, and therefore the entry 0.

    Args:
        train: the distinct items of each user.
        components: the number of eigenvectors, at most n_users.
        rng: the random stream of the vector from which the iteration starts.
    """
    share = train.lengths() / train.n_items
    spread = np.sqrt(share * (1 - share))
    inverse = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
    matrix = interaction_matrix(train).astype(np.float64)

    def correlate(vector: FloatArray) -> FloatArray:
        """Returns the product of the users' correlation matrix and a vector."""
        scaled = inverse * vector.reshape(-1)
        product: FloatArray = inverse * (matrix @ (matrix.T @ scaled) / train.n_items - share * (share @ scaled))
        return product

    n = train.n_users
    if n <= components + 1:
        vectors = np.linalg.eigh(np.stack([correlate(row) for row in np.eye(n)]))[1][:, n - components :]
    else:
        operator = LinearOperator((n, n), matvec=correlate, dtype=np.float64)
        vectors = eigsh(operator, k=components, which="LA", v0=rng.numpy().standard_normal(n))[1]
    result: FloatArray = vectors
    return result
