"""Norms, projections and ascent steps for the rows of a perturbation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

Delta = Mapping[str, Tensor]
SAFE = 1e-10  # squaring a length between SAFE and 1 / SAFE neither underflows nor overflows
BallNorm = Literal["l2", "linf"]


def wide(value: Tensor, like: Tensor) -> Tensor:
    """Reshapes ``value`` [B] so that it broadcasts against ``like`` [B, ...]."""
    return value.reshape(-1, *[1] * (like.dim() - 1))


def scaled(delta: Delta, factor: Tensor) -> dict[str, Tensor]:
    """Returns ``delta`` with each row multiplied by its entry in ``factor`` [B]."""
    return {name: part * wide(factor, part) for name, part in delta.items()}


def l2(delta: Delta) -> Tensor:
    """Returns the Frobenius norm of each row, taken over all inputs: [B]."""
    lengths = [torch.linalg.vector_norm(part.flatten(1), dim=1) for part in delta.values()]
    length: Tensor = torch.linalg.vector_norm(torch.stack(lengths), dim=0) if len(lengths) > 1 else lengths[0]
    return length


def linf(delta: Delta) -> Tensor:
    """Returns the largest absolute entry of each row, taken over all inputs: [B]."""
    return torch.stack([part.flatten(1).abs().amax(1) for part in delta.values()]).amax(0)


def sizes(delta: Delta, norm: BallNorm) -> Tensor:
    """Returns the L2 or L∞ norm of each row, taken over all inputs: [B]."""
    return l2(delta) if norm == "l2" else linf(delta)


def masked(delta: Delta, valid: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns ``delta`` with zeros at the places that may not be perturbed.

    Args:
        delta: the perturbation of each input, float [B, ..., d].
        valid: the places that may be perturbed in each input, bool [B, ...].
    """
    return {name: part * valid[name].unsqueeze(-1) for name, part in delta.items()}


@dataclass(frozen=True)
class Ball:
    """The set of perturbations in which no row has a norm above its radius.

    Args:
        norm: the norm of a row: ``l2`` (the Frobenius norm over all inputs) or ``linf``.
        radius: the radius of each row, float [B], in the units of the embedding.
    """

    norm: BallNorm
    radius: Tensor

    @cached_property
    def _alike(self) -> float | None:
        """The radius that all rows share, or None if the radii differ.

        If there is such a radius, all rows can be clamped in one operation, which is faster.
        """
        same = len(self.radius) > 0 and bool((self.radius == self.radius[0]).all())
        return float(self.radius[0]) if same else None

    def project(self, delta: Delta) -> dict[str, Tensor]:
        """Returns ``delta`` projected onto the ball, by clamping (linf) or scaling (l2)."""
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
        # The smallest positive number prevents 0/0. A row inside the ball is multiplied by exactly 1.
        factor = torch.where(length > self.radius, self.radius / length.clamp_min(torch.finfo(length.dtype).tiny), 1.0)
        return scaled(delta, factor)

    def ascent(self, gradient: Delta) -> dict[str, Tensor]:
        """Returns the point of the ball that maximises a linear function.

        Let r be the radius. In linf, the point is r · sign(g) (Goodfellow et al., ICLR 2015, section 4). In l2, the
        point is r · g / ‖g‖₂, or 0 if g is 0.

        Args:
            gradient: the gradient g of the function for each input, [B, ...].
        """
        if self.norm == "linf":
            return scaled({name: part.sign() for name, part in gradient.items()}, self.radius)
        whole = l2(gradient)
        safe = (whole > SAFE) & (whole < 1 / SAFE)
        point = scaled(gradient, torch.where(safe, self.radius / whole, 0.0))
        if bool(safe.all()):
            return point
        # Division by the largest entry keeps the square of a tiny gradient from underflowing. Multiplication by the
        # reciprocal fails, because the reciprocal of a subnormal number is infinite.
        largest = linf(gradient)
        divisor = torch.where(largest > 0, largest, 1.0)
        unit = {n: p / wide(divisor, p) for n, p in gradient.items()}
        length = l2(unit)
        rest = scaled(unit, torch.where(length > 0, self.radius / length, 0.0))
        return {n: torch.where(wide(safe, p), point[n], p) for n, p in rest.items()}

    def step(self, delta: Delta, gradient: Delta, factor: float) -> dict[str, Tensor]:
        """Returns ``delta`` after one step of steepest ascent, projected onto the ball.

        Args:
            delta: the current perturbation of each input, [B, ...].
            gradient: the gradient of the objective for each input, [B, ...].
            factor: the length of the step as a share of the radius, at least 0.
        """
        if self.norm == "linf" and self._alike is not None:
            long, bound = factor * self._alike, self._alike
            return {n: part.add(gradient[n].sign(), alpha=long).clamp_(-bound, bound) for n, part in delta.items()}
        if self.norm == "linf":
            return self.project(added(delta, self.shrunk(factor).ascent(gradient)))
        size = l2(gradient)
        safe = (size > SAFE) & (size < 1 / SAFE)
        # Scaling and adding are one pass over memory, and the rest works in place. On small models, memory traffic
        # limits the speed of a step.
        share = torch.where(safe, self.radius / size, 0.0)
        moved = {n: torch.addcmul(part, gradient[n], wide(share, part), value=factor) for n, part in delta.items()}
        length = l2(moved)
        outside = length > self.radius
        if bool(outside.any()):
            back = torch.where(outside, self.radius / length, 1.0)
            for part in moved.values():
                part.mul_(wide(back, part))
        if bool(safe.all()):
            return moved
        # A row with an unsafe gradient does not change how the other rows are rounded.
        rest = self.project(added(delta, self.shrunk(factor).ascent(gradient)))
        return {n: torch.where(wide(safe, part), moved[n], rest[n]) for n, part in delta.items()}

    def copy(self) -> Ball:
        """Returns a ball with a copy of the radius, which the caller may overwrite."""
        return Ball(self.norm, self.radius.clone())

    def shrunk(self, factor: float) -> Ball:
        """Returns a ball with the radius multiplied by ``factor``."""
        return Ball(self.norm, self.radius * factor)


def added(first: Delta, second: Delta) -> dict[str, Tensor]:
    """Returns the sum of two perturbations, entry by entry."""
    return {name: part + second[name] for name, part in first.items()}
