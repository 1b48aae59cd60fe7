"""Greedy substitutions in a history along the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field

from robench.api import HistoryAttack, HistoryConfig, HistoryOracle, LossName, PluginError, Rng
from robench.api.attacks.history import SUBSTITUTE
from robench_plugins.attacks.history.climb import Climb

if TYPE_CHECKING:
    from torch import Tensor


class GreedyGradient(HistoryAttack):
    """One substitution at a time: the ``candidates`` (place, item) of the steepest slope are tried, the best is kept.

    The family of Yue et al. (RecSys 2021, section 3.3; RecSys 2022, algorithm 1), with another first-order rule. They
    rank the places by the norm of one gradient and the items of each place by the cosine with e + sign(g); here pairs
    of both are ranked by ⟨g, v_j − v_i⟩, the change of the loss to first order (HotFlip, Ebrahimi et al., ACL 2018,
    eq. 3 and 4), and the gradient is taken anew after every substitution. As theirs do, the best pairs are verified by
    scoring. Their limit on the cosine between the item and its substitute is no part of this threat model.
    """

    class Config(HistoryConfig):
        """Settings."""

        edits: tuple[Literal["substitute"]] = ("substitute",)
        loss: LossName = "ce"
        candidates: int = Field(default=20, ge=1, description="substitutions that are scored per edit")
        finalists: int = Field(default=5, ge=1, description="best of them that the host compares by rank")

    config: Config
    gradient: ClassVar[bool] = True

    def rewrite(self, oracle: HistoryOracle, rng: Rng) -> Iterator[Tensor]:
        """The best histories after each substitution."""
        c = self.config
        climb = Climb(oracle, c.loss, c.finalists)
        for edit in range(int(oracle.budget().max())):
            slopes = oracle.slopes(climb.rows, c.loss)
            if slopes is None:
                raise PluginError("greedy-gradient needs a model with a gradient by the items of a history")
            places, items, _ = slopes.steepest(c.candidates, oracle.insertable(climb.rows))
            proposals = (
                (torch.where(place >= 0, SUBSTITUTE, -1), place, item)
                for place, item in zip(places.unbind(1), items.unbind(1), strict=True)
            )
            yield from climb.step(edit, proposals)
