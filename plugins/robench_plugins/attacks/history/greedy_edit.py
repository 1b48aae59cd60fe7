"""Greedy edits of a history through scores alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from robench.api import HistoryAttack, HistoryConfig, HistoryOracle, LossName, Rng
from robench.api.attacks.edits import random_edits
from robench.api.attacks.history import INSERT, SUBSTITUTE
from robench_plugins.attacks.history.climb import Climb, Proposal, every_edit

if TYPE_CHECKING:
    from torch import Tensor


class GreedyEdit(HistoryAttack):
    """One edit at a time: of ``queries`` edits that are tried the one of the highest loss, if it is an advance.

    The first half of them is uniform in kind, place and item. The others start from the best one so far: first it is
    made a substitution, which is a deletion and an insertion in one; then its place and its item are changed in turn.
    The black-box counterpart of ``greedy-gradient``: no gradient is asked for, so that any model can be attacked, and a
    defence that only hides its gradient does not stop it. Without ``queries`` every edit is tried (small worlds only).
    """

    class Config(HistoryConfig):
        """Settings."""

        loss: LossName = "margin"
        queries: int | None = Field(default=100, ge=1, description="edits tried per edit of the budget; null: all")
        finalists: int = Field(default=5, ge=1, description="best edits per step that the host compares by rank")

    config: Config

    def rewrite(self, oracle: HistoryOracle, rng: Rng) -> Iterator[Tensor]:
        """The best histories after each edit."""
        c = self.config
        climb = Climb(oracle, c.loss, c.finalists)
        for edit in range(int(oracle.budget().max())):
            if c.queries is None:
                proposals = every_edit(oracle, climb.rows, c.edits)
            else:
                proposals = self._proposals(climb, oracle.uniform(rng.child("edit", edit), c.queries, 3))
            yield from climb.step(edit, proposals)

    def _proposals(self, climb: Climb, uniform: Tensor) -> Iterator[Proposal]:
        """Args: uniform float64 [B, queries, 3]."""
        rows, queries = climb.rows, uniform.shape[1]
        drawn = random_edits(climb.oracle, rows, uniform, self.config.edits)
        last, half = (rows >= 0).sum(1) - 1, (queries + 1) // 2
        for query in range(queries):
            kind, place, item = (part[:, query] for part in drawn)
            if query < half:
                yield kind, place, item
                continue
            best_kind, best_place, best_item = climb.leading
            if query == half and "substitute" in self.config.edits:
                best_kind = torch.where((best_kind >= 0) & (last >= 0), SUBSTITUTE, best_kind)
            elif (query - half) % 2:
                best_place = torch.where(kind >= 0, place, best_place)
            else:
                best_item = torch.where(kind >= 0, item, best_item)
            yield best_kind, torch.where(best_kind == INSERT, best_place, torch.minimum(best_place, last)), best_item
