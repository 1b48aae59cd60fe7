"""Random edits of a history: the floor that every attack on histories must beat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field

from robench.api import HistoryAttack, HistoryConfig, HistoryOracle, Rng
from robench.api.attacks.edits import edited, random_edits

if TYPE_CHECKING:
    from torch import Tensor


class RandomEdit(HistoryAttack):
    """Takes the worst of several histories with random allowed edits.

    Each history gets as many uniform edits as its budget allows. For a fair comparison, give this attack as many draws
    as the other attack has score evaluations.
    """

    class Config(HistoryConfig):
        """Settings of the random edits."""

        draws: int = Field(default=20, ge=1, description="Random histories per user")

    config: Config
    heuristic_floor: ClassVar[bool] = True

    def rewrite(self, oracle: HistoryOracle, rng: Rng) -> Iterator[Tensor]:
        """Yields the histories of each draw, int64 [B, any L] each.

        The edits under a smaller budget are the first edits under a larger budget.
        """
        budget = oracle.budget()
        edits = range(int(budget.max()))
        uniform = [oracle.uniform(rng.child("edit", edit), self.config.draws, 3) for edit in edits]
        for draw in range(self.config.draws):
            rows = oracle.rows()
            for edit in edits:
                random = uniform[edit][:, draw : draw + 1]
                kind, position, item = (part[:, 0] for part in self._draw(oracle, rows, random))
                rows = edited(rows, torch.where(edit < budget, kind, -1), position, item)
            yield rows

    def _draw(self, oracle: HistoryOracle, rows: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns random edits that the settings allow, as ``random_edits`` does."""
        c = self.config
        return random_edits(oracle, rows, uniform, c.kinds, at_end=c.place == "end")
