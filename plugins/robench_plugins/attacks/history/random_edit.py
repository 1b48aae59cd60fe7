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
    """The worst of ``draws`` edited histories, each with its whole budget spent on uniform edits that are allowed.

    Give it as many draws as the attack that it is compared with has score evaluations.
    """

    class Config(HistoryConfig):
        """Settings."""

        draws: int = Field(default=20, ge=1)

    config: Config
    heuristic_floor: ClassVar[bool] = True

    def rewrite(self, oracle: HistoryOracle, rng: Rng) -> Iterator[Tensor]:
        """The draws; a smaller budget's edits are the first ones of a larger one's."""
        budget = oracle.budget()
        edits = range(int(budget.max()))
        uniform = [oracle.uniform(rng.child("edit", edit), self.config.draws, 3) for edit in edits]
        for draw in range(self.config.draws):
            rows = oracle.rows()
            for edit in edits:
                drawn = uniform[edit][:, draw : draw + 1]
                kind, place, item = (part[:, 0] for part in random_edits(oracle, rows, drawn, self.config.edits))
                rows = edited(rows, torch.where(edit < budget, kind, -1), place, item)
            yield rows
