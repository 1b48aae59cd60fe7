"""Bagging: the median of models that are fitted on samples of the users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robench.api import BaseConfig, IntArray, Interactions, Rng, TrainData
from robench_plugins.models.ease import Ease
from robench_plugins.models.history_model import HistoryModel
from robench_plugins.models.item_knn import ItemKnn
from robench_plugins.models.sparse_matrix import Matrix
from robench_plugins.models.wmf import Wmf

BASES: dict[str, type[HistoryModel]] = {"ease": Ease, "item-knn": ItemKnn, "wmf": Wmf}


class Bagging(HistoryModel):
    """Scores an item by the median over models fitted on samples of the users.

    This is bagging (Breiman, Machine Learning 1996) over users, against fake users. Each base model is fitted on the
    rows of a random share of the users, drawn without replacement. A score is the median of the base models' scores. If
    fewer than half of the samples hold a fake user, the median lies between scores of base models without fake users.
    With a share s of the users and f fake users, a sample holds no fake user with a probability of about (1 − s)^f. So
    the median protects only against a few fake users, and with larger samples against fewer.

    PORE (Jia et al., USENIX Security 2023) certifies such votes. It needs thousands of base models that vote for one
    item each, and certifies nothing for 1% fake users on MovieLens 100K. This model certifies nothing.

    Any base model can score a history, so users outside a sample are scored like all others. Base models have their
    default settings, and validation chooses none of them. A history without items gets the training counts.
    """

    class Config(BaseConfig):
        """Settings of bagging."""

        base: Literal["ease", "item-knn", "wmf"] = Field(default="ease", description="Base model")
        models: int = Field(default=11, ge=1, description="Number of base models; an odd number has a middle one")
        users: float = Field(default=0.2, gt=0, le=1, description="Share of the users in each sample")

    config: Config
    bases: list[HistoryModel]
    samples: Rng

    def declared_memory(self, users: int, items: int, interactions: int) -> int:
        """Returns the bytes of a fit of one base model, times the number of base models."""
        base = self._new_base()
        return self.config.models * base.declared_memory(users, items, interactions)

    def fit(self, data: TrainData, rng: Rng) -> None:
        """Counts each item's interactions, and fits every base model on its own sample."""
        self.samples = rng.child("samples")
        super().fit(data, rng)

    def learn(self, data: TrainData) -> None:
        """Fits every base model on a sample of the users."""
        self.bases = []
        for number in range(self.config.models):
            rng = self.samples.child(number)
            base = self._new_base()
            base.fit(replace(data, train=sample_users(data.train, self.config.users, rng)), rng.child("fit"))
            self.bases.append(base)

    def score_rows(self, rows: Matrix, users: IntArray | None) -> NDArray[np.float32]:
        """Returns the median of the base models' scores, float32 [B, n_items]."""
        scores = np.stack([base.score_rows(rows.copy(), None) for base in self.bases])
        median: NDArray[np.float32] = np.median(scores, axis=0).astype(np.float32)
        return median

    def learned_state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the learned arrays of all base models.

        Each name starts with the number of the base model.
        """
        return {
            f"{number}_{name}": array
            for number, base in enumerate(self.bases)
            for name, array in base.learned_state().items()
        }

    def load_learned(self, data: TrainData, state: Mapping[str, NDArray[np.generic]]) -> None:
        """Restores the base models."""
        self.bases = []
        for number in range(self.config.models):
            start = f"{number}_"
            base = self._new_base()
            base.load_learned(
                data, {name.removeprefix(start): array for name, array in state.items() if name.startswith(start)}
            )
            self.bases.append(base)

    def _new_base(self) -> HistoryModel:
        base: HistoryModel = BASES[self.config.base].make()
        return base


def sample_users(train: Interactions, share: float, rng: Rng) -> Interactions:
    """Returns the rows of a random share of the users, with all other rows empty.

    Users without interactions are not drawn, and at least one user is.

    Args:
        train: the interactions of all users.
        share: the share of the users with interactions to draw.
        rng: the random stream of the draw.
    """
    users = np.flatnonzero(train.lengths())
    drawn = rng.numpy().choice(users, min(len(users), max(1, round(share * len(users)))), replace=False)
    left = np.ones(train.n_users, dtype=bool)
    left[drawn] = False
    return train.without_users(left)
