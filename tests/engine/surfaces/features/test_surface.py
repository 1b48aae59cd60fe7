"""Tests the surface ``features``.

One δ on the vectors of items has a budget per item and affects all users."""

import numpy as np
import pytest
import torch

from robench.api import EmbeddingAttack, PluginError, Rng
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.checks.victim import measure_table_checks
from robench.engine.surfaces.parameters.oracle import ROWS
from robench.testing.worlds import ReferenceFeatures, crowd, fitted, measured_victim, reference_victim
from robench_plugins.attacks.embedding.apgd import Apgd
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.random_noise import RandomNoise

TARGETS = np.array([3, 17, 30])


def arena_of(attack, epsilon, targets=None, victim=None):
    surface = (victim or reference_victim("features")).surface("features")
    (arena,) = surface.arenas(attack, epsilon, Costs(), Diagnosis(), targets)
    return arena


def vectors():
    return reference_victim("features").catalogue.vectors.astype(np.float64)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_relative_budget_is_a_share_of_the_rms_of_the_vectors(norm):
    arena = arena_of(Fgsm.make(surface="features", norm=norm), 0.25)
    rms = np.sqrt(np.square(vectors()).mean()) * (np.sqrt(6) if norm == "l2" else 1)
    np.testing.assert_allclose(arena.unit.numpy(), np.full(40, rms), rtol=1e-6)
    np.testing.assert_allclose(arena.ball.radius.numpy(), np.full(40, rms / 4), rtol=1e-6)
    absolute = arena_of(Fgsm.make(surface="features", norm=norm, scale="absolute"), 0.25)
    assert set(absolute.ball.radius.tolist()) == {0.25}


def test_a_step_of_fgsm_that_promotes_by_hand():
    # The loss of an item y is −ce = s_y − logsumexp s, and s_y = u · (q_y + E f_y), so only E and softmax are needed.
    victim = reference_victim("features")
    attack = Fgsm.make(surface="features", norm="linf", goal="promote")
    arena = arena_of(attack, 0.1, TARGETS)
    (proposed,) = arena.proposals(attack, victim.rng)
    model = victim.model
    users = model.user_vectors.weight.detach().double().numpy()
    projection = model.projection.weight.detach().double().numpy()
    items = model.item_vectors.weight.detach().double().numpy() + vectors() @ projection.T
    gradient = np.zeros((3, 6))
    for user in range(len(users)):
        scores = items @ users[user]
        known = victim.history.row(user)
        scores[known] = -np.inf
        share = np.exp(scores - scores.max())
        share /= share.sum()
        own = [t for t in TARGETS if t not in known and t not in victim.held.row(user)]
        for place, item in enumerate(TARGETS):
            if item in known or not own:
                continue
            weight = (item in own) / len(own) - share[item]
            gradient[place] += weight * users[user] @ projection
    radius = 0.1 * np.sqrt(np.square(vectors()).mean())
    np.testing.assert_allclose(proposed[ROWS].numpy(), radius * np.sign(gradient), rtol=1e-5)


def test_only_the_vectors_of_promoted_items_move_and_all_move_if_nothing_is_promoted():
    promote = arena_of(Pgd.make(surface="features", goal="promote", steps=2), 0.5, TARGETS)
    assert promote.genuine()[ROWS].shape == (3, 6)
    moved = promote.oracle.tables.plus(torch.ones(3, 6))["item_features"] - torch.from_numpy(vectors()).float()
    assert np.flatnonzero(moved.any(1).numpy()).tolist() == TARGETS.tolist()
    assert arena_of(Pgd.make(surface="features", steps=2), 0.5).genuine()[ROWS].shape == (40, 6)


@pytest.mark.parametrize("goal", ["untargeted", "promote"])
@pytest.mark.parametrize("attack", [Fgsm, Pgd, Apgd, RandomNoise])
def test_nothing_changes_at_epsilon_zero_and_the_budget_is_measured(attack, goal):
    victim = reference_victim("features")
    made = attack.make(surface="features", goal=goal, norm="l2")
    clean = victim.clean(TARGETS).arrays
    still = victim.attacked(made, 0.0, "zero", TARGETS)
    np.testing.assert_array_equal(still.arrays["ranks"], clean["ranks"])
    np.testing.assert_array_equal(still.arrays["top"], clean["top"])
    attacked = victim.attacked(made, 0.3, "some", TARGETS)
    assert 0 < attacked.achieved["epsilon"] <= 0.3 * (1 + 1e-5)
    assert attacked.achieved["overshoot"] <= 1 + 1e-4
    assert attacked.achieved["rows_moved"] <= (40 if goal == "untargeted" else 3)
    again = victim.attacked(made, 0.3, "some", TARGETS)
    for name, part in attacked.arrays.items():
        np.testing.assert_array_equal(part, again.arrays[name])


