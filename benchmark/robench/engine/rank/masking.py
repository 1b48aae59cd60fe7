"""Masking a chunk's known items at every look of an attack, cheaply on the way forth and back."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robench.engine.rank.ranking import EvaluationChunk, mask_known


class Mask:
    """``mask_known`` for many looks at the same users: from the second on, 0 or −inf is added to the scores.

    The gradient of an addition needs no copy. It also flows to the scores of masked items, which get none of any loss
    but a margin that meets one: where a user has fewer than ``others`` unmasked items, ``mask_known`` does it all.

    Args:
        questions: of these users.
        others: how many items a loss may look at besides the masked ones.
    """

    def __init__(self, chunk: EvaluationChunk, others: int) -> None:
        self.chunk, self.others = chunk, others
        self._added: Tensor | None = None
        self._scarce, self._any = False, len(chunk.masked[0]) > 0

    def __call__(self, raw: Tensor) -> Tensor:
        """Scores float [B, n_items], −inf at the known items; differentiable.

        Raises:
            PluginError: a score is not finite.
        """
        # A sum is finite only if every term is; it may also overflow, so mask_known has the last word.
        if self._added is not None and math.isfinite(float(raw.detach().sum())):
            return raw + self._added if self._any else raw
        scores = mask_known(raw, self.chunk)
        if self._added is None and not self._scarce:
            known = scores.detach() == -torch.inf
            self._scarce = int((~known).sum(1).min()) < self.others
            if not self._scarce:
                self._added = torch.zeros_like(scores.detach()).masked_fill_(known, -torch.inf)
        return scores
