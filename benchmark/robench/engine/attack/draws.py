"""The host's side of an attack: it owns the loss and counts every query. Here of embedded inputs; in ``histories`` of
histories.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from robench.api.attacks.ball import Delta
from robench.api.rng import Rng
from robench.engine.attack.costs import Diagnosis
from robench.engine.attack.goal import Goal

Input = TypeVar("Input")  # what an attack perturbs, one row per user
LOOKS = 16  # draws by which the host judges a victim that draws at test time


@dataclass
class Draws:
    """Streams for a victim that draws at test time; a victim that does not runs as it is.

    The host looks ``LOOKS`` times, from streams that no attack sees and that are the same for every candidate; what is
    stored comes from fresh ones, as the worst of many candidates is partly luck with the draws that chose it. An attack
    looks ``expectation`` times, from a stream of its own that goes on with every look.

    Args:
        rng: the host's.
        asked: for the looks of attacks.
    """

    rng: Rng
    asked: Rng
    stochastic: bool = False
    expectation: int = 1
    used: int = 0

    def host(self, *, last: bool = False) -> Iterator[AbstractContextManager[None]]:
        """A context per look of the host's; ``last``: for what is stored."""
        role = "last" if last else "host"
        for draw in range(LOOKS if self.stochastic else 1):
            yield self.rng.child(role, draw).stream() if self.stochastic else nullcontext()

    def attack(self) -> Iterator[AbstractContextManager[None]]:
        """A context per draw of one look of the attack's."""
        for _ in range(self.expectation if self.stochastic else 1):
            self.used += 1
            yield self.asked.child("attack", self.used).stream() if self.stochastic else nullcontext()


def mean(parts: list[Tensor]) -> Tensor:
    """Of equally shaped tensors; a single one as it is."""
    return parts[0] if len(parts) == 1 else torch.stack(parts).mean(0)


def mostly(parts: list[Tensor]) -> Tensor:
    """Where at least half of equally shaped tensors (bool) are true."""
    return mean([part.float() for part in parts]) >= 0.5


def mean_look(goal: Goal, looks: Iterable[Tensor], damage_of: Callable[[Tensor], Tensor] | None = None) -> Judgement:
    """Damage, ``ce`` and broken of an aim over several looks at the same masked scores; ``goal.damage`` by default."""
    measured = damage_of or goal.damage
    found = [(measured(scores), goal.loss(scores, "ce"), goal.broken(scores)) for scores in looks]
    damage, loss, broken = zip(*found, strict=True)
    return Judgement(mean(list(damage)), mean(list(loss)), mostly(list(broken)))


def gradient_of(value: Tensor, leaves: Delta) -> dict[str, Tensor]:
    """d (sum of ``value``) / d leaf; zero where nothing leads there."""
    parts = list(leaves.values())
    found: Sequence[Tensor | None] = [None] * len(parts)
    if value.requires_grad:
        found = torch.autograd.grad(value, parts, torch.ones_like(value), allow_unused=True)
    return {name: torch.zeros_like(leaves[name]) if g is None else g for name, g in zip(leaves, found, strict=True)}


def finite(gradient: Delta) -> dict[str, Tensor]:
    """Zero where it is not finite."""
    # A sum is finite only if every term is, and needs no copy.
    return {
        name: part if math.isfinite(float(part.sum())) else torch.nan_to_num(part, nan=0.0, posinf=0.0, neginf=0.0)
        for name, part in gradient.items()
    }


def diagnose(diagnosis: Diagnosis, size: Tensor) -> None:
    """Note the largest entries [n] of gradients."""
    diagnosis.judged += len(size)
    diagnosis.non_finite += int((~torch.isfinite(size)).sum())
    diagnosis.zero += int((size == 0).sum())


class Judgement(NamedTuple):
    """What the host sees of a candidate: ``damage`` float64 [B], the loss ``ce`` [B], ``broken`` bool [B]."""

    damage: Tensor
    loss: Tensor
    broken: Tensor
