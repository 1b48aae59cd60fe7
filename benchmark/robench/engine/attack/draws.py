"""Provides random streams for victims that draw random numbers at test time.

The host and the attacks compute scores with separate streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.api.rng import Rng

HOST_DRAWS = 16  # the number of scorings per judgement, for a victim that draws random numbers at test time


@dataclass
class Draws:
    """The random streams for a victim that draws random numbers at test time.

    A deterministic victim is scored once and needs no streams.

    The host scores every candidate with the same ``HOST_DRAWS`` streams, which no attack sees. The stored arrays come
    from fresh streams. Otherwise, the draws that selected the worst candidate would bias the stored result. An
    evaluation by the attack uses ``expectation`` further streams. No two evaluations with the same ``Draws`` object use
    the same stream. The surface ``text`` is an exception, because evaluations by the attack use the host's streams
    there.

    Args:
        host_rng: the root of the host's streams.
        attack_rng: the root of the attack's streams.
        stochastic: whether the victim draws random numbers at test time.
        expectation: the number of scorings over which an evaluation by the attack averages.
        used: the number of streams that the attack has used so far.
    """

    host_rng: Rng
    attack_rng: Rng
    stochastic: bool = False
    expectation: int = 1
    used: int = 0

    def host(self, *, last: bool = False) -> Iterator[AbstractContextManager[None]]:
        """Yields one context per scoring by the host.

        In a context, random numbers come from the stream of this scoring. A deterministic victim gets one context
        without a stream.

        Args:
            last: whether to use the fresh streams for stored arrays.
        """
        role = "last" if last else "host"
        for draw in range(HOST_DRAWS if self.stochastic else 1):
            yield self.host_rng.child(role, draw).stream() if self.stochastic else nullcontext()

    def attack(self) -> Iterator[AbstractContextManager[None]]:
        """Yields one context per scoring of one evaluation by the attack.

        In a context, random numbers come from the stream of this scoring. A deterministic victim gets one context
        without a stream.
        """
        for _ in range(self.expectation if self.stochastic else 1):
            self.used += 1
            yield self.attack_rng.child("attack", self.used).stream() if self.stochastic else nullcontext()


def mean(parts: list[Tensor]) -> Tensor:
    """Returns the entry-wise mean of tensors of the same shape.

    A single tensor is returned without a copy.
    """
    return parts[0] if len(parts) == 1 else torch.stack(parts).mean(0)


def majority(parts: list[Tensor]) -> Tensor:
    """Returns whether each entry is true in at least half of the bool tensors."""
    return mean([part.float() for part in parts]) >= 0.5
