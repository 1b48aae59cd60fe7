"""Provides the random streams in which the host and attacks score a victim."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from robench.api.rng import Rng

HOST_DRAWS = 16  # draws by which the host judges a victim that draws at test time


@dataclass
class Draws:
    """The random streams of a victim that draws at test time.

    A deterministic victim is scored once and needs no streams.

    The host scores every candidate in the same ``HOST_DRAWS`` streams, which no attack sees. Arrays for the record come
    from fresh streams. Otherwise the worst of many candidates would partly be luck with the draws that chose it. An
    attack scores ``expectation`` times, in its own stream, which continues from one evaluation to the next.

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

    A single tensor is returned unchanged.
    """
    return parts[0] if len(parts) == 1 else torch.stack(parts).mean(0)


def majority(parts: list[Tensor]) -> Tensor:
    """Returns a bool tensor that is true where at least half of these tensors are true."""
    return mean([part.float() for part in parts]) >= 0.5
