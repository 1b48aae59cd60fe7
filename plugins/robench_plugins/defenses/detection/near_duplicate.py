"""Near duplicates: users whose items are almost those of another user."""

from __future__ import annotations

import numpy as np

from robench.api import FloatArray, Interactions, Rng
from robench_plugins.defenses.detection.detector import Detector
from robench_plugins.models.sparse_matrix import interaction_matrix

BLOCK_ENTRIES = 1 << 22  # the entries of a dense block of similarities


class NearDuplicate(Detector):
    """Suspects users by their largest Jaccard similarity to another user.

    The Jaccard similarity (Jaccard 1912) of two users is the number of items that both have, divided by the number of
    items that at least one of them has. Fake users that are made by one rule share many fillers, so they are nearest to
    each other. Real users share fewer items. No paper or code is reproduced here.

    The detector drops users above a quantile of the similarities of real users, which ``Detector`` estimates. Fake
    users with independent fillers, or with the items of one real user each, have no near duplicates.
    """

    def scores(self, train: Interactions, rng: Rng) -> FloatArray:
        """Returns each user's largest similarity to another user, float64 [n_users]."""
        matrix, sizes = interaction_matrix(train), train.lengths()
        largest = np.zeros(train.n_users)
        step = max(1, BLOCK_ENTRIES // train.n_users)
        for start in range(0, train.n_users, step):
            block = np.arange(start, min(start + step, train.n_users))
            shared = (matrix[block] @ matrix.T).toarray().astype(np.float64)
            similarity = shared / (sizes[block][:, None] + sizes[None, :] - shared)
            similarity[np.arange(len(block)), block] = 0
            largest[block] = similarity.max(1)
        return largest
