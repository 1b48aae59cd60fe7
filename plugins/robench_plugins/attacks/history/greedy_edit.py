"""An attack that edits a history greedily, guided by scores alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from pydantic import Field

from robench.api import HistoryAttack, HistoryConfig, HistoryOracle, LossName, Rng
from robench.api.attacks.edits import random_edits
from robench.api.attacks.history import INSERT, SUBSTITUTE
from robench_plugins.attacks.history.greedy_search import HistorySearch, Proposal, every_edit

if TYPE_CHECKING:
    from torch import Tensor


class GreedyEdit(HistoryAttack):
    """Edits a history step by step, by the edit that raises the loss most.

    For each edit, the attack tries ``queries`` proposals. In the first half of the proposals, kind, position and item
    are drawn uniformly. The second half varies the best proposal so far. First the attack turns this proposal into a
    substitution if substitutions are allowed, because they combine a deletion and an insertion. Then the attack changes
    the position and the item in turn. An edit is made only if it raises the loss. If ``queries`` is null, every edit is
    evaluated, which is feasible only for small data.

    This is the black-box counterpart of ``greedy-gradient``. It needs no gradient, so it can attack any model.
    A defence that only hides its gradient does not stop it. The algorithm is our own: a greedy search with random
    proposals and a coordinate-wise refinement of the best proposal.
    """

    class Config(HistoryConfig):
        """Settings of the greedy search."""

        loss: LossName = Field(default="margin", description="Loss that every edit increases")
        queries: int | None = Field(
            default=100, ge=1, description="Score evaluations per edit of the budget; null evaluates every edit"
        )
        finalists: int = Field(default=5, ge=1, description="Best edits per step that the host compares by rank")

    config: Config

    def rewrite(self, oracle: HistoryOracle, rng: Rng) -> Iterator[Tensor]:
        """Yields the histories after each of the best proposals, int64 [B, any L] each."""
        c = self.config
        search = HistorySearch(oracle, c.loss, c.finalists)
        for edit in range(int(oracle.budget().max())):
            if c.queries is None:
                proposals = every_edit(oracle, search.rows, c.kinds, at_end=c.place == "end")
            else:
                proposals = self._proposals(search, oracle.uniform(rng.child("edit", edit), c.queries, 3))
            yield from search.step(edit, proposals)

    def _proposals(self, search: HistorySearch, uniform: Tensor) -> Iterator[Proposal]:
        """Yields random edits, then variations of the best edit so far.

        Args:
            search: the histories, and the best edit so far.
            uniform: draws from [0, 1) for kind, position and item, float64 [B, queries, 3].
        """
        c, rows, queries = self.config, search.rows, uniform.shape[1]
        draws = random_edits(search.oracle, rows, uniform, c.kinds, at_end=c.place == "end")
        last, half = (rows >= 0).sum(1) - 1, (queries + 1) // 2
        replaceable = (last >= 0) & search.oracle.insertable(rows).any(1)
        for query in range(queries):
            kind, position, item = (part[:, query] for part in draws)
            if query < half:
                yield kind, position, item
                continue
            best_kind, best_position, best_item = search.leader
            if query == half and "substitute" in c.kinds:
                best_kind = torch.where((best_kind >= 0) & replaceable, SUBSTITUTE, best_kind)
            elif (query - half) % 2:
                best_position = torch.where(kind >= 0, position, best_position)
            else:
                best_item = torch.where(kind >= 0, item, best_item)
            # Only an insertion may come after the last item.
            existing = torch.where(best_kind == INSERT, best_position, torch.minimum(best_position, last))
            yield best_kind, existing, best_item
