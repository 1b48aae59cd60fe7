"""Checks gradients of the scores against finite differences."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.api.attacks.ball import Delta, added, l2, scaled
from robench.engine.attack.gradients import finite, gradient_of
from robench.engine.checks.probe import MIDDLE, TINY, Probe, unit

STEPS = (0.01, 0.001)  # half the length of a difference, as ε
BEST, OTHERS, DIRECTIONS = 10, 10, 4


def slope_errors(probe: Probe) -> dict[str, Tensor]:
    """Compares gradients with finite differences.

    The gradients are taken at the genuine inputs and at randomly perturbed inputs. The differentiated function is a sum
    of scores with random signs. The sum covers the held-out items, the best items and some random items of each user,
    because the losses of attacks depend on such items.

    Returns:
        Two errors, float64 [B] each. ``slope_own`` is the error along the gradient, and ``slope_random`` is the error
        over random directions. Each is the largest error over both inputs and over several step lengths. An error of 0
        is perfect, and an error of 1 means that the gradient predicts nothing.
    """
    weights, items = choose_weights(probe)
    own, random = [], []
    for point in (probe.clean.zero(), probe.points[MIDDLE]):
        gradient = _gradient(probe, point, weights, items)
        along = unit(gradient)
        directions = [probe.direction("slope", number) for number in range(DIRECTIONS)]
        for step in STEPS:
            length = probe.radius * step
            true = _difference(probe, point, along, torch.minimum(length, step * _reach(probe, along)), weights, items)
            own.append(_error([l2(gradient).double()], [true]))
            pairs = [(_product(gradient, d), _difference(probe, point, d, length, weights, items)) for d in directions]
            random.append(_error(*map(list, zip(*pairs, strict=True))))
    return {"slope_own": torch.stack(own).amax(0), "slope_random": torch.stack(random).amax(0)}


def choose_weights(probe: Probe) -> tuple[Tensor, Tensor]:
    """Returns random signs and the items to which they belong, [B, m] each.

    A sign is 0 at padding of the held-out items.
    """
    n_items = probe.genuine.shape[1]
    best = probe.masked.topk(min(BEST, n_items), dim=1).indices
    generator = probe.rng.child("items").torch()
    others = torch.randint(n_items, (len(best), OTHERS), generator=generator).to(best)
    held = probe.chunk.held.to(best)
    items = torch.cat([held.clamp_min(0), best, others], 1)
    signs = torch.randint(2, items.shape, generator=generator).to(probe.genuine) * 2 - 1
    signs[:, : held.shape[1]] *= held >= 0
    return signs, items


def _gradient(probe: Probe, point: Delta, weights: Tensor, items: Tensor) -> dict[str, Tensor]:
    leaves = {name: part.detach().requires_grad_() for name, part in point.items()}
    with torch.enable_grad():
        scores = probe.differentiable(leaves)
        value = (scores.gather(1, items) * weights.to(scores)).sum(1)
        return finite(gradient_of(value, leaves))


def _reach(probe: Probe, direction: Delta) -> Tensor:
    """Returns the longest step along a direction for each user, float [B].

    The longest step moves one vector of the input by the size of a typical vector. Here, sizes are root mean squares
    over the entries of a vector. A gradient may be concentrated on a few vectors. A step of the whole radius would then
    leave the neighbourhood in which the slope is a good prediction.

    Args:
        probe: the users.
        direction: the direction of each user, with an L2 norm of 1.
    """
    shares = [part.norm(dim=-1).reshape(len(part), -1).amax(1) / part.shape[-1] ** 0.5 for part in direction.values()]
    return probe.rms / torch.stack(shares).amax(0).clamp_min(TINY)


def _difference(probe: Probe, point: Delta, direction: Delta, length: Tensor, weights: Tensor, items: Tensor) -> Tensor:
    """Returns each user's slope by a central difference, float64 [B]."""
    ends = [_value(probe, added(point, scaled(direction, sign * length)), weights, items) for sign in (1, -1)]
    return (ends[0] - ends[1]) / (2 * length.double()).clamp_min(TINY)


def _value(probe: Probe, delta: Delta, weights: Tensor, items: Tensor) -> Tensor:
    return (probe.scores(delta).gather(1, items) * weights).sum(1)


def _product(gradient: Delta, direction: Delta) -> Tensor:
    return torch.stack([(gradient[n] * direction[n]).flatten(1).double().sum(1) for n in gradient]).sum(0)


def _error(predicted: list[Tensor], true: list[Tensor]) -> Tensor:
    """Returns the relative error over several directions, float64 [B].

    The predicted and the true slopes form two vectors. The error is the length of their difference, divided by the
    greater of the two vectors' lengths. The error is 1 if both vectors are 0.

    Args:
        predicted: the slopes along each direction according to the gradient, float64 [B] each.
        true: the slopes along the same directions by finite differences, float64 [B] each.
    """
    one, two = torch.stack(predicted), torch.stack(true)
    longer = torch.maximum(one.norm(dim=0), two.norm(dim=0))
    return torch.where(longer > TINY, (one - two).norm(dim=0) / longer.clamp_min(TINY), 1.0)
