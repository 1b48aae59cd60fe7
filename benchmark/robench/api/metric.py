"""Metrics and their names. A metric is a pure function of what a cell stores, so every table can be recomputed."""

from __future__ import annotations

import math
import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from robench.api.component import Component
from robench.api.data import FloatArray, IntArray
from robench.api.threat import SURFACES, Threat


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


_K = re.compile(r"[1-9][0-9]{0,8}\Z")


@dataclass(frozen=True, order=True)
class Measure:
    """A metric at its cutoff, as suites, records and tables name it: ``ndcg@10``, or ``t-percentile`` without one.

    Args:
        name: the registered name of the metric.
        k: the cutoff; 0 for a metric without one.
    """

    name: str
    k: int = 0

    @classmethod
    def parse(cls, text: str) -> Measure:
        """Returns the measure that a text names; k is 0 if the text has no whole number from 1 as its k."""
        name, _, k = text.partition("@")
        return cls(name, int(k) if _K.match(k) else 0)

    def __str__(self) -> str:
        """The name and its k: the inverse of ``parse``."""
        return f"{self.name}@{self.k}" if self.k else self.name

    def problem(self, metric: Metric | type[Metric], threat: Threat | None, kind: str = "") -> str:
        """Returns why cells of one kind do not measure this, or an empty text if they do.

        If items are promoted at test time, each user's list is pushed towards them: only metrics of targets make sense.
        An ensemble that attacks each user alone leaves a user once their item has fallen. Its ranks are then bounds, so
        only metrics within the attacked top k can be computed.

        Args:
            metric: the metric of this name.
            threat: the threat model of the cells; None for clean cells.
            kind: the kind of their attack, such as ``ensemble``.
        """
        if threat is None or threat.stage != "test":
            return f"'{self}' compares an attacked list with the clean one" if metric.needs == "clean" else ""
        if threat.goal != "untargeted":
            promoted = metric.needs == "targets"
            return "" if promoted else f"'{self}' is not measured where items are promoted at test time"
        if metric.needs == "targets":
            return f"'{self}' is measured on clean cells, poisoned victims and where items are promoted"
        if kind == "ensemble" and SURFACES[threat.surface].leaves_broken_users:
            within = metric.needs == "held-out" and metric.at_k and 0 < self.k <= threat.k
            if not within:
                return f"an ensemble leaves users who are broken: only metrics of held-out items within k = {threat.k}"
        return ""

    def per_user(self, metric: Metric, outcome: Outcome, threat: Threat | None, kind: str = "") -> FloatArray | None:
        """Returns float64 [U], or None if the cell does not measure this or lacks what the metric needs.

        Args:
            metric: the metric of this name.
            outcome: of the cell.
            threat: as in ``problem``.
            kind: as in ``problem``.
        """
        if self.problem(metric, threat, kind):
            return None
        parts = {"targets": outcome.target_ranks, "clean": outcome.clean, "likes": outcome.likes}
        if metric.needs in parts and parts[metric.needs] is None:
            return None
        return metric.per_user(outcome, self.k)
