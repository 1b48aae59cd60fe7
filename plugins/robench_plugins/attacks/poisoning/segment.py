"""Segment attack: fake users with the targets and items of the same segment."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix

from robench.api import FloatArray, IntArray, Interactions, Profiles, Rng
from robench.api.attacks.poisoning import AttackerView
from robench.api.component import LATER
from robench.api.data import Catalogue
from robench.api.errors import DataError
from robench_plugins.attacks.poisoning.fake_users import FakeUserAttack, FakeUserConfig


class Segment(FakeUserAttack):
    """Adds fake users with all targets and items that the targets' audience likes.

    This is the segment attack of Burke et al. (ICDM 2005) and Mobasher et al. (TOIT 2007), whose fake users rate the
    favourites of a segment of users highly, and random items low. The papers choose the segment by hand. Here, a rule
    chooses it: fillers are drawn from the ``pool`` · P items that are nearest to the targets, where P is the number of
    fillers. The nearness of item j to the targets T is

        co-occurrence: Σ_{t ∈ T} c_jt / √(c_j · c_t)
        genre:         Σ_{t ∈ T} |G_j ∩ G_t| / |G_j ∪ G_t|

    where c_jt is the number of users with both items, c_j the number of users with item j, and G_j the genres of j. Of
    equally near items, the more popular one comes first. In an implicit setting there are no low ratings, so the
    profiles lack the random items. If targets are demoted, the profiles lack them: the neighbours of the targets then
    support each other instead of the targets.
    """

    class Config(FakeUserConfig):
        """Settings of the segment attack."""

        goal: Literal["promote", "demote"] = Field(default="promote", json_schema_extra=LATER)
        by: Literal["co-occurrence", "genre"] = Field(
            default="co-occurrence", description="What makes an item near to the targets: common users or common genres"
        )
        pool: float = Field(default=3.0, ge=1, description="Size of the segment, as a multiple of a profile's fillers")

    config: Config

    def craft(self, view: AttackerView, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng) -> Profiles:
        """Returns profiles as ``profiles`` does, or by genre if the settings say so.

        Raises:
            DataError: if the profiles are to be made by genre, and no target has a genre.
        """
        nearness = compute_genre_nearness(view.catalogue, targets) if self.config.by == "genre" else None
        return self._filled(view.train, nearness, targets, n_users, profile_size, rng)

    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """Returns ``n_users`` profiles of ``profile_size`` distinct items.

        The segment depends on co-occurrence.
        """
        return self._filled(train, None, targets, n_users, profile_size, rng)

    def _filled(
        self,
        train: Interactions,
        nearness: FloatArray | None,
        targets: IntArray,
        n_users: int,
        profile_size: int,
        rng: Rng,
    ) -> Profiles:
        generator = rng.numpy()
        nearness = compute_co_occurrence(train, targets) if nearness is None else nearness
        order = np.lexsort((np.arange(train.n_items), -train.counts(), -nearness))
        order = order[~np.isin(order, targets)]
        count = min(self.count_fillers(targets, profile_size), len(order))
        segment = order[: max(count, round(self.config.pool * count))]
        rows = [generator.choice(segment, count, replace=False) for _ in range(n_users)]
        return self.arranged(targets, rows, train, generator)


def compute_co_occurrence(train: Interactions, targets: IntArray) -> FloatArray:
    """Returns the sum of each item's cosines to the targets, float64 [n_items].

    The cosine of two items is that of their columns in the matrix of users and items. An item without users has 0.
    """
    ones = np.ones(len(train))
    matrix = csr_matrix((ones, train.items, train.indptr), shape=(train.n_users, train.n_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    counts = np.asarray(matrix.sum(0)).ravel()
    together = np.asarray((matrix.T @ matrix[:, targets]).todense())
    scale = np.sqrt(np.maximum(counts, 1))
    cosines = together / scale[:, None] / scale[targets][None, :]
    result: FloatArray = cosines.sum(1)
    return result


def compute_genre_nearness(catalogue: Catalogue, targets: IntArray) -> FloatArray:
    """Returns the nearness of each item to the targets by genre, float64 [n_items].

    The nearness is the sum of the item's Jaccard indices to the targets. The Jaccard index of two items compares their
    sets of genres, and is 0 if both sets are empty.

    Raises:
        DataError: if no target has a genre.
    """
    genres = [frozenset(item.genres) for item in catalogue.items]
    wanted = [genres[target] for target in targets.tolist() if genres[target]]
    if not wanted:
        raise DataError("segment by genre needs genres, and no target has one", hint="by: co-occurrence")
    return np.array([sum(len(own & other) / len(own | other) for other in wanted) for own in genres])
