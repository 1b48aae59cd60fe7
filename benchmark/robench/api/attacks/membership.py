"""The base class of attacks on membership, and what such an attack sees."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robench.api.attacks.base import Attack
from robench.api.component import BaseConfig
from robench.api.data import FloatArray, IntArray, Interactions
from robench.api.rng import Rng
from robench.api.surfaces import Surface
from robench.api.threat import Stage, Threat

Sees = Literal["lists", "scores"]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SeenUsers:
    """Some users as a membership attack sees them.

    Args:
        histories: all interactions of each user, one row per user.
        lists: the recommended items of each user without the user's own, int64 [n, k]. Places that the catalogue
            cannot fill are −1.
        scores: the scores of the whole catalogue, float32 [n, n_items], or None if the attack sees lists alone.
    """

    histories: Interactions
    lists: IntArray
    scores: NDArray[np.float32] | None = None


class MembershipConfig(BaseConfig):
    """Settings of every membership attack."""

    k: int = Field(default=100, ge=1, description="Length of the lists")
    non_members: Literal["history", "popular"] = Field(
        default="history",
        description="What the service answers to a non-member: `history` scores the user's items as those of a member, "
        "`popular` knows no items of this user, as in the paper",
    )


class MembershipAttack(Attack):
    """Infers whether a user's interactions are in the training data of a victim.

    The attack knows all interactions of each user, and what the victim recommends to the user. It also knows the
    interactions of further users, of which it does not know the membership. The host fits a shadow, a model with the
    victim's settings and defence, to half of these further users. So the attack can learn how members and non-members
    of the shadow differ. The attack perturbs nothing, so it has no ε.

    Attributes:
        sees: whether the attack sees ``lists`` alone or also ``scores``.
    """

    Config: ClassVar[type[BaseConfig]] = MembershipConfig
    config: Any
    surface: ClassVar[Surface] = "membership"
    stage: ClassVar[Stage] = "test"
    sees: ClassVar[Sees]

    def threat(self) -> Threat:
        """Returns the threat model of these settings."""
        popular = "-popular" if self.config.non_members == "popular" else ""
        return Threat("membership", "test", f"{self.sees}{popular}", "absolute", "untargeted", self.config.k)

    def prepare(self, known: Interactions, rng: Rng) -> None:
        """Learns from the further users, before ``features`` is called.

        The default does nothing.

        Args:
            known: all interactions of the further users.
            rng: the random stream of the attack.
        """

    @abstractmethod
    def features(self, users: SeenUsers) -> FloatArray:
        """Returns the features of each user, float64 [n, number of features].

        Args:
            users: one chunk of users.
        """

    def infer(self, shadow: FloatArray, members: BoolArray, target: FloatArray, rng: Rng) -> FloatArray:
        """Returns a number per user of the victim, which is higher for likelier members.

        The default is a logistic regression on standardised features.

        Args:
            shadow: the features of the shadow's users, float64 [n, f].
            members: whether each of them is a member of the shadow, bool [n].
            target: the features of the victim's users, float64 [m, f].
            rng: the random stream of the attack.
        """
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - takes a second to import

        scaled, other = standardised(shadow, target)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a search that has not converged
            classifier: Any = LogisticRegression(max_iter=1000).fit(scaled, members)
        values: FloatArray = classifier.decision_function(other)
        return values


def standardised(shadow: FloatArray, target: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns both arrays in the mean and the standard deviation of the first one."""
    mean, spread = shadow.mean(0), shadow.std(0)
    spread = np.where(spread > 0, spread, 1)
    return (shadow - mean) / spread, (target - mean) / spread
