"""One training step, as a training-time defence sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from robench.api.attacks.ball import Ball, BallNorm, Delta, added, masked, scaled, sizes
from robench.api.errors import PluginError
from robench.api.models.torch import Batch, Embedded, Losses, TorchModel
from robench.api.rng import Rng

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

    def tables(self) -> dict[str, Tensor]:
        """The model's embedding tables by name: parameters [rows, ...].

        Raises:
            PluginError: the model names none.
        """
        if not self.model.tables:
            raise PluginError(f"{type(self.model).__name__} names no tables, which this defence perturbs")
        return {name: self.model.get_parameter(name) for name in self.model.tables}

    def losses_under(self, delta: Delta) -> Losses:
        """The model's own loss per target with ``delta`` added to its tables; embeds anew, with the same dropout.

        Args:
            delta: a name of ``tables`` -> [rows, ...]; tables that it does not name stay.
        """
        tables = self.tables()
        moved = {name: tables[name] + part for name, part in delta.items()}
        return self.model.under(moved, lambda: self.losses(self.embed()))

    def accumulate_tables(self, loss: Tensor) -> dict[str, Tensor]:
        """Backpropagate ``loss`` into the parameters now, and return its gradient by the tables.

        One backward pass serves the optimiser and the perturbation of the tables.
        """
        tables = self.tables()
        before = {name: None if table.grad is None else table.grad.clone() for name, table in tables.items()}
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for backward
        return {name: _grown(table, before[name]) for name, table in tables.items()}

    def table_gradients(self, loss: Tensor) -> dict[str, Tensor]:
        """Gradient of ``loss`` by the tables; no parameter's gradient is touched."""
        tables = self.tables()
        found = torch.autograd.grad(loss, list(tables.values()), allow_unused=True)
        pairs = zip(tables.items(), found, strict=True)
        return {name: torch.zeros_like(table) if g is None else g for (name, table), g in pairs}

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
        return self.spent(delta, ball)

    def perturb_noisily(
        self, e: Embedded, *, epsilon: float | Tensor, norm: BallNorm, noise: float, objective: Objective
    ) -> dict[str, Tensor]:
        """δ = η + a step of length ε up the gradient at x + η, not projected (N-FGSM, de Jorge et al. 2022), detached.

        η is uniform per entry in ± ``noise`` · ε · RMS in both norms, from this step's own stream.
        """
        ball = self.ball(e, epsilon, norm)
        width = self.ball(e, epsilon, "linf").radius * noise
        eta = scaled(self.noise(e, "uniform"), width)
        found = masked(self.gradient(e.plus(eta), objective), e.valid)
        return self.spent(added(eta, ball.ascent(found)), ball)

    def noise(self, e: Embedded, kind: Literal["normal", "uniform"]) -> dict[str, Tensor]:
        """Entries standard normal, or uniform in [−1, 1], at the valid places and 0 elsewhere; always the same ones."""
        generator = self.rng.child("noise").torch(self.model.device)
        draw = torch.randn if kind == "normal" else torch.rand
        drawn = {n: draw(x.shape, generator=generator, device=x.device, dtype=x.dtype) for n, x in e.inputs.items()}
        if kind == "uniform":
            drawn = {name: 2 * part - 1 for name, part in drawn.items()}
        return masked(drawn, e.valid)

    def spent(self, delta: Delta, ball: Ball) -> dict[str, Tensor]:
        """``delta``, detached; notes the largest share of the radius that a row spends as ``epsilon_share``."""
        share = sizes(delta, ball.norm) / torch.where(ball.radius > 0, ball.radius, 1.0)
        self.achieved["epsilon_share"] = float(share.max()) if len(share) else 0.0
        return {name: part.detach() for name, part in delta.items()}


def _grown(table: Tensor, before: Tensor | None) -> Tensor:
    """What a backward pass has added to a parameter's gradient, detached from what is added later."""
    if table.grad is None:
        return torch.zeros_like(table)
    return table.grad.clone() if before is None else table.grad - before
