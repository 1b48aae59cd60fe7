"""Tests that the check of table gradients finds wrong ones, without false alarms."""

import pytest
import torch
from tests.engine.checks.test_victim import SMALL, victim, wrapped
from tools.faults import masking as MASKING

from robench.api import Rng
from robench.engine.measure import MeasuredVictim
from robench.tables.checks import CHECKS, TABLE_SLOPES
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.defenses.adversarial_training import AdversarialTraining
from robench_plugins.defenses.smoothing import Smoothing
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.mf import MatrixFactorization
from robench_plugins.models.sasrec import SasRec

KINDS = [MatrixFactorization, Lstm, SasRec]


def flags(measured):
    numbers = {**measured.checks, **measured.table_checks("parameters")}
    return {check.flag for check in CHECKS if check.fails(numbers)}


@pytest.mark.parametrize("kind", KINDS)
def test_planted_wraps_get_the_flag(kind):
    base = victim(kind)
    for name, cls in MASKING.FALSE_TABLES.items():
        assert MASKING.TABLE_FLAG in flags(wrapped(base, cls(base.model))), name


@pytest.mark.parametrize("name", ["detached-tables", "reversed-tables"])
def test_only_this_check_finds_them(name):
    base = victim(MatrixFactorization)
    assert flags(wrapped(base, MASKING.FALSE_TABLES[name](base.model))) == {MASKING.TABLE_FLAG}


@pytest.mark.parametrize("kind", SMALL)
def test_built_in_models_pass_also_if_they_are_smoothed(kind):
    base = victim(kind)
    assert not flags(base)
    assert not flags(wrapped(base, Smoothing.make(draws=4).wrap(base.model, Rng(0))))


@pytest.mark.parametrize("kind", KINDS)
def test_honest_wraps_pass(kind):
    base = victim(kind)
    for name in ("tempered", "centred", "clipped"):
        assert not flags(wrapped(base, MASKING.HONEST_WRAPS[name](base.model))), name


@pytest.mark.parametrize("kind", [MatrixFactorization, Lstm])
def test_a_defence_that_trains_on_shifted_tables_passes(kind):
    assert not flags(victim(kind, AdversarialTraining.make(epsilon=0.2, norm="l2")))


def test_only_attacks_on_tables_have_these_numbers():
    base = victim(MatrixFactorization)
    measured = MeasuredVictim(base.model, base.history, base.held, base.users, 0)
    before = torch.get_rng_state()
    on_inputs = measured.attacked(Fgsm.make(norm="l2"), 0.2, "one")
    on_tables = measured.attacked(Fgsm.make(norm="l2", surface="parameters"), 0.2, "two")
    assert torch.equal(before, torch.get_rng_state())
    assert not set(TABLE_SLOPES) & on_inputs.checks.keys()
    assert set(TABLE_SLOPES) <= on_tables.checks.keys()
    assert on_inputs.checks.items() <= on_tables.checks.items()