@pytest.mark.parametrize("goal", ["untargeted", "promote"])
def test_gradients_beat_random_points_of_the_same_norm(goal):
    victim = reference_victim("features")
    settings = {"surface": "features", "goal": goal, "norm": "l2"}
    strong = victim.attacked(Pgd.make(**settings, steps=20), 0.5, "pgd", TARGETS)
    floor = victim.attacked(RandomNoise.make(**settings, draws=22), 0.5, "random", TARGETS)
    assert strong.arrays["loss"].mean() > floor.arrays["loss"].mean()
    if goal == "promote":
        clean = victim.clean(TARGETS).arrays["target_ranks"]
        assert strong.arrays["target_ranks"].mean() < floor.arrays["target_ranks"].mean() < clean.mean()
    else:
        assert strong.arrays["ranks"].mean() > floor.arrays["ranks"].mean()


class Enormous(EmbeddingAttack):
    def perturb(self, oracle, ball, rng):
        yield {ROWS: 1e4 * oracle.normal(rng)[ROWS]}


def test_the_host_projects_what_is_over_budget():
    attack = Enormous.make(surface="features", norm="linf")
    measured = reference_victim("features").attacked(attack, 0.2, "enormous")
    assert measured.achieved["epsilon"] <= 0.2 * (1 + 1e-6)
    assert measured.achieved["overshoot"] > 100


def test_an_item_without_a_vector_keeps_none():
    data, test = crowd()
    rows = data.catalogue.vectors.copy()
    rows[[0, 3]] = 0
    data = data.__class__(data.train, data.validation, data.catalogue.__class__(*_parts(data.catalogue), rows))
    victim = measured_victim(fitted(ReferenceFeatures.make(epochs=2), data)[0], data, test)
    attack = Pgd.make(surface="features", norm="l2", goal="promote", steps=2)
    arena = arena_of(attack, 1.0, TARGETS, victim)
    assert arena.oracle.normal(Rng(0))[ROWS].any(1).tolist() == [False, True, True]
    assert victim.attacked(attack, 1.0, "k", TARGETS).achieved["rows_moved"] == 2
    present = rows[rows.any(1)]
    np.testing.assert_allclose(float(arena.unit[0]), np.sqrt(np.square(present).mean() * 6), rtol=1e-6)


def _parts(catalogue):
    return catalogue.ids, catalogue.items


class Scaled(ReferenceFeatures):
    """Keeps the vectors at a tenth of their size, so that δ is ten times as strong."""

    def build(self, data, rng):
        super().build(data, rng)
        self.item_features.mul_(0.1)


class FalseSlope(ReferenceFeatures):
    """Hides most of the gradient with respect to the vectors."""

    def embed(self, batch):
        features = self.item_features
        table = features.detach() + 0.1 * (features - features.detach())
        return (
            self.under({"item_features": table}, super().embed, batch)
            if features.requires_grad
            else super().embed(batch)
        )


def test_a_model_that_scales_the_vectors_is_refused():
    data, test = crowd()
    victim = measured_victim(fitted(Scaled.make(epochs=1), data)[0], data, test)
    with pytest.raises(PluginError, match="does not hold the vectors of the data set"):
        victim.attacked(Fgsm.make(surface="features"), 0.1, "k")


def test_the_host_compares_gradients_with_finite_differences():
    honest = measure_table_checks(reference_victim("features"), 1.0, "features")
    assert max(honest.values()) < 0.05
    data, test = crowd()
    victim = measured_victim(fitted(FalseSlope.make(epochs=3), data)[0], data, test)
    assert measure_table_checks(victim, 1.0, "features")["table_slope_own"] > 0.5
    measured = victim.attacked(Fgsm.make(surface="features"), 0.1, "k")
    assert measured.checks["table_slope_own"] > 0.5


def test_a_surface_of_a_model_without_vectors_cannot_be_declared():
    with pytest.raises(TypeError, match="no feature_table"):

        class Without(ReferenceFeatures):
            feature_table = ""
