"""Membership inference from the scores of the whole catalogue."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robench.api import FloatArray
from robench.api.attacks.membership import MembershipAttack, SeenUsers, Sees

TOP = 10


class ScoreMembership(MembershipAttack):
    """Looks how well a victim reproduces a user's own items.

    A model that has learned a user by heart gives the user's items higher scores than other items. Yeom et al. (CSF
    2018) infer members by a low loss in the same way. The features of a user are, over the user's items, the mean, the
    standard deviation and the minimum of the standardised scores, and the mean and the minimum of their percentiles in
    the catalogue. The other features are the share of the user's m items among the m best ones, the mean standardised
    score of the 10 best other items, and log m. A logistic regression learns from the shadow how members and
    non-members differ.
    """

    sees: ClassVar[Sees] = "scores"

    def features(self, users: SeenUsers) -> FloatArray:
        """Returns the eight features of each user, float64 [n, 8]."""
        assert users.scores is not None
        rows = []
        for user, raw in enumerate(users.scores):
            own = np.unique(users.histories.row(user))
            scores = raw.astype(np.float64)
            z = (scores - scores.mean()) / (scores.std() or 1)
            places = np.argsort(np.argsort(z, kind="stable"), kind="stable") / max(1, len(z) - 1)
            others = np.delete(z, own)
            best = np.sort(others)[-TOP:].mean() if len(others) else 0.0
            among = np.isin(own, np.argsort(-z, kind="stable")[: len(own)]).mean() if len(own) else 0.0
            part, place = (z[own], places[own]) if len(own) else (np.zeros(1), np.zeros(1))
            rows.append(
                [part.mean(), part.std(), part.min(), place.mean(), place.min(), among, best, np.log(max(1, len(own)))]
            )
        return np.array(rows, dtype=np.float64).reshape(len(rows), 8)
