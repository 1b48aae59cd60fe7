"""Tests the gradients of attacks with fake users on a tiny problem."""

import numpy as np
import pytest
import torch

from robench.api import Interactions, Rng
from robench.testing import PoisoningAttackTests
from robench_plugins.attacks.poisoning.gradient_attack import first_scores, project
from robench_plugins.attacks.poisoning.outer_loss import OuterLoss
from robench_plugins.attacks.poisoning.pga import Pga
from robench_plugins.attacks.poisoning.revadv import RevAdv
from robench_plugins.attacks.poisoning.surrogate import Surrogate, Vectors
from robench_plugins.models.wmf import Wmf

N_ITEMS, TARGETS = 9, np.array([1, 6])
SHORT = {"steps": 3, "factors": 4, "rounds": 3, "weight_decay": 2.0}


@pytest.fixture
def train():
    generator = np.random.default_rng(0)
    return Interactions.from_rows([generator.permutation(N_ITEMS)[: 2 + u % 4] for u in range(12)], N_ITEMS)


@pytest.fixture
def surrogate(train):
    return Surrogate(train, 3, 2.0, 1.5, np.random.default_rng(1), torch.float64)


@pytest.fixture
def promotion(train):
    return OuterLoss(train, TARGETS, "promote")


def loss_of(loss, real, items):
    """Returns the value of an outer loss at the vectors of real users and items."""
    return float(loss.of_users(real, items, 0, len(real)))


def fractional():
    return torch.from_numpy(np.random.default_rng(2).uniform(0.1, 0.9, (2, N_ITEMS)))


def differences(function, profiles, step=1e-5):
    """Returns the central differences of a function of profiles, [F, I]."""
    result = torch.zeros_like(profiles)
    for place in np.ndindex(*profiles.shape):
        moved = [profiles.clone(), profiles.clone()]
        moved[0][place] += step
        moved[1][place] -= step
        result[place] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return result


def relative_error(found, expected):
    return float((found - expected).norm() / expected.norm())


class TestRevAdv(PoisoningAttackTests):
    attack = RevAdv
    settings = SHORT


class TestPga(PoisoningAttackTests):
    attack = Pga
    settings = SHORT


class TestSharpRevAdv(PoisoningAttackTests):
    attack = RevAdv
    settings = {**SHORT, "sharpness": 0.1}


@pytest.mark.parametrize(("rounds", "unrolled"), [(3, 3), (5, 2), (4, 1)])
def test_the_gradient_of_revadv_agrees_with_finite_differences(surrogate, promotion, rounds, unrolled):
    """Only the unrolled rounds use the moved profiles.

    The earlier rounds use the original profiles.
    """
    profiles = fractional()
    attack = RevAdv.make(rounds=rounds, unrolled=unrolled)
    value, gradient = attack.loss_and_gradient(surrogate, profiles, promotion)
    with torch.no_grad():
        fixed = surrogate.fit(profiles, rounds - unrolled).items

        def loss(moved):
            vectors = Vectors(fixed, fixed, fixed)
            for _ in range(unrolled):
                vectors = surrogate.next_round(vectors.items, moved)
            return loss_of(promotion, vectors.real, vectors.items)

        assert loss(profiles) == pytest.approx(value, rel=1e-12)
        assert relative_error(gradient, differences(loss, profiles)) < 1e-6


def test_a_gradient_with_more_unrolled_rounds_is_nearer_to_that_of_the_whole_fit(surrogate, promotion):
    profiles = fractional()
    whole = RevAdv.make(rounds=8, unrolled=8).loss_and_gradient(surrogate, profiles, promotion)[1]
    errors = [
        relative_error(RevAdv.make(rounds=8, unrolled=some).loss_and_gradient(surrogate, profiles, promotion)[1], whole)
        for some in (1, 2, 5)
    ]
    assert errors[0] > errors[1] > errors[2]


