"""Tests the attacks with a surrogate that is trained on single pairs."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from robench.api import Interactions, Rng
from robench.testing import PoisoningAttackTests
from robench.testing.worlds import crowd
from robench_plugins.attacks.poisoning.dpa2dl import Dpa2dl, list_loss, size_loss
from robench_plugins.attacks.poisoning.pointwise import FillerState, PointwiseConfig, PointwiseSurrogate
from robench_plugins.attacks.poisoning.rapu_r import RapuR

SHORT = {"first_steps": 5, "steps_per_fake": 1, "factors": 4, "batch_size": 64}


class TestDpa2dl(PoisoningAttackTests):
    attack = Dpa2dl
    settings = {**SHORT, "poison_steps": 1, "group": 7}


class TestRapuR(PoisoningAttackTests):
    attack = RapuR
    settings = {**SHORT, "group": 7}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_the_loss_of_lists_by_hand():
    logits = np.array([[2.0, 1.0, 0.0, -1.0, -2.0], [0.5, -0.5, 1.5, 3.0, 0.0], [1.0, 1.0, 1.0, 1.0, 9.0]])
    known = np.array([[1, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 1]], dtype=bool)
    logs = np.log(sigmoid(logits))
    # The lists have two items. User 0 has item 0, so its list is 1, 2. The list of user 1 is 3, 2. That of user 2 has
    # two of the items 0 to 3. The targets are 4 and 3. User 2 has the target 4.
    gaps = [
        logs[0, 2] - logs[0, 4],
        logs[0, 2] - logs[0, 3],
        logs[1, 2] - logs[1, 4],
        max(logs[1, 2] - logs[1, 3], -0.1),
        logs[2, 0] - logs[2, 3],
    ]
    assert logs[1, 2] - logs[1, 3] < -0.1
    found = list_loss(torch.tensor(logits), torch.tensor(known), torch.tensor([4, 3]), 2, 0.1)
    assert float(found) == pytest.approx(np.mean(gaps), rel=1e-12)


def test_the_loss_of_fake_users_by_hand():
    logits = np.array([[2.0, 1.0, 0.0, -1.0], [0.5, -0.5, 1.5, 3.0]])
    expected = (sigmoid(logits[:, [0, 2]]) ** 2).mean()
    assert float(size_loss(torch.tensor(logits), torch.tensor([1, 3]))) == pytest.approx(expected, rel=1e-12)


def test_the_gradient_of_the_loss_of_lists_raises_targets_until_the_gap_is_kappa():
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0], [0.0, 1.0, -3.0, 9.0]], requires_grad=True)
    known = torch.zeros(2, 4, dtype=torch.bool)
    list_loss(logits, known, torch.tensor([3]), 2, 0.2).backward()
    assert logits.grad[0, 3] < 0  # the score of the target should rise
    assert logits.grad[0, 1] > 0  # the last item of the list should fall
    assert not logits.grad[1].any()


def test_chosen_items_are_chosen_less_often_until_all_have_been():
    attack = Dpa2dl.make(decay=0.5)
    state = FillerState(Interactions.from_rows([[0]], 5), np.array([4]), 2, torch.Generator())
    predicted = np.array([0.9, 0.8, 0.7, 0.6, 1.0])
    assert attack.choose(predicted, state).tolist() == [0, 1]
    assert state.preference.tolist() == [0.5, 0.5, 1, 1, 1]
    assert attack.choose(predicted, state).tolist() == [2, 3]  # .45, .4, .7, .6
    assert state.preference.tolist() == [1.0] * 5


def surrogate_of(train, n_fakes=2, **settings):
    return PointwiseSurrogate(train, n_fakes, PointwiseConfig(**{**SHORT, **settings}), Rng(0))


def test_the_surrogate_learns_and_a_poison_model_leaves_it_as_it_was():
    train = crowd()[0].train
    surrogate = surrogate_of(train, batch_size=256)
    before = float(surrogate.batch_loss().detach())
    surrogate.train_steps(60)
    assert float(surrogate.batch_loss().detach()) < 0.8 * before
    state = {name: part.clone() for name, part in surrogate.state_dict().items()}
    adam = surrogate.optimizer.state_dict()["state"][0]["exp_avg"].clone()
    with surrogate.restored():
        surrogate.train_steps(3, lambda: surrogate.scores(torch.arange(2)).mean())
        assert not torch.equal(surrogate.item_vectors, state["item_vectors"])
    assert all(torch.equal(part, state[name]) for name, part in surrogate.state_dict().items())
    assert torch.equal(surrogate.optimizer.state_dict()["state"][0]["exp_avg"], adam)
    assert surrogate.steps == 63


def test_fake_users_are_trained_from_when_they_are_added():
    surrogate = surrogate_of(crowd()[0].train, weight_decay=0.0)
    start = surrogate.user_vectors.detach().clone()
    surrogate.train_steps(20)
    assert torch.equal(surrogate.user_vectors[-2:], start[-2:])
    surrogate.add(0, np.arange(20))
    surrogate.train_steps(20)
    assert not torch.equal(surrogate.user_vectors[-2], start[-2])
    assert torch.equal(surrogate.user_vectors[-1], start[-1])


def test_a_poison_model_raises_the_targets():
    train = crowd()[0].train
    targets = np.array([2, 11])
    attack = Dpa2dl.make(**{**SHORT, "first_steps": 40, "poison_steps": 30})
    surrogate = surrogate_of(train)
    surrogate.train_steps(40)
    users, positions = torch.arange(train.n_users), []
    state = FillerState(train, targets, 8, torch.Generator())
    genuine = float(surrogate.scores(users)[:, targets].mean().detach())
    scores = surrogate.scores

    def watched(rows):
        found = scores(rows)
        positions.append(float(scores(users)[:, targets].mean().detach()))
        return found

    surrogate.scores = watched
    row = attack.fillers(surrogate, range(1), state)[0]
    assert positions[-1] > genuine + 0.1
    assert len(row) == 8
    assert not np.isin(targets, row).any()


def test_rapu_r_takes_popular_items_that_suit_the_average_user_and_the_target():
    rows = [[0, 1, 2, 3], [0, 1, 2], [0, 1, 4], [0, 5]]
    train = Interactions.from_rows(rows, 8)
    surrogate = surrogate_of(train, factors=2)
    with torch.no_grad():
        surrogate.user_vectors[:4] = torch.tensor([1.0, 0.0])
        surrogate.item_vectors.copy_(torch.tensor([[1, 0], [2, 0], [0, 3], [9, 9], [9, 9], [9, 9], [0, 1], [-4, 0]]))
    attack = RapuR.make(popular=3 / 8)  # the items 0, 1 and 2 are popular
    state = FillerState(train, np.array([6, 7]), 2, torch.Generator())
    first, second = attack.fillers(surrogate, range(2), state)
    assert first.tolist() == [2, 1]  # the query (1, 1) gives 1, 2 and 3
    assert second.tolist() == [2, 0]  # the query (−3, 0) gives −3, −6 and 0


@pytest.mark.parametrize("attack", [Dpa2dl, RapuR])
def test_only_promotion_is_possible(attack):
    with pytest.raises(ValidationError, match="promote"):
        attack.make(goal="demote")
