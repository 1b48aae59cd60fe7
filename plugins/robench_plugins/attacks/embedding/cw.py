"""Carlini & Wagner: the least perturbation that pushes the held-out item out of the top k."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from robench.api import Delta, MinimumNormAttack, MinimumNormConfig, Oracle, Rng
from robench.api.attacks.ball import wide
from robench_plugins.attacks.embedding.steps import aims


class CarliniWagner(MinimumNormAttack):
    """C&W L2 (Carlini & Wagner, IEEE S&P 2017, section VI-A): minimise ‖δ‖² + c · f(δ) with Adam, binary search over c.

    f(δ) = max(s_y − s_(k), 0) with s_(k) the k-th best competitor, so f = 0 where y is out of the top k (their f6,
    with the top k in place of the top 1, and without a margin beyond, their κ). Inputs are unbounded, so no change of
    variables is needed. Adam's steps are measured in the distance that a first-order look at the margin suggests, so
    one learning rate fits every victim; its second moment is shared by all entries of a user, as the distance is: per
    entry it would spend length on entries that hardly matter (measured on an LSTM: median radius .029 against .021).
    Each outer step ends with halvings along the ray of the best δ, which cost forward passes only. Further restarts
    aim at the best rivals in turn where k = 1 (the paper's targeted form), else start from noise.
    """

    class Config(MinimumNormConfig):
        """Settings; ``search`` outer steps over c of ``steps`` Adam steps each."""

        norm: Literal["l2"] = "l2"
        steps: int = Field(default=60, ge=1)
        search: int = Field(default=5, ge=1)
        learning_rate: float = Field(
            default=0.05, gt=0, description="Adam's step, as a share of the guessed distance per entry, times two"
        )
        restarts: int = Field(default=1, ge=1)
        refine: int = Field(default=8, ge=0, description="halvings of the ray at the end of each outer step")

    config: Config
    gradient: ClassVar[bool] = True

    def minimise(self, oracle: Oracle, rng: Rng) -> Iterator[Delta]:
        """For every restart and c: the shortest breaking δ per user, pulled in along its ray."""
        rivals = aims(oracle, self.config)
        for restart in range(self.config.restarts):
            rival = rivals[restart - 1] if 0 < restart <= len(rivals) else None
            noise = oracle.normal(rng.child("start", restart)) if restart and rival is None else oracle.zero()
            yield from self._searched(oracle, noise, rival)

    def _searched(self, oracle: Oracle, noise: Delta, rival: Tensor | None) -> Iterator[Delta]:
        """Binary search over c, per user, around a first-order guess of the distance."""
        first = oracle.gradient(oracle.zero(), "margin", rival)
        assert first.gradient is not None  # gradient() always gives one
        slope = _length(first.gradient).clamp_min(1e-12)
        margin = (-first.loss).clamp_min(1e-12)
        guess = margin / slope  # the distance if scores were linear: sets the scale of steps and of c
        weight = 2 * guess / slope
        low, high = torch.zeros_like(weight), torch.full_like(weight, torch.inf)
        share = 0.5 * guess / _length(noise).clamp_min(1e-12)
        begin = {name: part * wide(share, part) for name, part in noise.items()}
        for _ in range(self.config.search):
            best, length = self._descend(oracle, begin, weight, guess, rival)
            broken = length < torch.inf
            yield self._pulled_in(oracle, best, broken)
            high, low = torch.where(broken, weight, high), torch.where(broken, low, weight)
            weight = torch.where(high < torch.inf, (low + high) / 2, weight * 10)

    def _descend(
        self, oracle: Oracle, begin: Delta, weight: Tensor, guess: Tensor, rival: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Adam on ‖δ‖² + c · max(s_y − s_(k), 0); returns the shortest breaking iterate and its length."""
        delta = {name: part.clone() for name, part in begin.items()}
        first = {name: torch.zeros_like(part) for name, part in delta.items()}
        second = torch.zeros_like(weight)
        best, length = oracle.zero(), torch.full_like(weight, torch.inf)
        entries = oracle.lengths().sqrt()
        rate = self.config.learning_rate * guess / entries * 2
        for step in range(1, self.config.steps + 1):
            seen = oracle.gradient(delta, "margin", rival)
            loss, broken, gradient = seen.loss, seen.broken, seen.gradient
            assert gradient is not None  # gradient() always gives one
            size = _length(delta)
            better = broken & (size < length)
            length = torch.where(better, size, length)
            active = (loss < 0).to(weight) * weight
            best = {name: torch.where(wide(better, part), part, best[name]) for name, part in delta.items()}
            slope = {name: 2 * part - wide(active, part) * gradient[name] for name, part in delta.items()}
            second = 0.999 * second + 0.001 * (_length(slope) / entries).square()
            scale = rate / ((second / (1 - 0.999**step)).sqrt() + 1e-12)
            for name, part in delta.items():
                first[name] = 0.9 * first[name] + 0.1 * slope[name]
                delta[name] = part - wide(scale, part) * first[name] / (1 - 0.9**step)
        return best, length

    def _pulled_in(self, oracle: Oracle, delta: Delta, broken: Tensor) -> dict[str, Tensor]:
        """The shortest breaking point on the ray from 0 to δ, by halving; δ itself breaks."""
        inside, outside = torch.zeros_like(broken, dtype=torch.float32), broken.float()
        for _ in range(self.config.refine):
            middle = (inside + outside) / 2
            fell = oracle.evaluate({n: p * wide(middle, p) for n, p in delta.items()}, "margin").broken
            outside, inside = torch.where(fell, middle, outside), torch.where(fell, inside, middle)
        return {name: part * wide(outside, part) for name, part in delta.items()}


def _length(delta: Delta) -> Tensor:
    return torch.stack([part.flatten(1).square().sum(1) for part in delta.values()]).sum(0).sqrt()
