"""Masks the known items of a chunk, for many queries about the same users."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robench.engine.rank.chunk import EvaluationChunk, mask_known


class Mask:
    """A faster version of ``mask_known``, for many queries about the same users.

    From the third query on, 0 or −inf is added to each score. This addition is faster than ``mask_known`` in the
    forward pass, and the backward pass needs no copy of the gradient. The numbers are prepared in the second query, so
    a chunk with only one query needs no memory for them.

    The gradient of an addition also flows to the scores of masked items. No loss depends on these scores, except for a
    margin that compares with a masked item. Therefore, ``mask_known`` is used if a user has fewer than ``others``
    unmasked items.

    Args:
        chunk: the chunk of these users.
        others: the maximum number of unmasked items on which a margin depends.
    """

    def __init__(self, chunk: EvaluationChunk, others: int) -> None:
        self.chunk, self.others = chunk, others
        self._added: Tensor | None = None
        self._queries = 0
        self._scarce, self._any = False, len(chunk.masked[0]) > 0

    def __call__(self, raw: Tensor) -> Tensor:
        """Returns ``raw`` [B, n_items] with −inf at the known items.

        The result is differentiable.

        Raises:
            PluginError: if a score is not finite.
        """
        # A sum is finite only if every term is finite. A sum may also overflow, so mask_known decides.
        if self._added is not None and math.isfinite(float(raw.detach().sum())):
            return raw + self._added if self._any else raw
        scores = mask_known(raw, self.chunk)
        self._queries += 1
        if self._added is None and not self._scarce and self._queries > 1:
            known = scores.detach() == -torch.inf
            self._scarce = int((~known).sum(1).min()) < self.others
            if not self._scarce:
                self._added = torch.zeros_like(scores.detach()).masked_fill_(known, -torch.inf)
        return scores
