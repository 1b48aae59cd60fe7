"""Tests that the numbers of a user do not depend on the other users of the chunk."""

from functools import cache

import numpy as np
import pytest
import torch

from robench.api.rng import Rng
from robench.engine.attack import victim
from robench.engine.measure import MeasuredVictim
from robench.testing.worlds import crowd, fitted, measured_victim
from robench_plugins.attacks.embedding.cw import CarliniWagner
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.mf import MatrixFactorization
from robench_plugins.models.sasrec import SasRec

MODELS = {
    "mf": MatrixFactorization.make(factors=16, epochs=8),
    "lstm": Lstm.make(dim=16, hidden=16, epochs=2),
    "sasrec": SasRec.make(dim=16, max_length=16, epochs=2),
    "bert4rec": Bert4Rec.make(dim=16, epochs=2),
}


@cache
def fitted_victim(name: str) -> MeasuredVictim:
    """Returns a victim with 66 users.

    Their histories have different lengths, and the last histories are not the longest.
    """
    data, test = crowd(n_users=66, length=15, ragged=True)
    return measured_victim(fitted(MODELS[name], data)[0], data, test)


@pytest.mark.parametrize("name", MODELS)
def test_radii_do_not_depend_on_the_chunk_size(name, monkeypatch):
    whole, attack = fitted_victim(name), CarliniWagner.make(steps=15, search=2)
    expected = whole.attacked(attack, 0.1, "").arrays
    assert np.isfinite(expected["radius"][expected["hit"]]).any(), "a world in which the attack succeeds"
    for size in (16, 64):
        monkeypatch.setattr(victim, "chunk_size", lambda *_, size=size: size)
        split = MeasuredVictim(whole.model, whole.history, whole.held, whole.users, 0)
        arrays = split.attacked(attack, 0.1, "").arrays
        for array in expected:
            np.testing.assert_array_equal(arrays[array], expected[array], f"{array}, chunks of {size}")


@pytest.mark.parametrize("name", MODELS)
def test_few_users_have_the_gradients_that_they_have_among_many(name):
    (oracle,) = fitted_victim(name).surface("embedding").oracles(k=10)
    delta = oracle.normal(Rng(3))
    whole = oracle.gradient(delta, "margin")
    for chosen in ([5], [65, 2], [9, 64, 30]):
        answer = oracle.rows(torch.tensor(chosen)).gradient({n: x[chosen] for n, x in delta.items()}, "margin")
        assert torch.equal(answer.loss, whole.loss[chosen])
        for part, own in whole.gradient.items():
            assert torch.equal(answer.gradient[part], own[chosen]), f"{len(chosen)} users"
