"""Bagging: the median or the votes of models on samples of the users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robench.api import BaseConfig, IntArray, Interactions, Rng, TrainData
from robench.api.component import LATER
from robench.api.models.votes import Votes
from robench_plugins.models.ease import Ease
from robench_plugins.models.history_model import HistoryModel
from robench_plugins.models.item_knn import ItemKnn
from robench_plugins.models.sparse_matrix import Matrix, largest_entries, matrix_of_users, without_repeats
from robench_plugins.models.wmf import Wmf

BASES: dict[str, type[HistoryModel]] = {"ease": Ease, "item-knn": ItemKnn, "wmf": Wmf}


class Bagging(HistoryModel):
    """Scores an item by the median or the votes of models on samples of the users.

    This is bagging (Breiman, Machine Learning 1996) over users, against fake users. Each base model is fitted on the
    rows of a random share of the users, drawn without replacement. A score is the median of the base models' scores. If
    fewer than half of the samples hold a fake user, the median lies between scores of base models without fake users.
    With a share s of the users and f fake users, a sample holds no fake user with a probability of about (1 − s)^f. So
    the median protects only against a few fake users, and with larger samples against fewer.

    With ``combine: votes``, this is PORE (Jia et al., USENIX Security 2023, section 4). Each base model is fitted on
    ``sample_size`` users and votes for the ``vote_for`` items with the best positive scores. An item's score is the
    number of its votes. Between equal numbers, the training counts decide. The host computes a certificate from the
    votes: however the rows of a few fake users look, some held-out items stay in the list. See ``certify`` in
    ``robench.store.certificate`` for the theorem and its proof. A useful certificate needs hundreds or thousands of
    base models. It assumes that fake users do not change ``sample_size``, and it covers at most five fake users. In the
    paper, a base model votes only for users in its sample. Here it votes for every user with a history, so each user
    gets more votes. A median has no certificate.

    Any base model can score a history, so users outside a sample are scored like all others. Base models have their
    default settings, and validation chooses none of them. A history without items gets the training counts.
    """

    class Config(BaseConfig):
        """Settings of bagging."""

        base: Literal["ease", "item-knn", "wmf"] = Field(default="ease", description="Base model")
        models: int = Field(default=11, ge=1, description="Number of base models; an odd number has a middle one")
        users: float = Field(default=0.2, gt=0, le=1, description="Share of the users in each sample, for medians")
        combine: Literal["median", "votes"] = Field(
            default="median",
            description="How base models are combined; only votes have a certificate",
            json_schema_extra=LATER,
        )
        sample_size: int = Field(
            default=50, ge=1, description="Number of users in each sample, for votes", json_schema_extra=LATER
        )
        vote_for: int = Field(
            default=1, ge=1, description="Number of items that a base model votes for", json_schema_extra=LATER
        )

    config: Config
    bases: list[HistoryModel]
    samples: Rng
    trained: int

    def declared_memory(self, users: int, items: int, interactions: int) -> int:
        """Returns the bytes of a fit of one base model, times the number of base models."""
        base = self._new_base()
        return self.config.models * base.declared_memory(users, items, interactions)

    def fit(self, data: TrainData, rng: Rng) -> None:
        """Counts each item's interactions and fits every base model on its own sample."""
        self.samples = rng.child("samples")
        super().fit(data, rng)

    def learn(self, data: TrainData) -> None:
        """Fits every base model on a sample of the users."""
        self.trained = count_trained(data.train)
        size = self.config.sample_size if self.config.combine == "votes" else share_of(data.train, self.config.users)
        self.bases = []
        for number in range(self.config.models):
            rng = self.samples.child(number)
            base = self._new_base()
            base.fit(replace(data, train=draw_users(data.train, size, rng)), rng.child("fit"))
            self.bases.append(base)

    def score_rows(self, rows: Matrix, users: IntArray | None) -> NDArray[np.float32]:
        """Returns the median or the votes of the base models, float32 [B, n_items].

        With votes, a number below 1 is added to each score. It grows with the training count of the item.
        """
        if self.config.combine == "votes":
            votes: NDArray[np.float32] = count_votes(self.bases, rows, self.config.vote_for).astype(np.float32)
            votes += self.counts / (1 + self.counts.max())
            return votes
        scores = np.stack([base.score_rows(rows.copy(), None) for base in self.bases])
        median: NDArray[np.float32] = np.median(scores, axis=0).astype(np.float32)
        return median

    def votes(self, users: IntArray, history: Interactions) -> Votes | None:
        """Returns the votes of the base models.

        The result is None if the median combines them. Training counts decide on the list of a user without a history,
        so such a user has no votes.
        """
        if self.config.combine != "votes":
            return None
        rows = matrix_of_users(without_repeats(history), users)
        counts = count_votes(self.bases, rows, self.config.vote_for)
        counts[np.diff(rows.indptr) == 0] = 0
        sample = min(self.config.sample_size, self.trained)
        return Votes(counts, self.config.models, sample, self.trained, self.config.vote_for)

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
        self.trained = count_trained(data.train)
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
    return draw_users(train, share_of(train, share), rng)


def count_trained(train: Interactions) -> int:
    """Returns the number of users with interactions."""
    return int((train.lengths() > 0).sum())


def share_of(train: Interactions, share: float) -> int:
    """Returns how many users make up a share of the users with interactions.

    The result is at least 1.
    """
    return max(1, round(share * count_trained(train)))


def draw_users(train: Interactions, size: int, rng: Rng) -> Interactions:
    """Returns the rows of random users with interactions, with all other rows empty.

    Args:
        train: the interactions of all users.
        size: the number of users to draw. If there are fewer users with interactions, all of them are drawn.
        rng: the random stream of the draw.
    """
    users = np.flatnonzero(train.lengths())
    drawn = rng.numpy().choice(users, min(len(users), size), replace=False)
    left = np.ones(train.n_users, dtype=bool)
    left[drawn] = False
    return train.without_users(left)


def count_votes(bases: Iterable[HistoryModel], rows: Matrix, each: int) -> IntArray:
    """Returns how many base models vote for each item, int64 [B, n_items].

    A base model votes for the items with the best positive scores that are not in the history. Of items with equal
    scores, the first ones get the votes.

    Args:
        bases: the fitted base models.
        rows: the histories, sparse float32 [B, n_items].
        each: the maximum number of items that a base model votes for, per user.
    """
    counts = np.zeros(rows.shape, dtype=np.int64)
    user = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    for base in bases:
        scores = base.score_rows(rows.copy(), None)
        scores[user, rows.indices] = 0
        chosen = largest_entries(scores, each)
        counts[np.repeat(np.arange(rows.shape[0]), np.diff(chosen.indptr)), chosen.indices] += 1
    return counts
