"""Provides random streams for a victim that draws random numbers at test time.

The host and the attacks score the victim in these streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.api.rng import Rng

HOST_DRAWS = 16  # the host's draws per judgement of a victim that draws at test time


@dataclass
class Draws:
    """The random streams for a victim that draws random numbers at test time.

    A deterministic victim is scored once and needs no streams.

    The host scores every candidate in the same ``HOST_DRAWS`` streams, which no attack sees. Arrays for the record come
    from fresh streams. Otherwise, the draws that selected the worst candidate would bias the stored result. An attack
    scores ``expectation`` times in a separate stream. This stream continues from one evaluation to the next.

    Args:
        host_rng: the root of the host's streams.
        attack_rng: the root of the attack's streams.
        stochastic: whether the victim draws at test time.
        expectation: the number of draws per evaluation of the attack.
        used: the number of draws that the attack has used so far.
    """

    host_rng: Rng
    attack_rng: Rng
    stochastic: bool = False
    expectation: int = 1
    used: int = 0

    def host(self, *, last: bool = False) -> Iterator[AbstractContextManager[None]]:
        """Yields one context for each draw of the host.

        Args:
            last: whether to use fresh streams, for arrays to be stored.
        """
        role = "last" if last else "host"
        for draw in range(HOST_DRAWS if self.stochastic else 1):
            yield self.host_rng.child(role, draw).stream() if self.stochastic else nullcontext()

    def attack(self) -> Iterator[AbstractContextManager[None]]:
        """Yields one context for each draw of one evaluation of the attack."""
        for _ in range(self.expectation if self.stochastic else 1):
            self.used += 1
            yield self.attack_rng.child("attack", self.used).stream() if self.stochastic else nullcontext()


def mean(parts: list[Tensor]) -> Tensor:
    """Returns the mean of tensors of equal shape.

    A single tensor is not copied.
    """
    return parts[0] if len(parts) == 1 else torch.stack(parts).mean(0)


def majority(parts: list[Tensor]) -> Tensor:
    """Returns whether each entry is true in at least half of some bool tensors."""
    return mean([part.float() for part in parts]) >= 0.5
