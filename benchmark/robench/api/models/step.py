"""One training step, for defences that define their own loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from robench.api.attacks.ball import Ball, BallNorm, Delta, added, masked, scaled, sizes
from robench.api.errors import PluginError
from robench.api.models.divergence import Logits
from robench.api.models.terms import Terms
from robench.api.models.torch import Batch, Embedded, Losses, TorchModel
from robench.api.rng import Rng

Inner = Literal["fgsm", "pgd"]
Objective = Callable[[Embedded], Tensor]


class Step:
    """One training step of a model on one batch.

    Every forward pass uses the same random stream, so clean and perturbed passes have the same dropout. No pass
    advances the training's own random stream.

    Args:
        model: the model in training.
        batch: the batch of this step.
        epoch: the epoch, from 0.
        progress: the number of finished epochs divided by the setting ``epochs``, at most 1.
        rng: the stream of this step.
    """

    def __init__(self, model: TorchModel, batch: Batch, epoch: int, progress: float, rng: Rng) -> None:
        self.model, self.batch, self.epoch, self.progress, self.rng = model, batch, epoch, progress, rng
        self.achieved: dict[str, float] = {}

    def embed(self) -> Embedded:
        """Returns the embedded inputs of the batch."""
        with self.rng.child("embed").stream():
            return self.model.embed(self.batch)

    def losses(self, e: Embedded) -> Losses:
        """Returns the model's own loss for each target, on clean or perturbed inputs."""
        with self.rng.child("dropout").stream():
            return self.model.loss_from(self.batch, e)

    def margins(self, e: Embedded) -> Losses:
        """Returns the margin of each target, on clean or perturbed inputs.

        The margin is the score of the target minus the score of its negative.
        """
        with self.rng.child("dropout").stream():
            return self.model.margins_from(self.batch, e)

    def terms(self, e: Embedded) -> Terms:
        """Returns the terms of the model's own loss, on clean or perturbed inputs."""
        with self.rng.child("dropout").stream():
            return self.model.terms_from(self.batch, e)

    def logits(self, e: Embedded) -> Logits:
        """Returns the distributions in the training loss, on clean or perturbed inputs."""
        with self.rng.child("dropout").stream():
            return self.model.logits_from(self.batch, e)

    def accumulate(self, loss: Tensor, e: Embedded) -> dict[str, Tensor]:
        """Backpropagates ``loss`` and returns the gradient with respect to the inputs.

        The inputs are those of ``e``. One backward pass serves both the optimiser and the inner attack. This backward
        pass frees the graph of ``e``, so the batch must be embedded again for a later pass.
        """
        for part in e.inputs.values():
            part.retain_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for backward
        return {name: torch.zeros_like(part) if part.grad is None else part.grad for name, part in e.inputs.items()}

    def tables(self) -> dict[str, Tensor]:
        """Returns the model's embedding tables by name, as parameters [rows, ...].

        Raises:
            PluginError: if the model names no tables.
        """
        if not self.model.tables:
            raise PluginError(f"{type(self.model).__name__} names no tables, which this defence perturbs")
        return {name: self.model.get_parameter(name) for name in self.model.tables}

    def features(self) -> dict[str, Tensor]:
        """Returns the vectors of items by the name of their buffer, [n_items, d].

        Raises:
            PluginError: if the model reads no vectors of items.
        """
        if not self.model.feature_table:
            raise PluginError(f"{type(self.model).__name__} reads no vectors of items, which this defence perturbs")
        return {self.model.feature_table: self.model.get_buffer(self.model.feature_table)}

    def losses_under(self, delta: Delta) -> Losses:
        """Returns the model's own loss per target, with ``delta`` added to tables.

        The method embeds the batch again, with the same dropout.

        Args:
            delta: the shift of each table, [rows, ...], by the table's name. A table is one of ``tables`` or
                ``features``. Other tables keep their values.
        """
        tables = self.features() if self.model.feature_table in delta else {}
        tables |= self.tables() if delta.keys() - tables.keys() else {}
        moved = {name: tables[name] + part for name, part in delta.items()}
        return self.model.under(moved, lambda: self.losses(self.embed()))

    def accumulate_tables(self, loss: Tensor) -> dict[str, Tensor]:
        """Backpropagates ``loss`` and returns the gradient with respect to the tables.

        One backward pass serves both the optimiser and the perturbation of the tables.
        """
        return _accumulated(loss, self.tables())

    def table_gradients(self, loss: Tensor) -> dict[str, Tensor]:
        """Returns the gradient of ``loss`` with respect to the tables.

        The ``grad`` of the parameters does not change.
        """
        return _gradients(loss, self.tables())

    def weights(self) -> dict[str, Tensor]:
        """Returns all trained weights of the model by name, as parameters."""
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    def accumulate_weights(self, loss: Tensor) -> dict[str, Tensor]:
        """Backpropagates ``loss`` and returns the gradient with respect to all weights.

        One backward pass serves both the optimiser and the perturbation of the weights.
        """
        return _accumulated(loss, self.weights())

    def weight_gradients(self, loss: Tensor) -> dict[str, Tensor]:
        """Returns the gradient of ``loss`` with respect to all weights.

        The ``grad`` of the parameters does not change.
        """
        return _gradients(loss, self.weights())

    def loss_at(self, delta: Delta) -> Tensor:
        """Returns the scalar mean loss of the model with weights moved by ``delta``.

        The method embeds the batch again, with the same dropout. Backpropagation from the result gives the gradient at
        the moved weights. The weights themselves return to their values, bit for bit.

        Args:
            delta: the shift of each weight, by the weight's name. A shift has the shape of the weight. Other weights
                keep their values.
        """
        weights = {name: self.model.get_parameter(name) for name in delta}
        kept = {name: weight.detach().clone() for name, weight in weights.items()}
        # The gradient is computed here, because a model may read its weights again in a later backward pass.
        try:
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.add_(delta[name])
            value = self.losses(self.embed()).value.mean()
            gradients = _gradients(value, self.weights())
        finally:
            with torch.no_grad():
                for name, weight in weights.items():
                    weight.copy_(kept[name])
        # A linear function of the weights has this value and this gradient.
        slopes = [(w - w.detach()).mul(gradients[name]).sum() for name, w in self.weights().items()]
        return value.detach() + torch.stack(slopes).sum()

    def gradient(self, e: Embedded, objective: Objective) -> dict[str, Tensor]:
        """Returns the gradient of ``objective`` with respect to the inputs of ``e``.

        The ``grad`` of the parameters does not change.
        """
        leaves = {name: part.detach().requires_grad_() for name, part in e.inputs.items()}
        moved = Embedded(leaves, e.valid, e.context)
        gradients = torch.autograd.grad(objective(moved), list(leaves.values()), allow_unused=True, retain_graph=True)
        pairs = zip(leaves.items(), gradients, strict=True)
        return {name: torch.zeros_like(leaf) if g is None else g for (name, leaf), g in pairs}

    def ball(self, e: Embedded, epsilon: float | Tensor, norm: BallNorm) -> Ball:
        """Returns the ball of radius ε · RMS (linf) or ε · RMS · √(d · n_valid) (l2).

        RMS is the detached root mean square of the valid input entries in this batch. A row has n_valid valid places
        with d entries each.
        """
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
        start: Delta | None = None,
    ) -> dict[str, Tensor]:
        """Returns a detached perturbation within the budget that raises ``objective``.

        Args:
            e: the clean inputs.
            inner: ``fgsm`` (Goodfellow et al., ICLR 2015) or ``pgd`` (Madry et al., ICLR 2018). The length of each step
                of PGD is the radius times 2.5 / ``steps``.
            epsilon: the budget relative to the root mean square of the batch's inputs: one number, or one per row,
                float [B].
            norm: the norm of the budget.
            objective: the function to increase, which maps the perturbed inputs to a scalar.
            steps: the number of steps of ``pgd``.
            gradient: the gradient at the start, if the caller already has it.
            start: the perturbation from which ``pgd`` starts, 0 by default. ``fgsm`` must not have one.
        """
        ball = self.ball(e, epsilon, norm)
        origin = e if start is None else e.plus(start)
        first = masked(self.gradient(origin, objective) if gradient is None else gradient, e.valid)
        if inner == "fgsm":
            delta = ball.ascent(first)
        else:
            stride = ball.shrunk(2.5 / steps)
            moved = stride.ascent(first)
            delta = ball.project(moved if start is None else added(masked(start, e.valid), moved))
            for _ in range(steps - 1):
                slope = masked(self.gradient(e.plus(delta), objective), e.valid)
                delta = ball.project(added(delta, stride.ascent(slope)))
        return self.spent(delta, ball)

    def perturb_noisily(
        self, e: Embedded, *, epsilon: float | Tensor, norm: BallNorm, noise: float, objective: Objective
    ) -> dict[str, Tensor]:
        """Returns a detached perturbation: random noise plus one gradient step.

        The step follows the gradient at the noisy inputs, and its length is the radius of ``ball`` at ε. The sum is not
        projected (N-FGSM, de Jorge et al., NeurIPS 2022). In both norms, the entries of the noise are uniform between
        −``noise`` · ε · RMS and ``noise`` · ε · RMS. Here RMS is the root mean square of the valid input entries in
        this batch. The noise comes from the random stream of this step.
        """
        ball = self.ball(e, epsilon, norm)
        width = self.ball(e, epsilon, "linf").radius * noise
        eta = scaled(self.noise(e, "uniform"), width)
        slope = masked(self.gradient(e.plus(eta), objective), e.valid)
        return self.spent(added(eta, ball.ascent(slope)), ball)

    def noise(self, e: Embedded, kind: Literal["normal", "uniform"]) -> dict[str, Tensor]:
        """Draws random entries at the valid places.

        The entries are standard normal, or uniform in [−1, 1]. Entries at all other places are 0. Every call in this
        step draws from the start of the same random stream.
        """
        generator = self.rng.child("noise").torch(self.model.device)
        draw = torch.randn if kind == "normal" else torch.rand
        drawn = {n: draw(x.shape, generator=generator, device=x.device, dtype=x.dtype) for n, x in e.inputs.items()}
        if kind == "uniform":
            drawn = {name: 2 * part - 1 for name, part in drawn.items()}
        return masked(drawn, e.valid)

    def spent(self, delta: Delta, ball: Ball) -> dict[str, Tensor]:
        """Returns ``delta`` detached and records the share of the radius that it uses.

        The largest share among all rows is stored in ``achieved`` as ``epsilon_share``.
        """
        share = sizes(delta, ball.norm) / torch.where(ball.radius > 0, ball.radius, 1.0)
        self.achieved["epsilon_share"] = float(share.max()) if len(share) else 0.0
        return {name: part.detach() for name, part in delta.items()}


def _accumulated(loss: Tensor, weights: Delta) -> dict[str, Tensor]:
    """Backpropagates ``loss`` and returns the gradient with respect to some weights."""
    before = {name: None if weight.grad is None else weight.grad.clone() for name, weight in weights.items()}
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for backward
    return {name: _grown(weight, before[name]) for name, weight in weights.items()}


def _gradients(loss: Tensor, weights: Delta) -> dict[str, Tensor]:
    """Returns the gradient of ``loss`` with respect to some weights.

    The ``grad`` of the parameters does not change.
    """
    gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    pairs = zip(weights.items(), gradients, strict=True)
    return {name: torch.zeros_like(weight) if g is None else g for (name, weight), g in pairs}


def _grown(table: Tensor, before: Tensor | None) -> Tensor:
    """Returns a copy of the gradient that a backward pass added to a parameter.

    ``before`` is the gradient before this pass.
    """
    if table.grad is None:
        return torch.zeros_like(table)
    return table.grad.clone() if before is None else table.grad - before
