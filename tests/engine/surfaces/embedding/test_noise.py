"""Tests that the noise of each user comes from a separate stream."""

import pytest
import torch

from robench.api.rng import Rng
from robench.engine.surfaces.embedding.noise import UserNoise

USERS = torch.tensor([12, 7, 300])


def noise(valid, width):
    """Returns the ``UserNoise`` of three users, whose inputs are valid at ``valid``.

    The mask ``valid`` is bool [3, L], and each input has ``width`` dimensions.
    """
    return UserNoise(USERS, {"x": torch.zeros(*valid.shape, width)}, {"x": valid})


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@pytest.mark.parametrize(("length", "width"), [(1, 3), (1, 64), (4, 17), (5, 16)])
def test_every_user_draws_from_the_stream_of_its_id(kind, length, width):
    valid = torch.ones(len(USERS), length, dtype=torch.bool)
    valid[1, 1:] = False
    drawn = noise(valid, width).draw(Rng(3).child("query", 5), kind)["x"]
    for user, row, own in zip(USERS.tolist(), drawn, valid, strict=True):
        generator = Rng(3).child("query", 5, kind, "x", user).torch()
        expected = torch.randn(int(own.sum()), width, generator=generator)
        if kind == "uniform":
            expected = torch.rand(int(own.sum()), width, generator=generator) * 2 - 1
        assert torch.equal(row[own], expected)
        assert not row[~own].any()


def test_noise_does_not_depend_on_the_chunk():
    valid = torch.tensor([[True, True], [True, False], [False, False]])
    whole = noise(valid, 5).draw(Rng(0), "normal")["x"]
    part = UserNoise(USERS[1:], {"x": torch.zeros(2, 2, 5)}, {"x": valid[1:]}).draw(Rng(0), "normal")["x"]
    assert torch.equal(whole[1:], part)
