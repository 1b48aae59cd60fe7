"""An attack that substitutes items of a history greedily, along the gradient."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from pydantic import Field

from robench.api import HistoryAttack, HistoryConfig, HistoryOracle, LossName, PluginError, Rng
from robench.api.attacks.history import SUBSTITUTE
from robench_plugins.attacks.history.greedy_search import HistorySearch

if TYPE_CHECKING:
    from torch import Tensor


class GreedyGradient(HistoryAttack):
    """Makes one substitution at a time, chosen by gradient and then by score.

    If item j replaces item i at a position, the loss changes by about ⟨g, v_j − v_i⟩. Here v_i and v_j are the vectors
    of the items, and g is the gradient with respect to the vector at this position. This is the estimate of HotFlip
    (Ebrahimi et al., ACL 2018, eq. 3 and 4). The attack scores the ``candidates`` pairs of position and item with the
    highest estimates. The best pair is applied if it raises the loss, and the gradient is then computed again.

    The attacks of Yue et al. have the same form (RecSys 2021, section 3.3; RecSys 2022, algorithm 1) but use a
    different first-order rule. Those attacks rank the positions by the norm of a single gradient. They rank the items
    for a position by the cosine with e + sign(g), where e is the vector at the position. This attack verifies the best
    pairs by scoring too. The limit of Yue et al. on the cosine between an item and its substitute is not part of this
    threat model.
    """

    class Config(HistoryConfig):
        """Settings of the greedy substitutions."""

        edits: tuple[Literal["substitute"]] = ("substitute",)
        loss: LossName = Field(default="ce", description="Loss that every substitution increases")
        candidates: int = Field(default=20, ge=1, description="Substitutions that are scored per edit")
        finalists: int = Field(
            default=5, ge=1, description="Best substitutions per step that the host compares by rank"
        )

    config: Config
    gradient: ClassVar[bool] = True

    def rewrite(self, oracle: HistoryOracle, rng: Rng) -> Iterator[Tensor]:
        """Yields the histories after the best substitutions, int64 [B, any L] each.

        Raises:
            PluginError: if the model offers no gradient with respect to the items of a history.
        """
        c = self.config
        search = HistorySearch(oracle, c.loss, c.finalists)
        for edit in range(int(oracle.budget().max())):
            slopes = oracle.slopes(search.rows, c.loss)
            if slopes is None:
                raise PluginError("greedy-gradient needs a model with gradients with respect to the items of a history")
            positions, items, _ = slopes.steepest(c.candidates, oracle.insertable(search.rows))
            proposals = (
                (torch.where(position >= 0, SUBSTITUTE, -1), position, item)
                for position, item in zip(positions.unbind(1), items.unbind(1), strict=True)
            )
            yield from search.step(edit, proposals)
