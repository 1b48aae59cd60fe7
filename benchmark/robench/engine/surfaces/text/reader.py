"""Replaces the titles that a victim reads, for attacks on titles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robench.api.data import Catalogue, Interactions
from robench.api.models.base import Model
from robench.engine.attack.draws import Draws
from robench.engine.data.titles import TitleReader
from robench.engine.rank.chunk import EvaluationChunk, mask_known


@dataclass(frozen=True, eq=False)
class TextReader:
    """A victim that reads item titles, together with the users to evaluate.

    Args:
        model: the fitted model, which has the surface ``text``.
        history: the items that are known at test time, one row per real user.
        chunks: the chunks of all evaluated users, on the CPU.
        catalogue: the items with their genuine titles.
        draws: the random streams for a victim that draws random numbers at test time.
        clean: the function by which the defence changes titles, or None if titles do not change.
    """

    model: Model
    history: Interactions
    chunks: Sequence[EvaluationChunk]
    catalogue: Catalogue
    draws: Draws
    clean: TitleReader | None = None

    def read(self, title: str) -> str:
        """Returns the title that the model reads in place of ``title``."""
        return title if self.clean is None else self.clean(title)

    def victim(self, titles: Mapping[int, str]) -> Model:
        """Returns a view of the model in which some items have different titles.

        Only changed titles are encoded again.

        Args:
            titles: the titles, by the row of the item in the catalogue.
        """
        items = self.catalogue.items
        changed = {row: title for row, title in titles.items() if title != items[row].title}
        return self.model.rewritten({row: replace(items[row], title=self.read(t)) for row, t in changed.items()})

    def scores(self, victim: Model, chunk: EvaluationChunk) -> Tensor:
        """Returns the masked scores of a chunk of users, float [B, n_items]."""
        return mask_known(torch.from_numpy(victim.scores(chunk.users.numpy(), self.history)), chunk)
