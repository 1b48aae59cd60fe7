"""Greedy edits of a history through scores alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import Field

from robench.api import HistoryAttack, HistoryConfig, HistoryOracle, LossName, Rng, edited, random_edits
from robench_plugins.attacks.edits import Climb, every_edit

if TYPE_CHECKING:
    from torch import Tensor


class GreedyEdit(HistoryAttack):
    """One edit at a time: of ``queries`` random (kind, place, item) the one of the highest loss, if it is an advance.

    The black-box counterpart of ``greedy-gradient``: no gradient is asked for, so that any model can be attacked, and
    a defence that only hides its gradient does not stop it. Without ``queries`` every edit is tried, which only small
    worlds allow.
    """

    class Config(HistoryConfig):
        """Settings."""

        loss: LossName = "margin"
        queries: int | None = Field(default=100, ge=1, description="edits tried per edit of the budget; null: all")

    config: Config

    def rewrite(self, oracle: HistoryOracle, rng: Rng) -> Iterator[Tensor]:
        """The best history after each edit."""
        c = self.config
        climb = Climb(oracle, c.loss)
        for edit in range(int(oracle.budget().max())):
            if c.queries is None:
                proposals = every_edit(oracle, climb.rows, c.edits)
            else:
                uniform = oracle.uniform(rng.child("edit", edit), c.queries, 3)
                parts = random_edits(oracle, climb.rows, uniform, c.edits)
                proposals = zip(*(part.unbind(1) for part in parts), strict=True)
            climb.step(edited(climb.rows, *climb.spendable(edit, *proposal)) for proposal in proposals)
            yield climb.rows
