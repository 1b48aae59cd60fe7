"""Perturbations of embedded inputs: their norms, projections and steepest-ascent steps, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

Delta = Mapping[str, Tensor]
SAFE = 1e-10  # lengths from here to 1 / SAFE: no entry that counts is lost when it is squared
BallNorm = Literal["l2", "linf"]


def wide(value: Tensor, like: Tensor) -> Tensor:
    """[B] with as many axes as ``like`` [B, ...]."""
    return value.reshape(-1, *[1] * (like.dim() - 1))


def scaled(delta: Delta, factor: Tensor) -> dict[str, Tensor]:
    """``delta`` times a factor per row. Args: delta [B, ...] each; factor [B]."""
    return {name: part * wide(factor, part) for name, part in delta.items()}


def l2(delta: Delta) -> Tensor:
    """Frobenius norm over all inputs of a row: [B]."""
    lengths = [torch.linalg.vector_norm(part.flatten(1), dim=1) for part in delta.values()]
    found: Tensor = torch.linalg.vector_norm(torch.stack(lengths), dim=0) if len(lengths) > 1 else lengths[0]
    return found


def linf(delta: Delta) -> Tensor:
    """Largest absolute entry over all inputs of a row: [B]."""
    return torch.stack([part.flatten(1).abs().amax(1) for part in delta.values()]).amax(0)


def sizes(delta: Delta, norm: BallNorm) -> Tensor:
    """The norm of each row: [B]."""
    return l2(delta) if norm == "l2" else linf(delta)


def masked(delta: Delta, valid: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``delta`` with zeros where an input may not be touched. Args: valid[name] bool [B, ...] without the last axis."""
    return {name: part * valid[name].unsqueeze(-1) for name, part in delta.items()}


@dataclass(frozen=True)
class Ball:
    """All δ of norm at most ``radius`` per row.

    Args:
        norm: ``l2`` (Frobenius over the row's inputs) or ``linf``.
        radius: [B], in the units of the embedding.
    """

    norm: BallNorm
    radius: Tensor

    @cached_property
    def _alike(self) -> float | None:
        """The radius where all rows have the same: clamping to a plain number is several times faster."""
        same = len(self.radius) > 0 and bool((self.radius == self.radius[0]).all())
        return float(self.radius[0]) if same else None

    def project(self, delta: Delta) -> dict[str, Tensor]:
        """The nearest point of the ball: clamped (linf), or scaled back where too long (l2)."""
        if self.norm == "linf":
            if self._alike is not None:
                return {name: part.clamp(-self._alike, self._alike) for name, part in delta.items()}
            return {
                name: torch.minimum(torch.maximum(part, -bound), bound)
                for name, part in delta.items()
                for bound in [wide(self.radius, part)]
            }
        length = l2(delta)
        if bool((length <= self.radius).all()):
            return dict(delta)
        # The smallest positive number guards 0/0; a row inside the ball is multiplied by exactly 1.
        factor = torch.where(length > self.radius, self.radius / length.clamp_min(torch.finfo(length.dtype).tiny), 1.0)
        return scaled(delta, factor)

    def ascent(self, gradient: Delta) -> dict[str, Tensor]:
        """The point of the ball that a linear function with this gradient likes best; 0 where the gradient is 0.

        linf: r · sign(g) (Goodfellow 2015, section 4); l2: r · g / ‖g‖₂.
        """
        if self.norm == "linf":
            return scaled({name: part.sign() for name, part in gradient.items()}, self.radius)
        whole = l2(gradient)
        safe = (whole > SAFE) & (whole < 1 / SAFE)
        found = scaled(gradient, torch.where(safe, self.radius / whole, 0.0))
        if bool(safe.all()):
            return found
        # Dividing by the largest entry first keeps the square of a tiny gradient from underflowing. It is divided, as
        # the reciprocal of a subnormal number is infinite.
        largest = linf(gradient)
        divisor = torch.where(largest > 0, largest, 1.0)
        unit = {n: p / wide(divisor, p) for n, p in gradient.items()}
        length = l2(unit)
        rest = scaled(unit, torch.where(length > 0, self.radius / length, 0.0))
        return {n: torch.where(wide(safe, p), found[n], p) for n, p in rest.items()}

    def step(self, delta: Delta, gradient: Delta, factor: float) -> dict[str, Tensor]:
        """δ after a step of ``factor`` times the radius along ``ascent``, projected; δ itself is left as it is.

        Args:
            delta, gradient: [B, ...] each.
            factor: share of the radius, from 0.
        """
        if self.norm == "linf" and self._alike is not None:
            long, bound = factor * self._alike, self._alike
            return {n: part.add(gradient[n].sign(), alpha=long).clamp_(-bound, bound) for n, part in delta.items()}
        size = l2(gradient)
        safe = len(size) > 0 and float(size.min()) > SAFE and float(size.max()) < 1 / SAFE
        if self.norm == "linf" or not safe:
            return self.project(added(delta, self.shrunk(factor).ascent(gradient)))
        # One pass for scaling and adding, the other in place: on small models memory traffic is what a step costs.
        share = self.radius / size
        moved = {n: torch.addcmul(part, gradient[n], wide(share, part), value=factor) for n, part in delta.items()}
        length = l2(moved)
        outside = length > self.radius
        if bool(outside.any()):
            back = torch.where(outside, self.radius / length, 1.0)
            for part in moved.values():
                part.mul_(wide(back, part))
        return moved

    def copy(self) -> Ball:
        """The same ball with a radius of its own: whoever writes in it changes no other."""
        return Ball(self.norm, self.radius.clone())

    def shrunk(self, factor: float) -> Ball:
        """The ball with ``factor`` times the radius."""
        return Ball(self.norm, self.radius * factor)


def added(first: Delta, second: Delta) -> dict[str, Tensor]:
    """Entry by entry."""
    return {name: part + second[name] for name, part in first.items()}
