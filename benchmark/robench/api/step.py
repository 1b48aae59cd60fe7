"""One training step, as a training-time defence sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from robench.api.delta import Ball, BallNorm, Delta, added, masked, sizes
from robench.api.rng import Rng
from robench.api.torch_model import Batch, Embedded, Losses, TorchModel

Inner = Literal["fgsm", "pgd"]
Objective = Callable[[Embedded], Tensor]


class Step:
    """A batch on its way through the model.

    Every pass re-enters the same stream, so clean and perturbed passes see the same dropout, and none of them
    advances the training stream.

    Args:
        model: the model in training.
        batch: this step's batch.
        epoch: from 0.
        progress: share of all planned epochs that is done, in [0, 1).
        rng: this step's own stream.
    """

    def __init__(self, model: TorchModel, batch: Batch, epoch: int, progress: float, rng: Rng) -> None:
        self.model, self.batch, self.epoch, self.progress, self.rng = model, batch, epoch, progress, rng
        self.achieved: dict[str, float] = {}

    def embed(self) -> Embedded:
        """The batch's embedded inputs."""
        with self.rng.child("embed").stream():
            return self.model.embed(self.batch)

    def losses(self, e: Embedded) -> Losses:
        """The model's own loss per target on (perturbed) inputs."""
        with self.rng.child("dropout").stream():
            return self.model.loss_from(self.batch, e)

    def margins(self, e: Embedded) -> Losses:
        """s_y − s_neg per target on (perturbed) inputs."""
        with self.rng.child("dropout").stream():
            return self.model.margins_from(self.batch, e)

    def accumulate(self, loss: Tensor, e: Embedded) -> dict[str, Tensor]:
        """Backpropagate ``loss`` into the parameters now, and return its gradient by the inputs ``e``.

        One backward pass serves the optimiser and the inner attack. The graph of ``e`` is freed: embed again.
        """
        for part in e.inputs.values():
            part.retain_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for backward
        return {name: torch.zeros_like(part) if part.grad is None else part.grad for name, part in e.inputs.items()}

    def gradient(self, e: Embedded, objective: Objective) -> dict[str, Tensor]:
        """Gradient of ``objective`` by the inputs; no parameter's gradient is touched."""
        leaves = {name: part.detach().requires_grad_() for name, part in e.inputs.items()}
        moved = Embedded(leaves, e.valid, e.context)
        found = torch.autograd.grad(objective(moved), list(leaves.values()), allow_unused=True, retain_graph=True)
        pairs = zip(leaves.items(), found, strict=True)
        return {name: torch.zeros_like(leaf) if g is None else g for (name, leaf), g in pairs}

    def ball(self, e: Embedded, epsilon: float | Tensor, norm: BallNorm) -> Ball:
        """The budget ε relative to this batch's RMS (detached): r = ε·RMS (linf), ε·RMS·√(d·n_valid) (l2)."""
        entries = e.sizes()
        rms = (e.square_sum().sum() / entries.sum()).sqrt().float().detach()
        radius = torch.ones_like(entries) if norm == "linf" else entries.sqrt()
        return Ball(norm, epsilon * rms * radius)

    def perturb(
        self,
        e: Embedded,
        *,
        inner: Inner,
        epsilon: float | Tensor,
        norm: BallNorm,
        objective: Objective,
        steps: int = 1,
        gradient: Delta | None = None,
    ) -> dict[str, Tensor]:
        """δ within ε that raises ``objective``, row by row, detached.

        Args:
            e: the clean inputs.
            inner: ``fgsm`` (Goodfellow 2015) or ``pgd`` (Madry 2018) from δ = 0, step 2.5 ε / steps.
            epsilon: budget relative to the batch's RMS, a float or [B].
            norm: of the budget.
            objective: what to raise, a scalar of the perturbed inputs.
            steps: of ``pgd``.
            gradient: the gradient at δ = 0 where it is known already.
        """
        ball = self.ball(e, epsilon, norm)
        first = masked(self.gradient(e, objective) if gradient is None else gradient, e.valid)
        if inner == "fgsm":
            delta = ball.ascent(first)
        else:
            stride = ball.shrunk(2.5 / steps)
            delta = ball.project(stride.ascent(first))
            for _ in range(steps - 1):
                found = masked(self.gradient(e.plus(delta), objective), e.valid)
                delta = ball.project(added(delta, stride.ascent(found)))
        spent = sizes(delta, norm) / torch.where(ball.radius > 0, ball.radius, 1.0)
        self.achieved["epsilon_share"] = float(spent.max()) if len(spent) else 0.0
        return {name: part.detach() for name, part in delta.items()}
