"""Masks a chunk's known items, for many queries about the same users."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robench.engine.rank.chunk import EvaluationChunk, mask_known


class Mask:
    """A faster version of ``mask_known``, for many queries about the same users.

    From the second query on, a mask adds 0 or −inf to the scores. This addition is faster in the forward pass. In the
    backward pass, the gradient needs no copy.

    This gradient also flows to the scores of masked items. No loss depends on these scores, except for a margin that
    reaches a masked item. Therefore ``mask_known`` is used if a user has fewer than ``others`` unmasked items.

    Args:
        chunk: the chunk of these users.
        others: the number of unmasked items that a loss may depend on.
    """

    def __init__(self, chunk: EvaluationChunk, others: int) -> None:
        self.chunk, self.others = chunk, others
        self._added: Tensor | None = None
        self._scarce, self._any = False, len(chunk.masked[0]) > 0

    def __call__(self, raw: Tensor) -> Tensor:
        """Returns the scores, float [B, n_items], with −inf at the known items.

        The result is differentiable.

        Raises:
            PluginError: if a score is not finite.
        """
        # A sum is finite only if every term is finite. A sum may also overflow, so mask_known decides.
        if self._added is not None and math.isfinite(float(raw.detach().sum())):
            return raw + self._added if self._any else raw
        scores = mask_known(raw, self.chunk)
        if self._added is None and not self._scarce:
            known = scores.detach() == -torch.inf
            self._scarce = int((~known).sum(1).min()) < self.others
            if not self._scarce:
                self._added = torch.zeros_like(scores.detach()).masked_fill_(known, -torch.inf)
        return scores
