"""Tests that the number of users bounds the sizes in Mult-VAE.

These are the size of the latent vector and the number of users per batch.
"""

import pytest

from robench.api import Rng
from robench.testing.worlds import crowd, fitted
from robench_plugins.models import multi_vae as module
from robench_plugins.models.multi_vae import MultiVae

DATA = crowd(60, 40)[0]


def sizes(**settings):
    """Returns the size of the latent vector, and the number of users per batch."""
    model = MultiVae(MultiVae.Config.from_written(settings))
    model.initialise(DATA, Rng(0))
    return model.decode.in_features, [len(batch.users) for batch in model.batches(DATA, Rng(1))]


def test_with_few_validation_items_nothing_is_bounded():
    assert sizes() == sizes(latent=200, batch_size=500) == (200, [60])


@pytest.mark.parametrize(
    ("settings", "latent", "rows"),
    [
        ({}, 64, 6),
        ({"dropout": 0.3}, 64, 6),
        ({"latent": 200}, 200, 60),
        ({"batch_size": 500}, 200, 60),
        ({"latent": 8}, 8, 60),
        ({"by_size": False}, 200, 60),
    ],
)
def test_few_users_bound_what_the_suite_does_not_give(monkeypatch, settings, latent, rows):
    monkeypatch.setattr(module, "has_enough_items", lambda data: True)
    assert sizes(**settings) == (latent, [rows] * (60 // rows))


def test_the_latent_vector_has_a_dimension_per_15_users(monkeypatch):
    monkeypatch.setattr(module, "has_enough_items", lambda data: True)
    monkeypatch.setattr(module, "LEAST_LATENT", 2)
    assert sizes()[0] == 4


def test_a_bounded_model_is_restored(monkeypatch):
    monkeypatch.setattr(module, "has_enough_items", lambda data: True)
    model, _ = fitted(MultiVae.make(epochs=2), DATA)
    again = MultiVae.make(epochs=2)
    again.restore(DATA, model.state(), Rng(0))
    assert again.decode.in_features == 64
