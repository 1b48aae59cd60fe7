"""Tests the autoencoder of items and its gradients on a tiny problem."""

import itertools

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.plugins.attacks.poisoning.test_gradients import differences, fractional, loss_of, relative_error
from torch import nn

from robench.api import Interactions, Rng
from robench.testing import PoisoningAttackTests
from robench_plugins.attacks.poisoning.item_autoencoder import ItemAutoencoder, ItemAutoencoderConfig
from robench_plugins.attacks.poisoning.outer_loss import OuterLoss
from robench_plugins.attacks.poisoning.revadv import RevAdv

N_ITEMS, TARGETS = 9, np.array([1, 6])
SHORT = {"hidden": [4, 3], "steps": 3, "unrolled": 2}
LONGER = ItemAutoencoderConfig(hidden=(4, 3), steps=40, unrolled=10, learning_rate=0.03)


@pytest.fixture
def train():
    generator = np.random.default_rng(0)
    return Interactions.from_rows([generator.permutation(N_ITEMS)[: 2 + u % 4] for u in range(12)], N_ITEMS)


def made(train, **settings):
    config = ItemAutoencoderConfig.model_validate({**SHORT, **settings})
    return ItemAutoencoder(train, 2, config, np.random.default_rng(1), torch.float64)


class TestRevAdvWithAnAutoencoder(PoisoningAttackTests):
    attack = RevAdv
    settings = {"steps": 3, "surrogate": "item-ae", "autoencoder": SHORT}


@pytest.mark.parametrize(("steps", "unrolled", "batch_size"), [(4, 4, 2048), (6, 3, 2048), (6, 3, 5), (3, 1, 2048)])
def test_the_gradient_agrees_with_finite_differences(train, steps, unrolled, batch_size):
    """Only the unrolled steps and the encoding after the fit use the moved profiles."""
    surrogate = made(train, steps=steps, unrolled=unrolled, batch_size=batch_size, learning_rate=0.05)
    promotion, profiles = OuterLoss(train, TARGETS, "promote"), fractional()
    value, gradient = RevAdv.make(surrogate="item-ae").loss_and_gradient(surrogate, profiles, promotion)
    with torch.no_grad():
        fixed = surrogate.first_state()
        for number in range(steps - unrolled):
            fixed = surrogate.step(fixed, number, profiles)

        def loss(moved):
            state = fixed
            for number in range(steps - unrolled, steps):
                state = surrogate.step(state, number, moved)
            vectors = surrogate.vectors(state, moved)
            return loss_of(promotion, vectors.real, vectors.items)

        assert loss(profiles) == pytest.approx(value, rel=1e-12)
        assert relative_error(gradient, differences(loss, profiles)) < 1e-6


def test_it_is_an_autoencoder_of_items_trained_with_adam(train):
    """The same network in torch's own layers and optimiser ends with the same scores."""
    fakes = [[0, 1, 2, 5], [3, 6]]
    profiles = torch.zeros(2, N_ITEMS, dtype=torch.float64)
    for row, items in zip(profiles, fakes, strict=True):
        row[items] = 1
    surrogate = made(train, steps=8, learning_rate=0.02, weight_decay=0.1)
    sizes = [14, 4, 3, 4, 14]
    layers = [nn.Linear(*pair, dtype=torch.float64) for pair in itertools.pairwise(sizes)]
    network = nn.Sequential(*[part for layer in layers for part in (layer, nn.Tanh())][:-1])
    vectors = surrogate.fit(profiles)
    with torch.no_grad():
        for own, start in zip(network.parameters(), surrogate.start, strict=True):
            own.copy_(start)
    adam = torch.optim.Adam(network.parameters(), lr=0.02, weight_decay=0.1)
    rows = np.vstack([[[float(i in train.row(u)) for i in range(N_ITEMS)] for u in range(12)], profiles.numpy()])
    inputs = torch.from_numpy(rows.T.copy())
    for _ in range(8):
        weights = torch.where(inputs > 0, 3.0, 1.0)  # 1 + the default confidence
        adam.zero_grad()
        (weights * (inputs - network(inputs)) ** 2).sum().backward()
        adam.step()
    with torch.no_grad():
        scores = torch.cat([vectors.real, vectors.fake]) @ vectors.items.mT
        torch.testing.assert_close(scores, network(inputs).mT, rtol=1e-6, atol=1e-9)


