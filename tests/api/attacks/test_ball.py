"""Tests steepest ascent and projection in the balls, for gradients of any size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api.attacks.ball import Ball, added, l2, sizes


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(-44, 37))
def test_the_step_has_the_length_of_the_ball_however_small_or_large_the_gradient(seed, exponent):
    """The step must be right even for numbers that float32 cannot square or invert.

    A float32 number below 1e-39 has an infinite reciprocal and a square of 0.
    """
    draw = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(seed)).double()
    gradient = {"x": (draw * 10.0**exponent).float()}
    moved = gradient["x"].flatten(1).abs().amax(1) > 0
    result = Ball("l2", torch.full((4,), 0.7)).ascent(gradient)
    assert torch.isfinite(result["x"]).all()
    torch.testing.assert_close(l2(result)[moved], torch.full((4,), 0.7)[moved], rtol=1e-3, atol=0)
    assert (result["x"] * gradient["x"] >= 0).all()


def test_a_row_without_gradient_stays_beside_rows_of_all_sizes():
    gradient = {"x": torch.tensor([[0.0, 0.0], [1e-42, 0.0], [3.0, 4.0], [0.0, 1e30]])}
    result = Ball("l2", torch.ones(4)).ascent(gradient)["x"]
    torch.testing.assert_close(result, torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]))


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e30])
def test_a_step_of_a_row_does_not_depend_on_a_row_with_a_tiny_or_huge_gradient(size):
    generator = torch.Generator().manual_seed(0)
    delta, gradient = ({"x": torch.randn(33, 16, generator=generator) * scale} for scale in (0.05, 1.0))
    gradient["x"][7] = size
    radius, others = torch.linspace(0.1, 0.3, 33), torch.arange(33) != 7
    whole = Ball("l2", radius).step(delta, gradient, 0.3)["x"]
    parts = [{"x": part["x"][others]} for part in (delta, gradient)]
    assert torch.equal(Ball("l2", radius[others]).step(*parts, 0.3)["x"], whole[others])
    (alone,) = Ball("l2", radius[7:8]).step({"x": delta["x"][7:8]}, {"x": gradient["x"][7:8]}, 0.3)["x"]
    assert torch.equal(alone, whole[7])


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_projection_leaves_what_is_inside_bit_for_bit_and_never_leaves_the_ball(norm):
    delta = {"x": torch.randn(6, 4, generator=torch.Generator().manual_seed(0))}
    for radius in (torch.full((6,), 0.5), torch.linspace(0.0, 3.0, 6), torch.zeros(6)):
        result = Ball(norm, radius).project(delta)["x"]
        size = result.norm(dim=1) if norm == "l2" else result.abs().amax(1)
        assert (size <= radius * (1 + 1e-6)).all()
        before = delta["x"].norm(dim=1) if norm == "l2" else delta["x"].abs().amax(1)
        assert torch.equal(result[before <= radius], delta["x"][before <= radius])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["l2", "linf"]), st.booleans(), st.integers(-44, 20))
def test_a_step_is_the_projection_of_the_point_that_ascent_leads_to(seed, norm, alike, exponent):
    draw = torch.Generator().manual_seed(seed)
    radius = torch.full((5,), 0.7) if alike else torch.rand(5, generator=draw)
    ball, factor = Ball(norm, radius), 0.3
    parts = {name: torch.randn(5, *shape, generator=draw) for name, shape in {"x": (3, 4), "y": (2,)}.items()}
    delta = ball.project(parts)
    before = {name: part.clone() for name, part in delta.items()}
    gradient = {n: (torch.randn(p.shape, generator=draw) * 10.0**exponent).float() for n, p in parts.items()}
    gradient["x"][0], gradient["y"][0] = 0.0, 0.0
    result = ball.step(delta, gradient, factor)
    plain = ball.project(added(delta, ball.shrunk(factor).ascent(gradient)))
    for name, part in plain.items():
        torch.testing.assert_close(result[name], part, rtol=1e-5, atol=1e-7)
        assert torch.equal(delta[name], before[name])
    size = sizes(result, norm)
    assert (size <= radius * (1 + 1e-6)).all()
