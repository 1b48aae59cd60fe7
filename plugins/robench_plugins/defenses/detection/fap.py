"""FAP: suspicion that spreads from a few users to users with the same items."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from robench.api import FloatArray, IntArray, Interactions, Rng
from robench_plugins.defenses.detection.degree_sad import DegreeSad
from robench_plugins.defenses.detection.detector import Detector, DetectorConfig
from robench_plugins.defenses.detection.near_duplicate import NearDuplicate
from robench_plugins.defenses.detection.pca_varselect import PcaVarSelect
from robench_plugins.models.sparse_matrix import interaction_matrix

SEEDERS: dict[str, type[Detector]] = {
    "near-duplicate": NearDuplicate,
    "pca-varselect": PcaVarSelect,
    "degree-sad": DegreeSad,
}
TOLERANCE = 0.01  # the largest change of a probability in the last round
MOST_ROUNDS = 1_000


class Fap(Detector):
    """Suspects users that share items with the suspects of another detector.

    FAP is the fraudulent action propagation of Zhang et al. (IJCAI 2015). Users and items form a graph with one edge
    per interaction, and every user and item has a probability of being fake. Some users are known to be fake and keep
    the probability 1. All others start with 0. In each round, the probability of an item becomes the mean of its users'
    probabilities, and then the probability of a user becomes the mean over the user's items. The rounds end when no
    user's probability changes by more than 0.01, or after 1,000 rounds. The paper weights the edges by the deviation of
    ratings. With implicit feedback, there are no ratings, so every edge has the weight 1.

    The paper starts from fake users that are known. A defence knows none, so the ``seeds`` most suspicious users of the
    detector ``seeded_by`` take their place. The detector ``seeded_by`` has its default settings. If its most suspicious
    users are real users, suspicion spreads from real users. The seeds have the largest scores, also on clean data.
    """

    class Config(DetectorConfig):
        """Settings of FAP."""

        seeded_by: Literal["near-duplicate", "pca-varselect", "degree-sad"] = Field(
            default="near-duplicate", description="Detector whose most suspicious users are the seeds"
        )
        seeds: int = Field(default=5, ge=1, description="Number of seeds")

    config: Config

    def known_attacks(self) -> tuple[str, ...]:
        """Returns the attacks that the detector of the seeds knows."""
        known: tuple[str, ...] = SEEDERS[self.config.seeded_by].make().known_attacks()
        return known

    def scores(self, train: Interactions, rng: Rng) -> FloatArray:
        """Returns the probability that each user is fake, float64 [n_users]."""
        first = SEEDERS[self.config.seeded_by].make().scores(train, rng.child("seeds"))
        return propagate(train, np.argsort(-first, kind="stable")[: self.config.seeds])


def propagate(train: Interactions, seeds: IntArray) -> FloatArray:
    """Returns the probability that each user is fake, float64 [n_users].

    Args:
        train: the distinct items of each user. No row is empty.
        seeds: the users with the probability 1, int64 [n].
    """
    matrix = interaction_matrix(train).astype(np.float64)
    counts = np.maximum(train.counts(), 1)
    users = np.zeros(train.n_users)
    users[seeds] = 1
    for _ in range(MOST_ROUNDS):
        before = users
        users = matrix @ (matrix.T @ before / counts) / train.lengths()
        users[seeds] = 1
        if np.abs(users - before).max() <= TOLERANCE:
            break
    return users
