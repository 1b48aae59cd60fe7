"""Offers planted defences and models for the checks of victims.

A false wrapper or model misleads attacks, for instance because it hides the user's vector or the gradient. An honest
wrapper changes scores or inputs in a way that an attack sees. ``maskers.py`` measures all of them, and the tests of the
checks use them too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any

import torch
from torch import Tensor

from robench.api import BaseConfig, Batch, Defense, Embedded, Model, Rng, TorchModel, Wrapped, hookimpl
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.mf import MatrixFactorization

SHARE = 0.95  # the share of a user's vector that a planted fault hides in the context
STEP = 0.02  # the step of planted rounding, in standard deviations of the scores


def moved(e: Embedded, change: Callable[[str, Tensor], Tensor]) -> Embedded:
    """Returns a copy of ``e`` in which ``change(name, input)`` replaces each input."""
    return replace(e, inputs={name: change(name, part) for name, part in e.inputs.items()})


def table_of(model: TorchModel) -> Tensor:
    """Returns the first embedding table of a model, without a gradient.

    While tables are perturbed, the table is a tensor instead of a parameter.
    """
    table: Tensor = attrgetter(model.tables[0])(model)
    return table.detach()


def straight_through(value: Tensor, through: Tensor) -> Tensor:
    """Returns ``value`` with the gradient of ``through``."""
    return value.detach() + through - through.detach()


class SnapById(Wrapped):
    """A false wrapper that replaces all inputs by the genuine inputs of the batch.

    The gradient passes to the given inputs as if they had been used.
    """

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        own = self.inner.embed(batch)
        return self.inner.score_from(batch, moved(e, lambda n, x: straight_through(own.inputs[n], x)))


class SnapIfNear(Wrapped):
    """A false wrapper that undoes small shifts of the inputs.

    A shift is small if its L2 norm is below half of the L2 norm of the user's genuine input. The gradient passes to the
    given inputs as if they had been used.
    """

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        own = self.inner.embed(batch).inputs

        def snapped(name: str, x: Tensor) -> Tensor:
            gap, size = (x - own[name]).flatten(1).norm(dim=1), own[name].flatten(1).norm(dim=1)
            near = (gap < 0.5 * size).reshape(-1, *[1] * (x.dim() - 1))
            return torch.where(near, straight_through(own[name], x), x)

        return self.inner.score_from(batch, moved(e, snapped))


class SnapToTable(Wrapped):
    """A false wrapper that replaces each input vector by the nearest table row.

    The gradient passes to the given inputs as if they had been used.
    """

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        table = table_of(self.inner)

        def snapped(name: str, x: Tensor) -> Tensor:
            nearest = table[torch.cdist(x.detach().flatten(0, -2), table).argmin(1)].reshape(x.shape)
            return straight_through(nearest, x) * e.valid[name].unsqueeze(-1)

        return self.inner.score_from(batch, moved(e, snapped))


class InContext(Wrapped):
    """A false wrapper that moves 95% of each input into the context."""

    def embed(self, batch: Batch) -> Embedded:
        e = self.inner.embed(batch)
        hidden = {f"hidden {name}": SHARE * part for name, part in e.inputs.items()}
        return replace(moved(e, lambda _, x: (1 - SHARE) * x), context={**e.context, **hidden})

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        return self.inner.score_from(batch, moved(e, lambda n, x: x + e.context[f"hidden {n}"]))


class NoiseOffTable(Wrapped):
    """A false wrapper that adds noise to the scores of a user with perturbed inputs."""

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        own, scores = self.inner.embed(batch).inputs, self.inner.score_from(batch, e)
        gaps = torch.stack([(e.inputs[n] - own[n]).detach().flatten(1).abs().amax(1) for n in own]).amax(0)
        noise = 0.5 * scores.detach().std(1, keepdim=True) * torch.randn_like(scores)
        return scores + noise * (gaps > 0).unsqueeze(1)


class Ripple(Wrapped):
    """A false wrapper that adds a small steep ripple to the scores.

    The ripple dominates the gradient.
    """

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        scores = self.inner.score_from(batch, e)
        flat = torch.cat([part.flatten(1) for part in e.inputs.values()], 1)
        phase = 3e3 * flat.sum(1, keepdim=True) / flat.detach().norm(dim=1, keepdim=True).clamp_min(1e-9)
        shift = torch.arange(scores.shape[1], device=scores.device)
        return scores + 0.01 * scores.detach().std() * torch.sin(phase + shift)


class PartialGradient(Wrapped):
    """A false wrapper that passes the gradient of every fourth dimension only."""

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        def some(_: str, x: Tensor) -> Tensor:
            kept = torch.arange(x.shape[-1], device=x.device) % 4 == 0
            return torch.where(kept, x, x.detach())

        return self.inner.score_from(batch, moved(e, some))


class ForeignGradient(Wrapped):
    """A false wrapper that returns the gradient of other inputs.

    The dimensions of these inputs are rotated by seven places.
    """

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        rolled = self.inner.score_from(batch, moved(e, lambda _, x: x.roll(7, -1)))
        return straight_through(self.inner.score_from(batch, e), rolled)


class OtherInGradMode(Wrapped):
    """A false wrapper that scores other inputs if gradients are enabled.

    The dimensions of these inputs are rotated by seven places.
    """

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        if not torch.is_grad_enabled():
            return self.inner.score_from(batch, e)
        return self.inner.score_from(batch, moved(e, lambda _, x: x.roll(7, -1)))


class OtherGradientInGradMode(Wrapped):
    """A false wrapper that negates the gradient but keeps the scores."""

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        scores = self.inner.score_from(batch, e)
        return 2 * scores.detach() - scores if torch.is_grad_enabled() else scores


class Rounded(Wrapped):
    """A false wrapper that rounds the scores, so the gradient is zero."""

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        scores = self.inner.score_from(batch, e)
        step = STEP * scores.detach().std()
        return torch.round(scores / step) * step


class RoundedThrough(Wrapped):
    """A false wrapper that rounds the scores but passes the unrounded gradient."""

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        scores = self.inner.score_from(batch, e)
        step = STEP * scores.detach().std()
        return straight_through(torch.round(scores / step) * step, scores)


class TestDropout(Wrapped):
    """A false wrapper that applies dropout at test time without declaring this."""

    __test__ = False

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        return self.inner.score_from(batch, moved(e, lambda _, x: torch.nn.functional.dropout(x, 0.2)))


class Huge(Wrapped):
    """A false wrapper that multiplies the scores by a million.

    Such scores saturate the losses of attacks.
    """

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        return 1e6 * self.inner.score_from(batch, e)


class Tempered(Wrapped):
    """An honest wrapper that halves the scores."""

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        return self.inner.score_from(batch, e) / 2


class Centred(Wrapped):
    """An honest wrapper that shifts the scores of each user to mean 0."""

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        scores = self.inner.score_from(batch, e)
        return scores - scores.mean(1, keepdim=True)


class Clipped(Wrapped):
    """An honest wrapper that clips every entry of the inputs.

    The bound is twice the root mean square of the table.
    """

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        bound = 2 * float(table_of(self.inner).square().mean().sqrt())
        return self.inner.score_from(batch, moved(e, lambda _, x: x.clamp(-bound, bound)))


class Projected(Wrapped):
    """An honest wrapper that removes a quarter of the directions from the inputs.

    These are the directions in which the rows of the table have the smallest mean square.
    """

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        table = table_of(self.inner)
        basis = torch.linalg.eigh(table.T @ table).eigenvectors[:, table.shape[1] // 4 :]
        return self.inner.score_from(batch, moved(e, lambda _, x: x @ basis @ basis.T))


class DetachedTables(Wrapped):
    """A false wrapper that stops the gradient from the inputs to the tables."""

    def embed(self, batch: Batch) -> Embedded:
        return moved(self.inner.embed(batch), lambda _, x: x.detach())


class ReversedTables(Wrapped):
    """A false wrapper that negates the gradient from the inputs to the tables."""

    def embed(self, batch: Batch) -> Embedded:
        return moved(self.inner.embed(batch), lambda _, x: 2 * x.detach() - x)


class RoundedTables(Wrapped):
    """A false wrapper that rounds the inputs but passes the unrounded gradient.

    An attack on tables therefore moves the scores in steps.
    """

    def embed(self, batch: Batch) -> Embedded:
        e = self.inner.embed(batch)
        step = 0.5 * table_of(self.inner).square().mean().sqrt()
        return moved(e, lambda _, x: straight_through(torch.round(x / step) * step, x))


FALSE_WRAPS: Mapping[str, type[Wrapped]] = {
    "snap-by-id": SnapById,
    "snap-if-near": SnapIfNear,
    "snap-to-table": SnapToTable,
    "in-context": InContext,
    "noise-off-table": NoiseOffTable,
    "ripple": Ripple,
    "partial-gradient": PartialGradient,
    "foreign-gradient": ForeignGradient,
    "other-in-grad-mode": OtherInGradMode,
    "other-gradient-in-grad-mode": OtherGradientInGradMode,
    "rounded": Rounded,
    "rounded-through": RoundedThrough,
    "dropout": TestDropout,
    "huge": Huge,
}
# They deceive attacks on tables. Only the last one also fails checks of the inputs.
FALSE_TABLES: Mapping[str, type[Wrapped]] = {
    "detached-tables": DetachedTables,
    "reversed-tables": ReversedTables,
    "rounded-tables": RoundedTables,
}
HONEST_WRAPS: Mapping[str, type[Wrapped]] = {
    "tempered": Tempered,
    "centred": Centred,
    "clipped": Clipped,
    "projected": Projected,
}


class ContextMf(MatrixFactorization):
    """A false MF that moves 95% of the user's vector into the context."""

    def embed(self, batch: Batch) -> Embedded:
        e = super().embed(batch)
        return replace(
            e,
            inputs={"user": (1 - SHARE) * e.inputs["user"]},
            context={**e.context, "hidden": SHARE * e.inputs["user"]},
        )

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        return super().score_from(batch, replace(e, inputs={"user": e.inputs["user"] + e.context["hidden"]}))


