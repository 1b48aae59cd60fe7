"""Conformance tests for metrics."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from robench.api.data import FloatArray
from robench.api.metric import Metric, Outcome
from robench.testing.conformance import Conformance

USERS, ITEMS, TARGETS = 30, 1000, 3


class MetricTests(Conformance):
    """Tests of a ``Metric`` at cutoff ``k``, for a subclass with ``metric = Mine``."""

    metric: ClassVar[type[Metric]]
    k: ClassVar[int] = 10

    def outcome(self, seed: int = 0, worst: bool = False) -> Outcome:
        """Returns a random outcome.

        If ``worst`` is true, all items of interest rank last and all predictions are wrong.
        """
        generator = np.random.default_rng(seed)
        counts = generator.integers(1, 4, USERS)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        ranks = [np.sort(generator.choice(np.arange(1, 60), c, replace=False)) for c in counts]
        flat = np.full(indptr[-1], ITEMS - 1, dtype=np.int64) if worst else np.concatenate(ranks).astype(np.int64)
        top = np.array([generator.choice(ITEMS, 10, replace=False) for _ in counts], dtype=np.int64)
        owned = generator.random((TARGETS, USERS)) < 0.1
        targets = np.where(owned, 0, generator.integers(1, ITEMS, (TARGETS, USERS)))
        if worst:
            targets = np.full((TARGETS, USERS), ITEMS)
        likes, dislikes = generator.random((2, len(flat)))
        if worst:
            likes, dislikes = np.zeros(len(flat)), np.ones(len(flat))
        candidates = np.full(USERS, ITEMS, dtype=np.int64)
        return Outcome(indptr, flat, top, candidates, targets.astype(np.int64), likes=likes, dislikes=dislikes)

    def values(self, outcome: Outcome) -> FloatArray:
        """Returns the value of the metric for each user.

        The metric is also given a clean outcome, which is drawn with another seed.
        """
        whole = replace(outcome, clean=self.outcome(1))
        return self.metric().per_user(whole, self.k if self.metric.at_k else 0)

    def test_a_value_per_user_and_finite_where_defined(self) -> None:
        values = self.values(self.outcome())
        assert values.shape == (USERS,)
        assert values.dtype == np.float64
        assert not np.isinf(values).any()
        assert (values.mean() if self.metric.pooled else values[~np.isnan(values)].min()) >= 0

    def test_the_worst_outcome_is_worth_nothing(self) -> None:
        if self.metric.needs == "clean":
            pytest.skip("about lists, not about ranks")
        assert np.nanmax(self.values(self.outcome(worst=True))) == pytest.approx(0, abs=1e-9)
