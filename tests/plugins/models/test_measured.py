"""Tests the models with embedded inputs as measured victims.

Without a budget, training with λ < 1 equals clean training, and attacks change nothing.
"""

from functools import cache

import numpy as np
import pytest
import torch

from robench.api import Rng, Step
from robench.testing.worlds import crowd, fitted, measured_victim
from robench_plugins.attacks.embedding.cw import CarliniWagner
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.defenses.adversarial_training import AdversarialTraining
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.gru4rec import Gru4Rec
from robench_plugins.models.lightgcn import LightGcn
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.mf import MatrixFactorization
from robench_plugins.models.multi_vae import MultiVae
from robench_plugins.models.neumf import NeuMf
from robench_plugins.models.sasrec import SasRec

MODELS = {
    "mf": (MatrixFactorization, {"factors": 8, "epochs": 5}),
    "lstm": (Lstm, {"dim": 8, "hidden": 8, "max_length": 12, "epochs": 3}),
    "bert4rec": (Bert4Rec, {"dim": 8, "max_length": 12, "epochs": 3}),
    "gru4rec": (Gru4Rec, {"dim": 8, "hidden": 8, "max_length": 12, "epochs": 3}),
    "sasrec": (SasRec, {"dim": 8, "max_length": 12, "epochs": 3}),
    "sasrec-bce": (SasRec, {"dim": 8, "max_length": 12, "epochs": 3, "loss": "bce"}),
    "neumf": (NeuMf, {"factors": 4, "mlp_factors": 4, "hidden": [8, 4], "epochs": 5}),
    "multi-vae": (MultiVae, {"hidden": 16, "latent": 8, "epochs": 5}),
    "lightgcn": (LightGcn, {"factors": 8, "epochs": 5}),
}
ONE_VECTOR = {"mf", "neumf", "multi-vae", "lightgcn"}  # the input is one vector per user, all of it perturbable
ONE_STEP = {"epochs": 1, "batch_size": 100_000, "learning_rate": 1e-3}


@cache
def victim(name):
    """Returns the measured victim of a model. Each model is fitted only once."""
    kind, settings = MODELS[name]
    data, test = crowd(ragged=True)
    return measured_victim(fitted(kind.make(**settings), data)[0], data, test)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("inner", ["fgsm", "pgd"])
def test_lambda_below_one_without_budget_takes_the_step_of_lambda_one(name, inner):
    """The steps at λ = 1 and at λ = 0.5 differ only by rounding.

    At λ = 0.5, a step sums the losses of two passes. Both passes use the same dropout.
    """
    kind, settings = MODELS[name]
    data, _ = crowd(n_users=24, ragged=True)
    states = []
    for weight in (1.0, 0.5):
        defense = AdversarialTraining.make(**{"lambda": weight, "epsilon": 0.0, "inner": inner, "steps": 2})
        model, report = fitted(kind.make(**{**settings, **ONE_STEP}), data, defense)
        assert report.epochs == 1
        states.append(model.state())
    start = kind.make(**settings)
    start.initialise(data, Rng(0).child("fit"))
    moved = [np.abs(part - states[0][key]).max() for key, part in start.state().items() if "weight" in key]
    assert max(moved) > 5e-4, "no step was taken"
    for key, part in states[0].items():
        np.testing.assert_allclose(states[1][key], part, rtol=0, atol=1e-6, err_msg=key)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("weight", [0.75, 0.25, 0.0])
def test_without_budget_the_gradient_is_that_of_the_clean_loss(name, weight):
    """Wrong weights of the clean and of the robust loss would scale the gradient.

    The first step of Adam does not depend on the scale, so the test compares gradients.
    """
    kind, settings = MODELS[name]
    data, _ = crowd(n_users=24, ragged=True)
    model = kind.make(**settings)
    model.initialise(data, Rng(0))
    model.train()
    batch = next(iter(model.batches(data, Rng(1))))
    gradients = []
    for share in (1.0, weight):
        model.zero_grad()
        defense = AdversarialTraining.make(**{"lambda": share, "epsilon": 0.0})
        defense.loss(Step(model, batch, 0, 0.0, Rng(2))).backward()
        gradients.append(torch.cat([part.grad.flatten() for part in model.parameters()]))
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "attack",
    [Fgsm.make(), Fgsm.make(norm="l2"), Pgd.make(steps=3, restarts=2), CarliniWagner.make(steps=5, search=2)],
    ids=["fgsm-linf", "fgsm-l2", "pgd", "cw"],
)
def test_an_attack_without_budget_is_the_clean_cell_bit_for_bit(name, attack):
    clean = victim(name).clean(None).arrays
    attacked = victim(name).attacked(attack, 0.0, f"zero-{type(attack).__name__}-{attack.config.norm}").arrays
    for part in ("ranks", "top", "candidates", "indptr", "users"):
        np.testing.assert_array_equal(attacked[part], clean[part])
    assert not attacked["l2"].any()
    np.testing.assert_array_equal(attacked["loss"], attacked["clean_loss"])


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_zero_at_positions_that_may_not_be_perturbed(name):
    for oracle in victim(name).surface("embedding").oracles(k=10):
        gradient = oracle.gradient(oracle.zero()).gradient
        for key, part in gradient.items():
            valid = oracle.clean.valid[key]
            assert bool(part[valid].any())
            assert not bool(part[~valid].any())
            assert name in ONE_VECTOR or not bool(valid.all())
