"""TODO-DOC."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from robench.api.metric import Metric, Outcome


class MetricTests:
    """Subclass with ``metric = Mine``."""

    metric: ClassVar[type[Metric]]
    k: ClassVar[int] = 10

    def outcome(self, seed: int = 0, worst: bool = False) -> Outcome:
        generator = np.random.default_rng(seed)
        counts = generator.integers(1, 4, 30)
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        ranks = [np.sort(generator.choice(np.arange(1, 60), c, replace=False)) for c in counts]
        flat = np.full(indptr[-1], 999, dtype=np.int64) if worst else np.concatenate(ranks).astype(np.int64)
        top = np.array([generator.choice(1000, 10, replace=False) for _ in counts], dtype=np.int64)
        targets = np.where(generator.random((3, 30)) < 0.1, 0, generator.integers(1, 1000, (3, 30)))
        if worst:
            targets = np.full((3, 30), 1000)
        likes, dislikes = generator.random((2, len(flat)))
        if worst:
            likes, dislikes = np.zeros(len(flat)), np.ones(len(flat))
        full = np.full(30, 1000, dtype=np.int64)
        return Outcome(indptr, flat, top, full, targets.astype(np.int64), likes=likes, dislikes=dislikes)

    def values(self, outcome: Outcome) -> Any:
        clean = self.outcome(1)
        whole = replace(outcome, clean=clean)
        return self.metric().per_user(whole, self.k if self.metric.at_k else 0)

    def test_a_value_per_user_and_finite_where_defined(self) -> None:
        values = self.values(self.outcome())
        assert values.shape == (30,)
        assert values.dtype == np.float64
        assert not np.isinf(values).any()
        assert (values.mean() if self.metric.pooled else values[~np.isnan(values)].min()) >= 0

    def test_the_worst_outcome_is_worth_nothing(self) -> None:
        if self.metric.needs == "clean":
            pytest.skip("about lists, not about ranks")
        assert np.nanmax(self.values(self.outcome(worst=True))) == pytest.approx(0, abs=1e-9)
