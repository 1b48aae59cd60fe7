"""Conformance tests for metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robench.api.data import FloatArray
from robench.api.metric import ItemFacts, Metric, Outcome
from robench.testing.conformance import Conformance

USERS, ITEMS, TARGETS = 30, 1000, 3
LISTED = ITEMS // 2  # lists hold items below this number, and lists of the worst outcome hold the others


def _genres() -> NDArray[np.bool_]:
    """Returns the genres of all items: bool [ITEMS, LISTED + 1].

    Every item below LISTED has a genre of its own, and the others share one.
    """
    genres: NDArray[np.bool_] = np.minimum(np.arange(ITEMS), LISTED)[:, None] == np.arange(LISTED + 1)
    return genres


class MetricTests(Conformance):
    """Tests a ``Metric`` at cutoff ``k``; a subclass names the class as ``metric``.

    The metric may have any range and any direction, which it declares as ``bounds`` and ``higher_is_better``.
    """

    metric: ClassVar[type[Metric]]
    k: ClassVar[int] = 10

    def outcome(self, seed: int = 0, *, worst: bool = False, best: bool = False) -> Outcome:
        """Returns a random outcome.

        If the metric needs ``items``, the worst lists repeat ten popular items of one genre, and the best lists share
        no item.

        Args:
            seed: the seed of the draws.
            worst: whether held-out and target items rank last and all predictions are wrong. Lists then hold other
                items.
            best: whether held-out and target items rank first and all predictions are right.
        """
        generator = np.random.default_rng(seed)
        counts = generator.integers(1, 4, USERS)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        ranks = [np.sort(generator.choice(np.arange(1, 60), c, replace=False)) for c in counts]
        flat = np.concatenate(ranks).astype(np.int64)
        top = np.array([generator.choice(LISTED, 10, replace=False) for _ in counts], dtype=np.int64)
        owned = generator.random((TARGETS, USERS)) < 0.1
        targets = generator.integers(1, ITEMS, (TARGETS, USERS))
        likes, dislikes = generator.random((2, len(flat)))
        if worst:
            flat, targets, top = np.full_like(flat, ITEMS - 1), np.full_like(targets, ITEMS), top + LISTED
            likes, dislikes = np.zeros(len(flat)), np.ones(len(flat))
        if best:
            flat = np.concatenate([np.arange(1, count + 1) for count in counts])
            targets = np.ones_like(targets)
            likes, dislikes = np.ones(len(flat)), np.zeros(len(flat))
        targets = np.where(owned, 0, targets).astype(np.int64)
        candidates = np.full(USERS, ITEMS, dtype=np.int64)
        if self.metric.needs == "items" and (worst or best):
            # The worst lists repeat ten popular items of one genre. The best ones share no item.
            top = (
                np.arange(LISTED, LISTED + 10) + np.zeros_like(top) if worst else np.arange(USERS * 10).reshape(-1, 10)
            )
        items = ItemFacts(np.where(np.arange(ITEMS) < LISTED, 1, USERS), USERS, _genres())
        return Outcome(indptr, flat, top, candidates, targets, likes=likes, dislikes=dislikes, items=items)

    def values(self, outcome: Outcome) -> FloatArray:
        """Returns the value of the metric for each user.

        Metrics that compare lists need a clean outcome. The clean outcome has the same seed as the outcome that
        ``outcome(1, best=True)`` returns, and therefore the same lists.
        """
        whole = replace(outcome, clean=self.outcome(1))
        return self.metric().per_user(whole, self.k if self.metric.at_k else 0)

    def mean(self, *, worst: bool = False, best: bool = False) -> float:
        """Returns the metric's mean over the users that have a value.

        The arguments are those of ``outcome``.
        """
        # Lists are compared with those of seed 1, so the best lists have the same seed.
        return float(np.nanmean(self.values(self.outcome(int(best), worst=worst, best=best))))

    def test_a_value_per_user_and_finite_where_defined(self) -> None:
        values = self.values(self.outcome())
        assert values.shape == (USERS,), f"shape {values.shape}, not {(USERS,)}"
        assert values.dtype == np.float64, f"{values.dtype}, not float64"
        assert not np.isinf(values).any(), f"infinite values: {values}"
        assert not np.isnan(values).all(), "no user has a value"

    def test_means_are_within_the_declared_bounds(self) -> None:
        low, high = self.metric.bounds
        for name, mean in {"random": self.mean(), "worst": self.mean(worst=True), "best": self.mean(best=True)}.items():
            assert low - 1e-9 <= mean <= high + 1e-9, f"the {name} outcome has the mean {mean}, outside [{low}, {high}]"

    def test_better_outcomes_have_better_values(self) -> None:
        worst, random, best = self.mean(worst=True), self.mean(), self.mean(best=True)
        # A target is an item that an attack promotes, so a high rank of targets is bad for the user.
        rises = self.metric.higher_is_better != (self.metric.needs == "targets")
        told = f"{worst:.6g} at the worst ranks, {random:.6g} at random ranks, {best:.6g} at the best ranks"
        direction = f"higher_is_better = {self.metric.higher_is_better}"
        ordered = worst <= random <= best if rises else worst >= random >= best
        assert ordered, f"{told} contradict {direction}"
        assert worst != best, f"the metric does not depend on the outcome: {told}"