def test_a_user_without_items_gives_no_infinite_gradient():
    train = Interactions.from_rows([[0, 1], [], [2], [1, 2]], N_ITEMS)
    surrogate, loss = made(train, weight_decay=0.0), OuterLoss(train, TARGETS, "promote")
    _, gradient = RevAdv.make(surrogate="item-ae").loss_and_gradient(surrogate, fractional(), loss)
    assert torch.isfinite(gradient).all()
    assert gradient.any()


def test_every_fit_starts_from_new_weights_which_it_does_not_change(train):
    one, other, profiles = made(train, steps=3, unrolled=3), made(train, steps=3, unrolled=3), fractional()
    loss = OuterLoss(train, TARGETS, "promote")
    attack = RevAdv.make(surrogate="item-ae")
    found = [attack.loss_and_gradient(one, profiles, loss)[1] for _ in range(2)]
    assert relative_error(found[0], found[1]) > 0.01
    other.draw()
    assert not torch.equal(one.start[0], other.start[0])
    torch.testing.assert_close(attack.loss_and_gradient(other, profiles, loss)[1], found[1], rtol=0, atol=0)
    assert all(torch.equal(mine, its) for mine, its in zip(one.start, other.start, strict=True))
    assert not any(weights.requires_grad for weights in [*one.start, one.real])


def test_the_loss_falls_on_other_weights_and_the_costs_count_steps(train):
    """The profiles are rated on fits with other first weights."""
    judge, loss = ItemAutoencoder(train, 3, LONGER, np.random.default_rng(7)), OuterLoss(train, TARGETS, "promote")
    values, costs = [], []
    for steps in (1, 12):
        attack = RevAdv.make(steps=steps, surrogate="item-ae", autoencoder=LONGER.model_dump())
        found = attack.profiles(train, targets=TARGETS, n_users=3, profile_size=4, rng=Rng(0))
        profiles = torch.zeros(3, N_ITEMS)
        for row, items in zip(profiles, found.rows, strict=True):
            row[torch.tensor(items)] = 1
        judge.generator = np.random.default_rng(7)
        with torch.no_grad():
            values.append(np.mean([loss.slope(judge.fit(profiles)).value for _ in range(20)]))
        costs.append(found.costs)
    assert values[1] < values[0]
    assert (costs[1]["surrogate_steps"], costs[1]["surrogate_fits"]) == (12 * LONGER.steps, 12)


def test_the_profiles_move_by_the_step_length_of_the_surrogate():
    assert RevAdv.make(learning_rate=3.0).step_length == 3.0
    assert RevAdv.make(surrogate="item-ae", autoencoder={"step_length": 7.0}).step_length == 7.0


def test_the_default_surrogate_leaves_the_settings_of_earlier_cells_unchanged():
    assert not {"surrogate", "autoencoder"} & set(RevAdv.Config().resolved())
    assert RevAdv.Config(surrogate="item-ae").resolved()["surrogate"] == "item-ae"


@pytest.mark.parametrize(
    ("settings", "idle"),
    [
        ({"autoencoder": {"steps": 7}}, "autoencoder has no effect with surrogate: wmf"),
        ({"surrogate": "item-ae", "learning_rate": 2.0}, "learning_rate has no effect with surrogate: item-ae"),
        ({"surrogate": "item-ae", "rounds": 7}, "rounds has no effect with surrogate: item-ae"),
        ({"surrogate": "item-ae", "unrolled": 1}, "unrolled has no effect with surrogate: item-ae"),
    ],
)
def test_settings_of_another_surrogate_are_a_mistake(settings, idle):
    with pytest.raises(ValidationError, match=idle):
        RevAdv.make(**settings)
