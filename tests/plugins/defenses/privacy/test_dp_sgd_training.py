"""Tests the gradients of DP-SGD, and its claim about whole trainings."""

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy.stats import beta

from robench.api import Interactions, Rng
from robench.engine.fit.privatising import hide_users
from robench.testing.worlds import catalogue, crowd
from robench_plugins.defenses.privacy.accountant import calibrate_steps
from robench_plugins.defenses.privacy.dp_sgd import DpSgd
from robench_plugins.defenses.privacy.user_gradients import UserGradients
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.gru4rec import Gru4Rec
from robench_plugins.models.multi_vae import MultiVae
from robench_plugins.models.sasrec import SasRec

pytest.importorskip("opacus", reason="opacus is missing: pip install 'robench[privacy]'")
CLIP = 0.5
MODELS = [
    (MultiVae, {"hidden": 12, "latent": 4}),
    (SasRec, {"dim": 8}),
    (SasRec, {"dim": 8, "loss": "bce"}),
    (Gru4Rec, {"dim": 8, "hidden": 8}),
    (Bert4Rec, {"dim": 8}),
]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def prepared(kind, settings, data):
    """Returns a model in training mode, built as for a private fit."""
    model = kind.make(**settings)
    model.initialise(hide_users(data), Rng(0))
    model.train()
    return model


def length(parts):
    return math.sqrt(sum(float(part.double().square().sum()) for part in parts))


@pytest.mark.parametrize(("kind", "settings"), MODELS)
def test_the_sum_is_that_of_backward_passes_over_single_users(kind, settings):
    data = crowd(12, 20, ragged=True)[0]
    model, rng, expected, lengths = prepared(kind, settings, data), Rng(3), [], []
    kept = [buffer.clone() for buffer in model.buffers()]
    for user in (1, 4, 7, 11):
        row = Interactions.from_rows([data.train.row(user)], data.n_items)
        alone = replace(data, train=row, validation=Interactions.from_rows([()], data.n_items))
        (batch,) = model.batches(alone, rng.child(user, "batches"))
        role = rng.child(user, "step", 0)
        with role.child("embed").stream():
            e = model.embed(batch)
        model.zero_grad()
        with role.child("dropout").stream():
            model.loss_from(batch, e).value.mean().backward()
        own = [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in model.parameters()]
        lengths.append(length(own))
        expected.append([part * min(1.0, CLIP / lengths[-1]) for part in own])
        for buffer, value in zip(model.buffers(), kept, strict=True):
            buffer.copy_(value)
    assert max(lengths) > CLIP, "nobody is clipped"
    total = UserGradients(model, hide_users(data), CLIP)
    total.data = replace(total.data, train=data.train)
    got = total.clipped_sum(np.array([1, 4, 7, 11]), 0, 0.0, rng)
    for part, *others in zip(got, *expected, strict=True):
        torch.testing.assert_close(part, torch.stack(others).sum(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("kind", "settings"), MODELS)
def test_a_user_who_leaves_moves_the_sum_by_at_most_the_clip(kind, settings):
    data = crowd(8, 20, ragged=True)[0]
    model, everyone = prepared(kind, settings, data), np.arange(8)

    def summed(train):
        hidden = replace(hide_users(data), train=train)
        return UserGradients(model, hidden, CLIP).clipped_sum(everyone, 0, 0.0, Rng(1))

    full = summed(data.train)
    moves = [
        length([a - b for a, b in zip(full, summed(data.train.without_users(everyone == user)), strict=True)])
        for user in range(8)
    ]
    assert max(moves) <= CLIP * (1 + 1e-5)
    assert max(moves) > 0.99 * CLIP, "no user reaches the bound"


def test_buffers_keep_their_values_but_for_the_epochs():
    data = crowd(8, 20)[0]
    model = prepared(MultiVae, {"hidden": 8, "latent": 2}, data)
    gradients = UserGradients(model, replace(hide_users(data), train=data.train), CLIP)
    for epoch in range(3):
        gradients.begin_epoch(Rng(epoch))
        gradients.clipped_sum(np.arange(8), epoch, 0.0, Rng(9))
        assert int(model.epochs_begun) == epoch + 1
    assert not model.item_counts.any()


@pytest.mark.parametrize("kind", [SasRec, Bert4Rec])
def test_a_user_without_a_target_adds_nothing(kind):
    rows = Interactions.from_rows([[3], [], [1, 2, 4]], 6)
    data = replace(crowd(3, 6, 2)[0], train=rows, catalogue=catalogue(6))
    gradients = UserGradients(prepared(kind, {"dim": 8}, data), replace(hide_users(data), train=rows), CLIP)
    assert length(gradients.clipped_sum(np.array([0, 1]), 0, 0.0, Rng(0))) == 0
    assert length(gradients.clipped_sum(np.array([2]), 0, 0.0, Rng(0))) > 0


def test_the_noise_is_that_of_all_steps_of_all_epochs():
    defense = DpSgd.make(eps_dp=3, delta=1e-3, rate=0.4)
    assert defense.multiplier(4) == calibrate_steps(3.0, 1e-3, 0.4, 4 * 3)


@dataclass
class ToyBatch:
    users: torch.Tensor

    def to(self, device):
        return self


@dataclass
class ToyLosses:
    value: torch.Tensor


@dataclass
class ToyConfig:
    epochs: int = 2


class Toy(torch.nn.Module):
    """A model with one weight per item.

    The loss of a user is 5 times the mean weight of the user's items.
    """

    config = ToyConfig()
    device = torch.device("cpu")

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(3))

    def batches(self, data, rng):
        if len(data.train):
            yield ToyBatch(torch.from_numpy(np.array(data.train.row(0))))

    def embed(self, batch):
        return batch.users

    def loss_from(self, batch, e):
        return ToyLosses(5 * self.weight[e])


