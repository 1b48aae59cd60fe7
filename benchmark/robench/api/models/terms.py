"""The terms of a training loss, one per observed interaction and per negative."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Terms(NamedTuple):
    """The terms of the loss of N observed interactions.

    A positive term is −ln p, where p is the probability that the model gives the observed item. A negative term is
    −ln(1 − q), where q is the probability that the model gives a sampled item. The loss of an interaction is its
    positive term plus its negative terms.

    Args:
        positive: the term of each observed interaction, float [N].
        negative: the terms of the n sampled items of each interaction, float [N, n]. Without a binary loss, n is 0.
    """

    positive: Tensor
    negative: Tensor

    @classmethod
    def of_positives(cls, values: Tensor) -> Terms:
        """Returns terms without negatives, float [N] and [N, 0]."""
        return cls(values, values.new_empty(len(values), 0))
