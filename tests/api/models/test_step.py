"""Tests one training step of a model with dropout.

Both passes of the step use the same dropout mask, and δ stays within its ball.
"""

from types import SimpleNamespace

import pytest
import torch

from robench.api.models.step import Step
from robench.api.models.torch import Batch, Embedded, Losses
from robench.api.rng import Rng

VALID = torch.tensor([[True, True, False], [True, False, False]])


def embedded(size=1.0):
    inputs = {"items": size * torch.arange(1.0, 25).reshape(2, 3, 4)}
    return Embedded(inputs, {"items": VALID})


def step():
    def loss_from(batch, e):
        dropped = torch.nn.functional.dropout(e.inputs["items"], 0.5, training=True)
        return Losses(dropped.flatten(1).sum(1), torch.arange(2))

    batch = Batch(torch.arange(2), torch.empty(2, 0, dtype=torch.int64))
    return Step(SimpleNamespace(loss_from=loss_from, device=torch.device("cpu")), batch, 0, 0.0, Rng(0))


def test_a_clean_and_a_perturbed_pass_have_the_same_dropout():
    e, one = embedded(), step()
    torch.testing.assert_close(one.losses(e).value, one.losses(e.plus(e.zero())).value, rtol=0, atol=0)


@pytest.mark.parametrize("inner", ["fgsm", "pgd"])
def test_padding_is_never_perturbed(inner):
    e = embedded()
    gradient = {"items": torch.ones(2, 3, 4)}
    delta = step().perturb(
        e, inner=inner, epsilon=0.1, norm="linf", objective=lambda e: e.inputs["items"].sum(), gradient=gradient
    )
    assert not delta["items"][~VALID].any()
    assert delta["items"][VALID].all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_radius_is_relative_to_the_size_of_the_inputs(norm):
    entries = embedded().inputs["items"][VALID]
    unit = entries.square().mean().sqrt() * (torch.tensor([8.0, 4.0]).sqrt() if norm == "l2" else torch.ones(2))
    for size in (1.0, 10.0):
        torch.testing.assert_close(step().ball(embedded(size), 0.1, norm).radius, 0.1 * size * unit)


@pytest.mark.parametrize("steps", [1, 2])
def test_pgd_starts_at_a_given_point(steps):
    """The gradient is 1 everywhere, and a step has length 2.5 r / ``steps``.

    Here r is the radius. From −3r, one step leads to −r / 2. Two steps of 1.25 r lead first to −1.75 r, which is
    projected to −r, and then to r / 4.
    """
    e, points = embedded(), []

    def objective(moved):
        points.append((moved.inputs["items"] - e.inputs["items"]).detach())
        return moved.inputs["items"].sum()

    radius = step().ball(e, 0.1, "linf").radius[0]
    start = {"items": -3 * radius * torch.ones(2, 3, 4)}
    delta = step().perturb(e, inner="pgd", epsilon=0.1, norm="linf", objective=objective, steps=steps, start=start)
    expected = {1: -0.5 * radius, 2: 0.25 * radius}[steps]
    torch.testing.assert_close(delta["items"], expected * VALID[..., None].expand(2, 3, 4))
    torch.testing.assert_close(points[0], -3 * radius * VALID[..., None].expand(2, 3, 4), rtol=1e-4, atol=1e-5)
