"""RAPU-R: fillers that suit the average user and a target."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from robench.api import IntArray
from robench_plugins.attacks.poisoning.pointwise import (
    FillerState,
    PointwiseAttack,
    PointwiseConfig,
    PointwiseSurrogate,
)


class RapuR(PointwiseAttack):
    """Adds fake users with popular items near the average user and a target.

    This is the heuristic RAPU-R of Zhang et al. (KDD 2021) for implicit feedback, as later comparisons run it. Let x_u
    and y_i be the vectors of a surrogate. Each fake user serves one target t in turn. Its fillers are the popular items
    j with the largest ⟨mean x_u + y_t, y_j⟩, with the mean over all real users.

    The attack differs from these comparisons in two points. The surrogate is trained once, and its training continues
    with every group of fake users for a fixed number of steps. The comparisons instead train a new surrogate for one
    epoch. Every profile has all targets, and not only the target that its fake user serves. The paper's handling of
    perturbed data has no part in this heuristic.
    """

    class Config(PointwiseConfig):
        """Settings of RAPU-R."""

        popular: float = Field(default=0.1, gt=0, le=1, description="Share of the items that count as popular")

    config: Config

    def fillers(self, surrogate: PointwiseSurrogate, fakes: range, state: FillerState) -> list[IntArray]:
        """Returns the popular items that best suit the average user and a target.

        The fake users serve the targets in turn.
        """
        by_count = np.argsort(-state.train.counts(), kind="stable")
        by_count = by_count[~np.isin(by_count, state.targets)]
        pool = by_count[: max(state.count, round(self.config.popular * state.train.n_items))]
        with torch.no_grad():
            average = surrogate.user_vectors[: surrogate.n_real].mean(0)
            items = surrogate.item_vectors
            rows = []
            for fake in fakes:
                served = items[int(state.targets[fake % len(state.targets)])] if len(state.targets) else 0
                fit = ((average + served) @ items[torch.tensor(pool)].mT).numpy()
                rows.append(pool[np.argsort(-fit, kind="stable")[: state.count]].astype(np.int64))
        return rows
