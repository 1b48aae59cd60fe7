"""The C&W attack, which searches for the smallest δ that reaches the goal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from robench.api import Delta, MinimumNormAttack, MinimumNormConfig, Oracle, Rng
from robench.api.attacks.ball import wide
from robench_plugins.attacks.embedding.best_iterate import select_rows
from robench_plugins.attacks.embedding.restarts import restart_rivals

TINY = 1e-12  # the smallest divisor
GROWTH = 10  # the factor by which c grows until δ breaks the user
NOISE = 0.5  # the length of a random start, as a share of the first-order distance


class CarliniWagner(MinimumNormAttack):
    """Searches for the smallest δ that removes the held-out item from the top k.

    C&W L2 (Carlini & Wagner, IEEE S&P 2017, section VI-A) minimises ‖δ‖² + c · f(δ) with Adam and finds c by binary
    search. Here f(δ) = max(s_y − s_(k), 0). The held-out item y has the score s_y, and its k-th best rival has the
    score s_(k). So f = 0 if y is out of the top k. This is f6 of the paper with the top k in place of the top 1, and
    without its confidence margin κ. Inputs are unbounded, so no change of variables is needed. With the goal
    ``promote``, δ instead moves a target into the top k.

    The first-order distance is the length of the smallest δ that reaches the goal if scores are linear in δ. Steps of
    Adam are multiples of it, so one learning rate fits every victim. All entries of a user share one second moment.
    With a second moment per entry, δ would grow in entries that hardly matter. (On an LSTM the median radius was then
    .029 instead of .021.) Each step of the binary search ends with a bisection that shortens the best δ. The bisection
    needs only forward passes. If the attack is untargeted and k = 1, each restart after the first moves one of the best
    rivals past the held-out item. This is the targeted form of the paper. Otherwise, these restarts start from noise.
    """

    class Config(MinimumNormConfig):
        """Settings of the C&W attack."""

        norm: Literal["l2"] = "l2"
        steps: int = Field(default=60, ge=1, description="Adam steps per value of c")
        search: int = Field(default=5, ge=1, description="Values of c that the binary search tries per restart")
        learning_rate: float = Field(
            default=0.05, gt=0, description="Length of a step of Adam, in multiples of twice the first-order distance"
        )
        restarts: int = Field(default=1, ge=1, description="Starting points, the first of which is δ = 0")
        refine: int = Field(default=8, ge=0, description="Bisection steps that shorten the best δ, per value of c")

    config: Config
    gradient: ClassVar[bool] = True

    def minimise(self, oracle: Oracle, rng: Rng) -> Iterator[Delta]:
        """Yields each user's shortest breaking δ, for every restart and weight c.

        Every candidate is a δ of shape [B, ...] per input. It is 0 for a user that no iterate breaks.
        """
        rivals = restart_rivals(oracle, self.config)
        for restart in range(self.config.restarts):
            rival = rivals[restart - 1] if 0 < restart <= len(rivals) else None
            noise = oracle.normal(rng.child("start", restart)) if restart and rival is None else oracle.zero()
            yield from self._search(oracle, noise, rival)

    def _search(self, oracle: Oracle, noise: Delta, rival: Tensor | None) -> Iterator[Delta]:
        """Yields the shortest breaking δ for every weight c of the binary search.

        Each user has a separate c.

        Args:
            oracle: the oracle that answers queries about the users to break.
            noise: the direction of the starting point, [B, ...] per input. If it is 0, the search starts from δ = 0.
            rival: the item that should pass the held-out item, int64 [B], or None for the k-th best rival.
        """
        origin = oracle.gradient(oracle.zero(), "margin", rival)
        assert origin.gradient is not None  # gradient() always returns a gradient
        slope = _length(origin.gradient).clamp_min(TINY)
        margin = (-origin.loss).clamp_min(TINY)
        distance = margin / slope  # This is exact for linear scores. It sets the scale of c and of the steps.
        c = 2 * distance / slope
        low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
        share = NOISE * distance / _length(noise).clamp_min(TINY)
        start = {name: part * wide(share, part) for name, part in noise.items()}
        for _ in range(self.config.search):
            best, length = self._descend(oracle, start, c, distance, rival)
            broken = length < torch.inf
            yield self._shorten(oracle, best, broken)
            high, low = torch.where(broken, c, high), torch.where(broken, low, c)
            c = torch.where(high < torch.inf, (low + high) / 2, c * GROWTH)

    def _descend(
        self, oracle: Oracle, start: Delta, c: Tensor, distance: Tensor, rival: Tensor | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Minimises ‖δ‖² + c · max(s_y − s_(k), 0) with Adam.

        ``CarliniWagner`` defines the symbols.

        Args:
            oracle: the oracle that answers queries about the users to break.
            start: the first iterate, [B, ...] per input.
            c: the weight of the margin, float [B].
            distance: the first-order distance to the boundary, float [B].
            rival: the item that should pass the held-out item, int64 [B], or None for the k-th best rival.

        Returns:
            The shortest iterate that breaks each user, and its length, float [B]. The length is ∞ if no iterate breaks
            the user.
        """
        delta = {name: part.clone() for name, part in start.items()}
        first = {name: torch.zeros_like(part) for name, part in delta.items()}
        second = torch.zeros_like(c)
        best, best_length = oracle.zero(), torch.full_like(c, torch.inf)
        entries = oracle.lengths().sqrt()
        rate = self.config.learning_rate * distance / entries * 2
        for step in range(1, self.config.steps + 1):
            evaluation = oracle.gradient(delta, "margin", rival)
            gradient = evaluation.gradient
            assert gradient is not None  # gradient() always returns a gradient
            length = _length(delta)
            better = evaluation.broken & (length < best_length)
            best_length = torch.where(better, length, best_length)
            best = select_rows(better, delta, best)
            weight = (evaluation.loss < 0).to(c) * c  # f has no slope beyond the boundary
            slope = {name: 2 * part - wide(weight, part) * gradient[name] for name, part in delta.items()}
            # Adam with its usual β₁ = 0.9 and β₂ = 0.999.
            second = 0.999 * second + 0.001 * (_length(slope) / entries).square()
            scale = rate / ((second / (1 - 0.999**step)).sqrt() + TINY)
            for name, part in delta.items():
                first[name] = 0.9 * first[name] + 0.1 * slope[name]
                delta[name] = part - wide(scale, part) * first[name] / (1 - 0.9**step)
        return best, best_length

    def _shorten(self, oracle: Oracle, delta: Delta, broken: Tensor) -> dict[str, Tensor]:
        """Shortens each user's δ by bisection, as long as δ still breaks the user.

        Args:
            oracle: the oracle that answers queries about the users to break.
            delta: a δ that breaks every user in ``broken``, [B, ...] per input.
            broken: the users that δ breaks, bool [B].

        Returns:
            The shortened δ, [B, ...] per input, which is 0 for users that are not in ``broken``.
        """
        inside, outside = torch.zeros_like(broken, dtype=torch.float32), broken.float()
        for _ in range(self.config.refine):
            middle = (inside + outside) / 2
            still_broken = oracle.evaluate({n: p * wide(middle, p) for n, p in delta.items()}, "margin").broken
            outside, inside = torch.where(still_broken, middle, outside), torch.where(still_broken, inside, middle)
        return {name: part * wide(outside, part) for name, part in delta.items()}


def _length(delta: Delta) -> Tensor:
    """Returns the L2 norm of every row over all inputs: float [B]."""
    return torch.stack([part.flatten(1).square().sum(1) for part in delta.values()]).sum(0).sqrt()
