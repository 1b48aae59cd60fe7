"""DegreeSAD: a decision tree over the popularity of a user's items."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import Field
from sklearn.tree import DecisionTreeClassifier

from robench.api import FloatArray, IntArray, Interactions, Rng
from robench_plugins.defenses.detection.detector import BoolArray, Detector, DetectorConfig
from robench_plugins.defenses.detection.training_fakes import ATTACKS, Kind, make_training_fakes

LEAST_LEAF = 0.01  # the smallest share of the training examples in a leaf


class DegreeSad(Detector):
    """Suspects users whose items are as popular as those of fake users.

    DegreeSAD (Li et al., IEICE Transactions 2016) is a decision tree that splits by entropy. The degree of an
    item is the number of its users. The tree has three features of a user: the mean degree of the user's items, the
    range of their degrees (largest minus smallest), and the lower quartile of their degrees.

    The tree needs labelled examples. The paper and its implementations take them from the tested attack, which a
    platform cannot know. Here, the detector makes fake users itself, of the kinds in ``trained_on``:

    - ``random``: uniform fillers, as in the attack ``random-profiles``.
    - ``segment``: fillers that occur together with the promoted items, as in the attack ``segment``.
    - ``popular``: the most popular fillers, as in the attack ``bandwagon``.

    The users in the data are the examples of real users, although a few of them may be fake. If the tested attack is of
    a kind that the tree has learned from, the table *Detection* says so. A leaf holds at least 1% of the examples. The
    suspicion is the share p of fake users in the user's leaf. The detector drops users in leaves with more fake than
    real users, so ``quantile`` is not used. With ``action: weigh``, the weight of a user is min(1, 2 · (1 − p)).

    A single tree is unstable. Fake users of one attack are alike, so they usually share a leaf. The place of this leaf
    among the few leaves decides how suspicious they are. If the tree has not learned from the attack, random examples
    decide about this place. docs/findings/detection.md has numbers.
    """

    class Config(DetectorConfig):
        """Settings of DegreeSAD."""

        trained_on: tuple[Kind, ...] = Field(
            default=("random", "segment"), min_length=1, description="Kinds of fake users that the detector makes"
        )
        fakes: float = Field(default=0.1, gt=0, le=1, description="Fake users of each kind, per user in the data")
        depth: int = Field(default=3, ge=1, description="Largest depth of the tree")

    config: Config

    def known_attacks(self) -> tuple[str, ...]:
        """Returns the attacks of the kinds that the tree learns from."""
        return tuple(ATTACKS[kind] for kind in self.config.trained_on)

    def scores(self, train: Interactions, rng: Rng) -> FloatArray:
        """Returns the share of fake users in each user's leaf, float64 [n_users]."""
        degrees = train.counts()
        count = int(np.ceil(self.config.fakes * train.n_users))
        fakes = [
            row
            for kind in dict.fromkeys(self.config.trained_on)
            for row in make_training_fakes(train, kind, count, rng.child(kind).numpy())
        ]
        real = degree_features([train.row(user) for user in range(train.n_users)], degrees)
        examples = np.concatenate([real, degree_features(fakes, degrees)])
        labels = np.arange(len(examples)) >= len(real)
        tree: Any = DecisionTreeClassifier(
            criterion="entropy", max_depth=self.config.depth, min_samples_leaf=LEAST_LEAF, random_state=0
        )
        shares: FloatArray = tree.fit(examples, labels).predict_proba(real)[:, 1]
        return shares

    def flags(self, scores: FloatArray) -> BoolArray:
        """Returns which users are in leaves with more fake than real users."""
        return scores > 0.5

    def weights(self, scores: FloatArray) -> FloatArray:
        """Returns the weight of each user, 1 in a leaf without a fake majority."""
        return np.minimum(1.0, 2 * (1 - scores))


def degree_features(rows: list[IntArray], degrees: IntArray) -> FloatArray:
    """Returns the mean, range and lower quartile of each user's degrees, [rows, 3].

    Args:
        rows: the distinct items of each user. No row is empty.
        degrees: the degree of each item, which is the number of its users, int64 [n_items].
    """
    own = [degrees[row] for row in rows]
    return np.array([[part.mean(), part.max() - part.min(), np.quantile(part, 0.25)] for part in own], dtype=np.float64)
