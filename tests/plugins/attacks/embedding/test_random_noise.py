"""Tests that every draw gives a new random point on the sphere."""

from types import SimpleNamespace

import torch

from robench.api import Ball, Rng
from robench_plugins.attacks.embedding.random_noise import RandomNoise


def test_every_draw_is_another_point_on_the_sphere():
    oracle = SimpleNamespace(normal=lambda rng: {"user": torch.from_numpy(rng.numpy().normal(size=(2, 3)))})
    ball = Ball("l2", torch.tensor([1.0, 2.0], dtype=torch.float64))
    points = [part["user"] for part in RandomNoise.make(draws=4).perturb(oracle, ball, Rng(0))]
    assert len(points) == len({tuple(point.flatten().tolist()) for point in points}) == 4
    for point in points:
        torch.testing.assert_close(point.norm(dim=1), ball.radius)
