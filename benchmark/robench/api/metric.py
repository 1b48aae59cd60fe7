"""The base class of metrics, and the outcomes from which metrics are computed.

A metric is a pure function of the stored outcome, so every table can be recomputed.
"""

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
from robench.api.surfaces import SURFACES
from robench.api.threat import Threat


@dataclass(frozen=True, eq=False)
class ItemFacts:
    """Facts about the items of a catalogue, for metrics of recommended lists.

    Args:
        counts: the number of genuine training interactions of each item, int64 [n_items].
        n_users: the number of users with training interactions.
        genres: whether an item has a genre, bool [n_items, genres].
    """

    counts: IntArray
    n_users: int
    genres: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The outcome of one cell with n held-out items, from which metrics are computed.

    Args:
        indptr: the start of each user's ranks, int64 [users + 1]. The ranks of user u are
            ``ranks[indptr[u]:indptr[u + 1]]``.
        ranks: the rank of each held-out item, int64 [n]. Ranks start at 1, and cover the whole catalogue except for the
            items of the user's history.
        top: the best items of each user, int64 [users, 10], padded with −1.
        candidates: the number of unmasked items of each user, int64 [users].
        target_ranks: the rank of each target for each user, int64 [targets, users], or None if there are no targets.
            The rank is 0 if the target is in the user's history or held out for the user.
        clean: the clean outcome of the same victim, with which list stability compares. The value is None if this
            outcome is itself clean.
        likes: the calibrated probability that the user likes each held-out item, float64 [n], or None if no
            probabilities were measured.
        dislikes: the calibrated probability that the user likes a fixed negative of each held-out item, float64 [n].
            The value is NaN if the user has no unseen item left.
        items: facts about the items of the catalogue, or None if the folder of results has none.
    """

    indptr: IntArray
    ranks: IntArray
    top: IntArray
    candidates: IntArray
    target_ranks: IntArray | None = None
    clean: Outcome | None = None
    likes: FloatArray | None = None
    dislikes: FloatArray | None = None
    items: ItemFacts | None = None

    @property
    def n_users(self) -> int:
        """The number of users that were measured."""
        return len(self.indptr) - 1

    def per_user_sum(self, values: NDArray[np.float64]) -> FloatArray:
        """Sums the values of each user's held-out items.

        The values are float64 [n], one per held-out item, and the sums are float64 [users].
        """
        total = np.concatenate([[0.0], np.cumsum(values)])
        # Users with one held-out item keep their value exactly; a difference of running sums would round it.
        if len(values) == self.n_users:
            return values.astype(np.float64)
        result: FloatArray = total[self.indptr[1:]] - total[self.indptr[:-1]]
        return result


def probability(logit: FloatArray) -> FloatArray:
    """Returns the logistic sigmoid of every logit.

    The computation never overflows. The sigmoid of 0 is exactly 0.5.
    """
    result: FloatArray = 0.5 * (1 + np.tanh(logit / 2))
    return result


Needs = Literal["held-out", "targets", "clean", "likes", "items"]


class Metric(Component):
    """A component that computes one value per user from an ``Outcome``.

    Attributes:
        version: the version of the definition, which increases when the definition changes. Rows with different
            versions are never compared.
        needs: the part of an outcome that the metric reads.
        at_k: whether the metric has a cutoff k.
        higher_is_better: whether a higher value is better for the user.
        bounds: the smallest and the largest possible mean over users. Confidence intervals are cut at these bounds.
        pooled: whether the metric is a ratio of sums over users, such as the precision of all predictions. The values
            per user then linearise the ratio: the mean of the values is the ratio, and their spread gives the error of
            the ratio. Such a value does not describe the outcome of one user, so worst cases are not taken per user.
        collective: whether the metric describes the lists of all users together, such as the number of different items
            in these lists. Every user then has the same value, and the metric is also ``pooled``. Users are not a
            sample, so intervals come from the seeds alone.
    """

    version: ClassVar[int] = 1
    needs: ClassVar[Needs] = "held-out"
    at_k: ClassVar[bool] = True
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float]] = (-math.inf, math.inf)
    pooled: ClassVar[bool] = False
    collective: ClassVar[bool] = False

    def prefers_high(self, threat: Threat | None) -> bool:
        """Returns whether a high value is good for the defender.

        The answer is ``higher_is_better``, or its opposite for a metric of targets if the attack demotes the targets.

        Args:
            threat: the threat model of the attack, or None if there is no attack.
        """
        demoted = self.needs == "targets" and threat is not None and threat.goal == "demote"
        return self.higher_is_better != demoted

    @abstractmethod
    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """Returns the value of every user, float64 [users].

        The value is NaN if the metric is undefined for a user.

        Args:
            outcome: the outcome of a cell.
            k: the cutoff, or 0 for a metric without a cutoff.
        """


_K = re.compile(r"[1-9][0-9]{0,8}\Z")


@dataclass(frozen=True, order=True)
class Measure:
    """The name and the cutoff of a metric, as in suites, records and tables.

    A measure is written as ``ndcg@10``, or as ``t-percentile`` if the metric has no cutoff.

    Args:
        name: the registered name of the metric.
        k: the cutoff, or 0 for a metric without a cutoff.
    """

    name: str
    k: int = 0

    @classmethod
    def parse(cls, text: str) -> Measure:
        """Parses a measure such as ``ndcg@10``.

        The cutoff k is 0 if the string has no valid cutoff.
        """
        name, _, k = text.partition("@")
        return cls(name, int(k) if _K.match(k) else 0)

    def __str__(self) -> str:
        """Returns the name and the cutoff in the form that ``parse`` reads."""
        return f"{self.name}@{self.k}" if self.k else self.name

    def problem(self, metric: Metric | type[Metric], threat: Threat | None, kind: str = "") -> str:
        """Returns why some cells lack this measure, or an empty string if they have it.

        If items are promoted at test time, only metrics of targets make sense, because the attack moves the targets
        into each user's list. If an ensemble attacks each user separately, the attack on a user ends once the user's
        held-out items have fallen out of the top k. The stored ranks are then only bounds, so only metrics of held-out
        items can be computed, with a cutoff of at most the attacked k.

        Args:
            metric: the metric that the measure names.
            threat: the threat model of the cells, or None for clean cells.
            kind: the kind of attack in these cells, such as ``ensemble``.
        """
        if threat is None or threat.stage != "test":
            return f"'{self}' compares an attacked list with the clean one" if metric.needs == "clean" else ""
        if not SURFACES[threat.surface].perturbs:
            return f"'{self}' is not measured where an attack changes no list"
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
        """Returns the value of every user, or None if the cell lacks this measure.

        Args:
            metric: the metric that the measure names.
            outcome: the outcome of the cell.
            threat: the threat model of the cell, or None for a clean cell.
            kind: the kind of attack in the cell, such as ``ensemble``.

        Returns:
            The values, float64 [users]. The result is also None if the outcome lacks the part that the metric needs.
        """
        if self.problem(metric, threat, kind):
            return None
        parts = {
            "targets": outcome.target_ranks,
            "clean": outcome.clean,
            "likes": outcome.likes,
            "items": outcome.items,
        }
        if metric.needs in parts and parts[metric.needs] is None:
            return None
        return metric.per_user(outcome, self.k)
