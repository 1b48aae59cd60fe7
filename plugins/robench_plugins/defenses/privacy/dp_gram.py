"""DP-Gram: a noisy item-item matrix in place of the training data."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from scipy import linalg

from robench.api import BaseConfig, DataError, Defense, FloatArray, Interactions, Rng
from robench.api.privacy import NO_NOISE, NOTHING, Guarantee, PrivateGram
from robench_plugins.defenses.privacy.gaussian_mechanism import calibrate_noise
from robench_plugins.models.sparse_matrix import interaction_matrix, without_repeats

MOST_ITEMS = 15_000  # the eigenvalues of more items need more than 7 GiB and an hour
COVERS = "the item-item matrix, and so all scores as a function of the history that they are asked for"


class DpGram(Defense):
    """Lets the model learn from an item-item matrix with noise and nothing else.

    The fit is differentially private, and one record is a user with all interactions. The method is the Gaussian
    mechanism on the Gram matrix of the interactions, with a symmetric noise matrix (Dwork, Talwar, Thakurta & Zhang,
    STOC 2014, Algorithm 1). McSherry & Mironov (KDD 2009) built the first private recommender on such a matrix, also
    with a smaller weight for users with many items.

    **Clipping.** Let x be the row of a user with m distinct items, of zeros and ones, and let C be the setting
    ``clip``. The user has the weight w = min(1, C / m), and the matrix is G = Σ_u w_u · x_u x_uᵀ.

    **Sensitivity.** G is symmetric, so the entries on and above the diagonal say everything. If one user comes or goes,
    m · (m + 1) / 2 of these entries change by w. So the L2 norm of the change is w · √(m · (m + 1) / 2). For m ≤ C, it
    is at most √(C · (C + 1) / 2). For m > C, it is C · √((1 + 1 / m) / 2), which is below that of m = C. Hence the L2
    sensitivity is Δ = √(C · (C + 1) / 2), and users with C items attain it.

    **Noise.** Every entry on and above the diagonal gets independent noise N(0, (Δ · σ)²), mirrored below. σ is the
    smallest value that gives ``eps_dp`` and ``delta`` at sensitivity 1, from the exact condition of Balle & Wang (ICML
    2018, Theorem 8).

    **After the noise.** Eigenvalues of at most 2 · Δ · σ · √n are set to 0, where n is the number of items. The largest
    eigenvalue of the noise alone tends to this value as n grows (Füredi & Komlós, Combinatorica 1981). This step reads
    no data, so the guarantee stays (Dwork & Roth 2014, Proposition 2.1). It makes the matrix positive semidefinite,
    which EASE needs.

    The guarantee is that of noise that nobody knows. The noise of a benchmark comes from the seed of the suite, so that
    anybody can repeat the numbers. Who knows the seed can subtract the noise. Therefore, a board measures the method,
    and its files protect no user. The noise also consists of floating-point numbers, which Mironov (CCS 2012) exploits.
    """

    class Config(BaseConfig):
        """Settings of DP-Gram."""

        eps_dp: Annotated[float, Field(gt=0)] | Literal["inf"] = Field(
            default=10.0, description="Bound on the privacy loss; with `inf`, no noise is added"
        )
        delta: float = Field(
            default=1e-5, gt=0, lt=1, description="Probability by which the bound may be missed; below 1 / users"
        )
        clip: int | None = Field(
            default=20,
            ge=1,
            description="Items C of a user that count in full; with more, the weight falls to C / items; "
            "`null` clips nothing and needs `eps_dp: inf`",
        )

        @model_validator(mode="after")
        def _check_clip(self) -> Any:
            if self.clip is None and self.eps_dp != NO_NOISE:
                raise ValueError("noise needs a clip, because a user without one could change any number of entries")
            return self

    config: Config
    covers: ClassVar[str] = COVERS

    def privatise(self, train: Interactions, rng: Rng) -> PrivateGram:
        """Returns the noisy matrix without the eigenvalues that noise alone can have.

        With ``eps_dp: inf``, the result is the matrix of the clipped users.

        Raises:
            DataError: if there are more than ``MOST_ITEMS`` items, or if ``delta`` is not below 1 / users. With a
                larger ``delta``, the guarantee would allow publishing the data of a random user.
        """
        eps_dp, delta = self.config.eps_dp, self.config.delta
        if train.n_items > MOST_ITEMS:
            raise DataError(f"dp-gram needs a dense items x items matrix, and {train.n_items} items are too many")
        if eps_dp == NO_NOISE:
            return PrivateGram(clipped_gram(train, self.config.clip), Guarantee(NO_NOISE, 0.0, NOTHING))
        users = int((train.lengths() > 0).sum())
        if users and delta >= 1 / users:
            raise DataError(f"delta {delta:g} is not below 1 / users, with {users} users", hint="give a smaller delta")
        gram = drop_small(self.add_noise(clipped_gram(train, self.config.clip), rng), self.noise() * 2)
        return PrivateGram(gram, Guarantee(float(eps_dp), delta, self.covers))

    def noise(self) -> float:
        """Returns the standard deviation Δ · σ of the noise on an entry."""
        assert self.config.clip is not None
        assert self.config.eps_dp != NO_NOISE
        return compute_sensitivity(self.config.clip) * calibrate_noise(float(self.config.eps_dp), self.config.delta)

    def add_noise(self, gram: FloatArray, rng: Rng) -> FloatArray:
        """Returns the matrix with symmetric noise, float64 [n_items, n_items]."""
        upper = np.triu(rng.numpy().normal(scale=self.noise(), size=gram.shape))
        noisy: FloatArray = gram + upper + np.triu(upper, 1).T
        return noisy


def compute_sensitivity(clip: int) -> float:
    """Returns the L2 sensitivity of the entries on and above the diagonal.

    Args:
        clip: the number C of items of a user that count in full.
    """
    return math.sqrt(clip * (clip + 1) / 2)


def clipped_gram(train: Interactions, clip: int | None) -> FloatArray:
    """Returns the sum over users of w · x xᵀ, float64 [n_items, n_items].

    Args:
        train: the interactions. Repeats count once.
        clip: the number of items of a user that count in full, or None if every user has the weight 1.
    """
    rows = without_repeats(train)
    x = interaction_matrix(rows).astype(np.float64)
    weights = np.ones(rows.n_users) if clip is None else np.minimum(1, clip / np.maximum(rows.lengths(), 1))
    weighted = x.copy()
    weighted.data *= np.repeat(weights, rows.lengths())
    gram: FloatArray = (x.T @ weighted).toarray()
    return np.triu(gram) + np.triu(gram, 1).T  # rounding may differ on both sides of the diagonal


def drop_small(gram: FloatArray, unit: float) -> FloatArray:
    """Returns a symmetric matrix with its small eigenvalues set to 0.

    Args:
        gram: the matrix, float64 [n, n].
        unit: eigenvalues of at most ``unit`` · √n are dropped. A positive number also drops the negative eigenvalues.
    """
    values, vectors = linalg.eigh(gram, subset_by_value=(unit * math.sqrt(len(gram)), np.inf), driver="evr")
    product = (vectors * values) @ vectors.T
    kept: FloatArray = np.triu(product) + np.triu(product, 1).T
    return kept