def test_the_gradient_of_pga_is_that_of_its_ridge_problem(train, surrogate, promotion):
    """Numpy solves the weighted ridge problem of each item for every moved entry."""
    profiles = fractional()
    value, gradient = Pga.make(rounds=4).loss_and_gradient(surrogate, profiles, promotion)
    with torch.no_grad():
        vectors = surrogate.fit(profiles, 4)
    users = torch.cat([vectors.real, vectors.fake]).numpy()
    real = np.array([[float(i in train.row(u)) for i in range(N_ITEMS)] for u in range(train.n_users)])

    def loss(moved):
        shares = np.vstack([real, moved.numpy()])
        # (1 − a) s² + a (1 + α)(1 − s)² is a sum of squares, so that least squares solve it row by row.
        items = []
        for share in shares.T:
            left = [np.sqrt(1 - share)[:, None] * users, np.sqrt(3 * share)[:, None] * users, np.sqrt(1.5) * np.eye(3)]
            right = np.concatenate([np.zeros(len(users)), np.sqrt(3 * share), np.zeros(3)])
            items.append(np.linalg.lstsq(np.vstack(left), right, rcond=None)[0])
        return loss_of(promotion, vectors.real, torch.from_numpy(np.array(items)))

    assert loss(profiles) == pytest.approx(value, rel=1e-9)
    assert relative_error(gradient, differences(loss, profiles)) < 1e-6


