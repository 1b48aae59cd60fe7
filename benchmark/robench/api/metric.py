"""Metrics: pure functions of what a cell stores, so that every table can be recomputed."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from robench.api.component import Component
from robench.api.data import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Outcome:
    """What was measured in one cell.

    Args:
        indptr: int64 [U + 1]; the held-out items of user u are ``ranks[indptr[u]:indptr[u + 1]]``.
        ranks: int64 [n]; ranks from 1, masked full ranking (design A6).
        top: int64 [U, 10] best items, −1 where there are fewer.
        candidates: int64 [U] unmasked items of each user.
        target_ranks: int64 [T, U], 0 where the target is in the user's data (held out too); None without targets.
        clean: the same victim's clean cell, for list stability; None where this is it.
        likes: float64 [n], calibrated probability that the user likes each held-out item; None where not measured.
        dislikes: float64 [n], the same for one fixed negative per held-out item, NaN where the user has none left.
    """

    indptr: IntArray
    ranks: IntArray
    top: IntArray
    candidates: IntArray
    target_ranks: IntArray | None = None
    clean: Outcome | None = None
    likes: FloatArray | None = None
    dislikes: FloatArray | None = None

    @property
    def n_users(self) -> int:
        """Users measured."""
        return len(self.indptr) - 1

    def per_user_sum(self, values: NDArray[np.float64]) -> FloatArray:
        """Sum of a value per held-out item over each user: [n] -> [U]."""
        total = np.concatenate([[0.0], np.cumsum(values)])
        # Users with one held-out item keep their value exactly; a difference of running sums would round it.
        if len(values) == self.n_users:
            return values.astype(np.float64)
        result: FloatArray = total[self.indptr[1:]] - total[self.indptr[:-1]]
        return result


def probability(logit: FloatArray) -> FloatArray:
    """σ(x), without overflow: exactly 0.5 at 0."""
    result: FloatArray = 0.5 * (1 + np.tanh(logit / 2))
    return result


Needs = Literal["held-out", "targets", "clean", "likes"]


class Metric(Component):
    """A value per user out of an ``Outcome``; rows of two versions are never compared.

    ``bounds``: what a mean over users cannot leave, for the ends of its interval. ``pooled``: a ratio of sums over
    users (precision of all predictions, say), whose values per user are its linearisation: their mean is the ratio and
    their spread its error, but none is a user's own outcome, so no worst case is taken user by user.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = "held-out"
    at_k: ClassVar[bool] = True
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    pooled: ClassVar[bool] = False

    @abstractmethod
    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """float64 [U]; NaN where it is not defined for a user. ``k`` is 0 for metrics without one."""