class LookupLstm(Lstm):
    """A false LSTM that looks up the vectors of the history's items again.

    Only a thousandth of each perturbation reaches the scores.
    """

    def states_at(self, batch: Batch, e: Embedded, row: Tensor, position: Tensor) -> Tensor:
        own = self.item_table(batch.histories) * e.valid["items"].unsqueeze(-1)
        mixed = moved(e, lambda _, x: own + 1e-3 * (x - own) if x.shape == own.shape else x)
        return super().states_at(batch, mixed, row, position)


FALSE_MODELS: Mapping[str, type[TorchModel]] = {"context-mf": ContextMf, "lookup-lstm": LookupLstm}

# The flags that each false wrap gets, at least.
FLAGS: Mapping[str, set[str]] = {
    "snap-by-id": {"scores bypass the inputs", "scores ignore the inputs"},
    "snap-if-near": {"scores bypass the inputs", "scores ignore the inputs"},
    "snap-to-table": {"scores ignore the inputs", "wrong gradients"},
    "in-context": {"scores bypass the inputs", "other inputs than the wrapped model"},
    "noise-off-table": {"random under attack"},
    "ripple": {"wrong gradients"},
    "partial-gradient": {"wrong gradients"},
    "foreign-gradient": {"wrong gradients"},
    "other-in-grad-mode": {"scores depend on gradients"},
    "other-gradient-in-grad-mode": {"wrong gradients"},
    "rounded": {"wrong gradients"},
    "rounded-through": {"wrong gradients"},
    "dropout": {"random without a declaration"},
    "huge": {"saturated scores"},
}
TABLE_FLAG = "wrong gradients of tables"  # the flag of every wrap in FALSE_TABLES


def wrapping(cls: type[Wrapped]) -> type[Defense]:
    """Returns a defence that wraps the fitted model in ``cls``."""

    class Planted(Defense):
        Config = BaseConfig
        changes_fit = False

        def wrap(self, model: Model, rng: Rng) -> Model:
            assert isinstance(model, TorchModel)
            return cls(model)

    return Planted


@hookimpl
def robench_defenses() -> dict[str, Any]:
    """Returns the planted defences."""
    return {name: wrapping(cls) for name, cls in {**FALSE_WRAPS, **FALSE_TABLES, **HONEST_WRAPS}.items()}


@hookimpl
def robench_models() -> dict[str, Any]:
    """Returns the planted models."""
    return dict(FALSE_MODELS)