def test_with_whole_profiles_the_surrogate_is_wmf(train, surrogate):
    fakes = [[0, 1, 2, 5], [3, 6]]
    profiles = torch.zeros(2, N_ITEMS, dtype=torch.float64)
    for row, items in zip(profiles, fakes, strict=True):
        row[items] = 1
    model = Wmf.make(factors=3, confidence=2.0, weight_decay=1.5, iterations=4)
    model.item_vectors = surrogate.start.numpy()
    model.learn(type("Data", (), {"train": train.appended([np.array(row) for row in fakes])}))
    np.testing.assert_allclose(surrogate.fit(profiles, 4).items, model.item_vectors, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("goal", ["promote", "demote", "untargeted"])
def test_the_outer_loss_by_hand_and_in_blocks(monkeypatch, goal):
    rows, targets = [[1], [0, 2], [], [2]], np.array([0, 2])
    generator = np.random.default_rng(0)
    real, items = (torch.from_numpy(generator.normal(size=(n, 2))) for n in (4, 3))
    s = real.numpy() @ items.numpy().T
    logs = s - np.log(np.exp(s).sum(1, keepdims=True))
    mean = logs[:, targets].mean()
    own = np.mean([logs[user, row].mean() for user, row in enumerate(rows) if row])
    loss = OuterLoss(Interactions.from_rows(rows, 3), targets, goal)
    whole = loss.slope(Vectors(real, real[:0], items))
    monkeypatch.setattr("robench_plugins.attacks.poisoning.outer_loss.BLOCK_ENTRIES", 1)
    blocks = loss.slope(Vectors(real, real[:0], items))
    assert whole.value == pytest.approx({"promote": -mean, "demote": mean, "untargeted": own}[goal], rel=1e-6)
    assert whole.value == pytest.approx(blocks.value, rel=1e-12)
    torch.testing.assert_close(whole.real, blocks.real)
    torch.testing.assert_close(whole.items, blocks.items)


def test_sharpness_takes_the_slope_at_vectors_moved_along_the_gradient(surrogate, promotion):
    with torch.no_grad():
        vectors = surrogate.fit(fractional(), 3)
    plain, sharp = (promotion.slope(vectors, rho) for rho in (0.0, 0.2))
    parts = torch.cat([vectors.real.flatten(), vectors.items.flatten()])
    gradient = torch.cat([plain.real.flatten(), plain.items.flatten()])
    moved = parts + 0.2 * parts.norm() * gradient / gradient.norm()
    real = moved[: vectors.real.numel()].view_as(vectors.real)
    items = moved[vectors.real.numel() :].view_as(vectors.items)
    there = promotion.slope(Vectors(real, real[:0], items))
    assert sharp.value == pytest.approx(there.value, rel=1e-12)
    assert sharp.value > plain.value
    torch.testing.assert_close(sharp.items, there.items)


@pytest.mark.parametrize("attack", [RevAdv, Pga])
def test_sharpness_reaches_the_loss_and_the_gradient_of_the_attack(surrogate, promotion, attack):
    profiles = fractional()
    settings = {"rounds": 3, "unrolled": 3} if attack is RevAdv else {"rounds": 3}
    with torch.no_grad():
        there = promotion.slope(surrogate.fit(profiles, 3), 0.2)
    plain, sharp = (
        attack.make(**settings, sharpness=rho).loss_and_gradient(surrogate, profiles, promotion) for rho in (0.0, 0.2)
    )
    assert sharp[0] == pytest.approx(there.value, rel=1e-9)
    assert sharp[0] > plain[0]
    assert relative_error(sharp[1], plain[1]) > 0.01


def test_no_gradient_reaches_real_rows(train, surrogate, promotion):
    before = train.sha256()
    blocks = [part for rows in (surrogate.by_user, surrogate.by_item) for block in rows.blocks for part in block]
    RevAdv.make(rounds=2).loss_and_gradient(surrogate, fractional(), promotion)
    assert train.sha256() == before
    assert all(part.dtype == torch.int64 for part in blocks)  # indices of ones, which have no gradient
    assert not surrogate.start.requires_grad


def test_the_candidate_with_the_lowest_loss_is_returned(train, monkeypatch):
    losses, seen = iter([3.0, 1.0, 2.0]), []

    def loss_and_gradient(self, surrogate, profiles, loss):
        seen.append(profiles.clone())
        return next(losses), torch.from_numpy(np.random.default_rng(len(seen)).normal(size=profiles.shape)).float()

    monkeypatch.setattr(Pga, "loss_and_gradient", loss_and_gradient)
    made = Pga.make(**SHORT).profiles(train, targets=TARGETS, n_users=2, profile_size=4, rng=Rng(0))
    for row, expected in zip(made.rows, seen[1], strict=True):
        assert sorted(row.tolist()) == expected.nonzero().flatten().tolist()
    assert not torch.equal(seen[0], seen[1])
    assert made.costs == {"surrogate_fits": 3, "surrogate_rounds": 9, "outer_loss": 1.0}


def test_first_profiles_are_real_rows_with_the_targets(train):
    scores = first_scores(train, 5, 4, np.random.default_rng(0))
    whole = [set(train.row(u).tolist()) for u in range(train.n_users) if len(train.row(u)) <= 4]
    for row in project(scores, torch.tensor(TARGETS), 6, "promote"):
        items = set(row.nonzero().flatten().tolist())
        assert len(items) == 6 >= len({1, 6} & items) == 2
        assert any(row <= items for row in whole)


def test_the_loss_falls(train):
    made = [
        RevAdv.make(**{**SHORT, "steps": steps}).profiles(train, targets=TARGETS, n_users=3, profile_size=4, rng=Rng(0))
        for steps in (1, 12)
    ]
    assert made[1].costs["outer_loss"] < made[0].costs["outer_loss"]


@pytest.mark.parametrize("goal", ["demote", "untargeted"])
def test_other_goals_lower_their_loss_without_the_targets(train, goal):
    targets = TARGETS if goal == "demote" else TARGETS[:0]
    made = [
        RevAdv.make(**{**SHORT, "steps": steps}, goal=goal).profiles(
            train, targets=targets, n_users=3, profile_size=4, rng=Rng(0)
        )
        for steps in (1, 12)
    ]
    assert made[1].costs["outer_loss"] < made[0].costs["outer_loss"]
    for row in made[1].rows:
        assert len(row) == 4
        assert not np.isin(targets, row).any()


def test_the_gradient_of_targets_does_not_shorten_the_step(train, monkeypatch):
    """Targets stay in every profile, so their gradient must not count."""

    def made(of_targets):
        def loss_and_gradient(self, surrogate, profiles, loss):
            gradient = torch.from_numpy(np.random.default_rng(0).normal(size=profiles.shape)).float()
            gradient[:, loss.targets] = of_targets
            return -float(profiles[:, [0, 4]].sum()), gradient

        monkeypatch.setattr(Pga, "loss_and_gradient", loss_and_gradient)
        settings = {**SHORT, "steps": 5, "learning_rate": 3.0}
        found = Pga.make(**settings).profiles(train, targets=TARGETS, n_users=2, profile_size=4, rng=Rng(0))
        return [row.tolist() for row in found.rows], found.costs["outer_loss"]

    assert made(1e6) == made(0.0)
    assert made(0.0)[1] < 0
