"""MIARS: membership inference from recommended lists."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from scipy.sparse.linalg import svds
from sklearn.neural_network import MLPClassifier

from robench.api import FloatArray, Interactions, Rng
from robench.api.attacks.membership import BoolArray, MembershipAttack, MembershipConfig, SeenUsers, Sees, standardised
from robench_plugins.models.sparse_matrix import interaction_matrix, without_repeats

HIDDEN = (32, 8)  # the hidden layers of the paper's code


class Miars(MembershipAttack):
    """Compares the centre of a user's items with the centre of the list.

    The attack is that of Zhang et al. (CCS 2021).

    Every item i has a vector v_i. A user with the items h and the list l_1, ..., l_k has the features
    z = (1/|h|) Σ_{i ∈ h} v_i − Σ_j w_j v_{l_j}. The weights w_j = (k − j + 1) / (k (k + 1) / 2) fall with the place j
    in the list, as in the authors' code. A classifier with hidden layers of 32 and 8 units learns from the shadow how
    members and non-members differ.

    The paper gets the vectors from a matrix factorisation of ratings of further users. Here they come from the
    truncated singular value decomposition of the further users' interactions, which is the factorisation with the
    least squared error over all entries. In the paper, the shadow and the vectors use disjoint users, and SGD trains
    the classifier. Here, the further users serve both, features are standardised, and Adam trains the classifier with
    a penalty, because there are fewer users.

    In the paper, a non-member gets the most popular items. The setting ``non_members: popular`` does the same. An
    attack then tells personal lists from popular ones, which says little about the training data.
    """

    class Config(MembershipConfig):
        """Settings of MIARS."""

        dimensions: int = Field(default=100, ge=1, description="Dimensions of the items' vectors")
        penalty: float = Field(default=1.0, ge=0, description="Weight of the classifier's L2 penalty")

    config: Config
    sees: ClassVar[Sees] = "lists"
    vectors: FloatArray

    def prepare(self, known: Interactions, rng: Rng) -> None:
        """Computes the vectors of the items from the interactions of the further users."""
        x = interaction_matrix(without_repeats(known)).astype(np.float64)
        rank = min(self.config.dimensions, min(x.shape) - 1)
        start = rng.child("start").numpy().normal(size=min(x.shape))
        _, values, items = svds(x, k=rank, v0=start)
        self.vectors = items.T * values

    def features(self, users: SeenUsers) -> FloatArray:
        """Returns the difference of both centres, float64 [n, dimensions]."""
        own = without_repeats(users.histories)
        sums = interaction_matrix(own).astype(np.float64) @ self.vectors
        centres = sums / np.maximum(own.lengths(), 1)[:, None]
        k = users.lists.shape[1]
        weights = (k - np.arange(k)) / (k * (k + 1) / 2) * (users.lists >= 0)
        listed: FloatArray = np.einsum("nk,nkd->nd", weights, self.vectors[np.maximum(users.lists, 0)])
        difference: FloatArray = centres - listed
        return difference

    def infer(self, shadow: FloatArray, members: BoolArray, target: FloatArray, rng: Rng) -> FloatArray:
        """Returns the classifier's probability that each user is a member, float64 [m]."""
        scaled, other = standardised(shadow, target)
        seed = int(rng.child("classifier").numpy().integers(2**31))
        classifier: Any = MLPClassifier(HIDDEN, alpha=self.config.penalty, max_iter=100, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a search that has not converged
            classifier.fit(scaled, members)
        shares: FloatArray = classifier.predict_proba(other)[:, 1]
        return shares