class Summing(DpSgd):
    """Follows the noisy gradients themselves, so that the weights are their sum."""

    def optimiser(self, model):
        return torch.optim.SGD(model.parameters(), lr=1.0)


class LessNoise(Summing):
    def add_noise(self, total, scale, rng):
        super().add_noise(total, 0.4 * scale, rng)


class NotClipped(Summing):
    """A planted fault: gradients are five times as long as the noise hides."""

    def train_privately(self, model, data, rng, report):
        loose = type(self).__mro__[1].make(**{**self.config.resolved(), "clip": 5.0})
        loose.add_noise = lambda total, scale, rng: self.add_noise(total, scale / 5, rng)
        return loose.train_privately(model, data, rng, report)


TRIALS, CLAIMED, DELTA = 1_000, 1.5, 0.05


def empirical_epsilon(kind):
    """Returns a lower bound of the privacy loss of whole trainings.

    It comes from many runs on two data sets.

    Only one user has item 2, and this user is in one of the data sets. The statistic is the weight of the item after
    training. Half of the runs choose the threshold and the other half give the bound. Its parts hold with 99.9% each
    (Clopper & Pearson 1934).
    """
    rows = Interactions.from_rows([[0], [1], [2]], 3)
    hidden = replace(hide_users(crowd(3, 4, 1)[0]), catalogue=catalogue(3))
    defense = kind.make(eps_dp=CLAIMED, delta=DELTA, rate=0.5, clip=1.0)
    samples = []
    for base, train in ((0, rows), (TRIALS, rows.without_users(np.arange(3) == 2))):
        runs = []
        for run in range(TRIALS):
            model = Toy()
            defense.train_privately(model, replace(hidden, train=train), Rng(base + run), lambda *_: None)
            runs.append(-float(model.weight.detach()[2]))
        samples.append(np.array(runs))

    def bound(part, threshold, level):
        hits, alarms = ((sample[part] > threshold).sum() for sample in samples)
        n = TRIALS // 2
        low = beta.ppf(level, hits, n - hits + 1) if hits else 0.0
        return math.log(max(low - DELTA, 1e-12) / beta.ppf(1 - level, alarms + 1, n - alarms))

    choose, judge = slice(0, TRIALS // 2), slice(TRIALS // 2, None)
    threshold = max(np.quantile(samples[1], np.linspace(0.02, 0.98, 49)), key=lambda t: bound(choose, t, 1e-3))
    return bound(judge, threshold, 1e-3)


def test_trainings_on_neighbouring_data_cannot_be_told_apart_better_than_claimed():
    assert 0.1 < empirical_epsilon(Summing) < CLAIMED


@pytest.mark.parametrize("kind", [LessNoise, NotClipped])
def test_a_planted_fault_is_told_apart_better_than_claimed(kind):
    assert empirical_epsilon(kind) > CLAIMED
