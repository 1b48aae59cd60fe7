"""Tests that the checks find every planted fault, and raise no false alarm."""

from functools import cache

import pytest
import torch
from tools.faults import masking as MASKING

from robench.api import Rng
from robench.engine.measure import MeasuredVictim
from robench.tables.checks import CHECKS
from robench.testing.worlds import crowd, fitted, measured_victim
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.defenses.adversarial_training import AdversarialTraining
from robench_plugins.defenses.smoothing import Smoothing
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.gru4rec import Gru4Rec
from robench_plugins.models.lightgcn import LightGcn
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.mf import MatrixFactorization
from robench_plugins.models.multi_vae import MultiVae
from robench_plugins.models.neumf import NeuMf
from robench_plugins.models.sasrec import SasRec

SMALL = {
    MatrixFactorization: {"factors": 16, "epochs": 20, "batch_size": 64},
    LightGcn: {"factors": 8, "epochs": 5, "batch_size": 64},
    NeuMf: {"factors": 8, "mlp_factors": 8, "epochs": 5, "batch_size": 64},
    MultiVae: {"hidden": 16, "latent": 8, "epochs": 5},
    Lstm: {"dim": 16, "hidden": 16, "epochs": 4},
    Gru4Rec: {"dim": 16, "hidden": 16, "epochs": 2},
    SasRec: {"dim": 16, "layers": 1, "epochs": 4},
    Bert4Rec: {"dim": 16, "epochs": 2, "min_epochs": 0},
}


@cache
def victim(kind, defense=None):
    data, test = crowd(ragged=True)
    model, _ = fitted(kind.make(**SMALL[kind]), data, defense)
    return measured_victim(model, data, test)


def wrapped(base, model):
    return MeasuredVictim(model, base.history, base.held, base.users, 0, inner=base.model)


def failures(measured):
    return {check.flag for check in CHECKS if check.fails(measured.checks)}


@pytest.mark.parametrize("kind", [MatrixFactorization, Lstm, SasRec])
def test_every_planted_wrap_gets_its_flag(kind):
    base = victim(kind)
    assert MASKING.FLAGS.keys() == MASKING.FALSE_WRAPS.keys()
    for name, cls in MASKING.FALSE_WRAPS.items():
        assert failures(wrapped(base, cls(base.model))) >= MASKING.FLAGS[name], name


@pytest.mark.parametrize("kind", [MatrixFactorization, Lstm, SasRec])
def test_honest_wraps_get_no_flag(kind):
    base = victim(kind)
    for name, cls in MASKING.HONEST_WRAPS.items():
        assert not failures(wrapped(base, cls(base.model))), name


@pytest.mark.parametrize("kind", MASKING.FALSE_MODELS.values())
def test_planted_models_get_a_flag(kind):
    data, test = crowd(ragged=True)
    model, _ = fitted(kind.make(**SMALL[kind.__base__]), data)
    assert "scores bypass the inputs" in failures(measured_victim(model, data, test))


@pytest.mark.parametrize("kind", SMALL)
def test_built_in_models_pass_also_if_they_are_smoothed(kind):
    base = victim(kind)
    assert not failures(base)
    assert not failures(wrapped(base, Smoothing.make(draws=4).wrap(base.model, Rng(0))))


@pytest.mark.parametrize("kind", [MatrixFactorization, Lstm])
def test_trained_defences_pass(kind):
    assert not failures(victim(kind, AdversarialTraining.make(epsilon=0.2, norm="l2")))


def test_checks_run_only_before_attacks_on_vectors_and_change_no_stream():
    base = victim(MatrixFactorization)
    first = MeasuredVictim(base.model, base.history, base.held, base.users, 0)
    second = MeasuredVictim(base.model, base.history, base.held, base.users, 0)
    assert not first.clean(None).checks
    before = torch.get_rng_state()
    checks = second.checks
    assert torch.equal(before, torch.get_rng_state())
    attack = Fgsm.make(norm="l2")
    one, two = (victim.attacked(attack, 0.2, "fgsm") for victim in (first, second))
    assert one.checks == two.checks == checks
    assert one.diagnostics == two.diagnostics
    assert all((one.arrays[name] == two.arrays[name]).all() for name in one.arrays)


def test_a_victim_that_draws_only_under_attack_is_scored_several_times():
    base = victim(MatrixFactorization)
    noisy = wrapped(base, MASKING.NoiseOffTable(base.model))
    noisy.attacked(Fgsm.make(norm="l2"), 0.2, "fgsm")
    assert not noisy.draws().stochastic
    assert noisy.surface("embedding").draws().stochastic
