"""Tests the bound on what a run may spend, and the limit above which it needs ``--yes``."""

from typing import ClassVar

import pytest
from tests.run.inline import run

from robench.api.errors import UserError
from robench.api.models.base import Model
from robench.api.spending import Spending
from robench_plugins.models.popularity import Popularity

SUITE = """
name: spend
seeds: [0, 1]
datasets: [{name: synthetic, users: 30, items: 20, interactions_per_user: 8, min_user_interactions: 5}]
users: {sample: 7, seed: 0}
models: [popularity]
"""


@pytest.fixture
def suite(tmp_path):
    path = tmp_path / "spend.yaml"
    path.write_text(SUITE)
    return path


class Declares:
    """A declaration in place of that of ``popularity``, with the arguments so far."""

    seen: ClassVar[list[int | None]] = []

    def __init__(self, amount: Spending) -> None:
        self.amount = amount

    def __call__(self, model: Model, histories: int | None) -> Spending:
        self.seen.append(histories)
        return self.amount


@pytest.mark.parametrize("amount", [Spending(500), Spending(0, 500_000), Spending(0, 0, 0.5)])
def test_a_run_below_the_limit_needs_no_yes_and_one_above_does(suite, monkeypatch, amount):
    monkeypatch.setattr(Popularity, "declared_spending", lambda _, histories: amount)
    run(suite)
    more = amount + Spending(1, 1, 0.01)
    monkeypatch.setattr(Popularity, "declared_spending", lambda _, histories: more)
    with pytest.raises(UserError, match=r"^--yes: popularity may take .* \(--yes allows it; up to 1,000 requests"):
        run(suite, fresh=True)
    run(suite, fresh=True, yes=True)
    run(suite)  # nothing is left to measure, so nothing can be spent
