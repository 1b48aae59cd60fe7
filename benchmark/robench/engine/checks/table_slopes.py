"""Checks gradients with respect to embedding tables against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from robench.api.errors import PluginError
from robench.engine.attack.gradients import finite, gradient_of
from robench.engine.checks.probe import TINY, Probe
from robench.engine.checks.slopes import STEPS, choose_weights
from robench.engine.rank.chunk import NOT_FINITE

Tables = dict[str, Tensor]
DIRECTIONS = 2  # random directions per table, each of which moves all rows
LEAST_SLOPE = 0.01  # smaller slopes of a table are rounding, as a share of the largest slope of any table


def table_slope_errors(probe: Probe, tables: Tables) -> dict[str, float]:
    """Compares gradients with respect to each table with finite differences.

    Two functions are differentiated. The first function is the sum, over the users, of the function in
    ``slope_errors``. In the second function, the tables influence the scores through the embedded inputs alone. A table
    of items often has a much larger effect on the scores than on the inputs. Therefore, the second function reveals
    errors that the first function may hide. Each table moves alone, and no row moves by more than a share of the
    table's mean row norm.

    Args:
        probe: the users.
        tables: the weights of the model's tables, by name.

    Returns:
        The error along the gradient (``table_slope_own``) and over random directions (``table_slope_random``). Each is
        the largest error over functions, tables and step lengths. The error is 0 for a table that does not influence
        the scores.

    Raises:
        PluginError: if a score is not finite.
    """
    functions = [_Function(probe, scores) for scores in (_scores, _scores_of_inputs)]
    errors = [pair for function in functions for pair in _compare(function, tables)]
    return {
        "table_slope_own": max(own for own, _ in errors),
        "table_slope_random": max(random for _, random in errors),
    }


def _scores(probe: Probe, tables: Tables) -> Tensor:
    """Returns the scores under other tables, float [B, n_items]."""
    model, batch = probe.model, probe.own
    return model.under(tables, lambda: model.score_from(batch, model.embed(batch)))


def _scores_of_inputs(probe: Probe, tables: Tables) -> Tensor:
    """Returns the scores with inputs from other tables, float [B, n_items].

    The scoring itself still uses the model's own tables.
    """
    model, batch = probe.model, probe.own
    inputs = model.under(tables, lambda: model.embed(batch)).inputs
    return model.score_from(batch, replace(probe.clean, inputs=inputs))


@dataclass(eq=False)
class _Function:
    """A weighted sum of scores, as a function of the tables.

    Args:
        probe: the users.
        scores: a function that returns the scores under other tables, float [B, n_items].
    """

    probe: Probe
    scores: Callable[[Probe, Tables], Tensor]

    def __call__(self, tables: Tables) -> Tensor:
        """Returns the value under other tables as a float64 scalar.

        Raises:
            PluginError: if a score is not finite.
        """
        weights, items = self.choice
        with self.probe.rng.child("look", 0).stream():
            scores = self.scores(self.probe, tables)
        if not bool(torch.isfinite(scores).all()):
            raise PluginError(NOT_FINITE)
        return (scores.gather(1, items).double() * weights).sum()

    @cached_property
    def choice(self) -> tuple[Tensor, Tensor]:
        """The weights of the scores, and the items to which they belong, [B, m] each."""
        return choose_weights(self.probe)

    def gradient(self, tables: Tables) -> Tables:
        """Returns the gradient with respect to each table, by name.

        Entries that are not finite are replaced by 0.
        """
        leaves = {name: table.detach().clone().requires_grad_() for name, table in tables.items()}
        with torch.enable_grad():
            return finite(gradient_of(self(leaves), leaves))


def _compare(function: _Function, tables: Tables) -> list[tuple[float, float]]:
    """Returns the errors along the gradient and over random directions.

    The result has one pair of errors per table and step length.
    """
    gradient = function.gradient(tables)
    slopes: list[tuple[Tensor, Tensor]] = []
    for name, table in tables.items():
        directions = [gradient[name], *(_random(function.probe, name, table, n) for n in range(DIRECTIONS))]
        slopes += [_slopes(function, tables, name, gradient[name], directions, step) for step in STEPS]
    floor = LEAST_SLOPE * max(float(part.abs().amax()) for pair in slopes for part in pair)
    return [_errors(*pair, max(floor, TINY)) for pair in slopes]


def _slopes(
    function: _Function, tables: Tables, name: str, gradient: Tensor, directions: list[Tensor], step: float
) -> tuple[Tensor, Tensor]:
    """Returns the slopes along each direction, by gradient and by finite differences.

    Both results are float64, with one entry per direction. A direction is scaled so that the norm of its longest row is
    the mean row norm of the table. The differences are taken over a share ``step`` of this scaled direction.
    """
    predicted, true = [], []
    for direction in directions:
        largest = direction.norm(dim=1).amax().clamp_min(TINY)
        shift = direction * (step * tables[name].norm(dim=1).mean() / largest)
        with torch.no_grad():
            ends = [function({**tables, name: tables[name] + sign * shift}) for sign in (1, -1)]
        true.append((ends[0] - ends[1]) / 2)
        predicted.append((gradient.double() * shift.double()).sum())
    return torch.stack(predicted) / step, torch.stack(true) / step


def _errors(predicted: Tensor, true: Tensor, floor: float) -> tuple[float, float]:
    """Returns the relative errors along the first direction and over the others.

    The predicted and the true slopes form two vectors. An error is the length of their difference, divided by the
    length of the longer vector. The divisor is at least ``floor``.
    """

    def error(one: Tensor, two: Tensor) -> float:
        return float((one - two).norm() / torch.maximum(one.norm(), two.norm()).clamp_min(floor))

    return error(predicted[:1], true[:1]), error(predicted[1:], true[1:])


def _random(probe: Probe, name: str, table: Tensor, number: int) -> Tensor:
    generator = probe.rng.child("table direction", name, number).torch()
    return torch.randn(table.shape, generator=generator).to(table)
