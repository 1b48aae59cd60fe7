"""Tests properties of fits and attacks that must hold exactly.

The cases include λ = 1, ε = 0, poisoning without fake users, FGSM computed by hand, and PGD that stays in its ball.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api.attacks.ball import Ball, l2, linf
from robench.api.rng import Rng
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd, fitted, reference_victim, same_state
from robench_plugins.attacks.embedding.cw import CarliniWagner
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.defenses.adversarial_training import AdversarialTraining


@pytest.mark.parametrize("model", [ReferencePairwise, ReferenceSequence])
@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("inner", ["fgsm", "pgd"])
@pytest.mark.parametrize("loss", ["own", "hinge"])
def test_lambda_one_is_the_undefended_model_bit_for_bit(model, shortcut, inner, loss):
    data, _ = crowd(n_users=24)
    defense = AdversarialTraining.make(
        **{"lambda": 1.0, "epsilon": 0.3, "inner": inner, "steps": 2, "loss": loss, "shortcut": shortcut}
    )
    one, two = (fitted(model.make(epochs=3), data, d)[0] for d in (None, defense))
    assert same_state(one, two)


def test_without_the_shortcut_the_inner_attack_really_runs():
    data, _ = crowd(n_users=24)
    defense = AdversarialTraining.make(**{"lambda": 1.0, "epsilon": 0.3, "shortcut": False})
    _, report = fitted(ReferencePairwise.make(epochs=1), data, defense)
    assert report.achieved["train_epsilon_share"] == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("kind", ["pairwise", "sequence"])
@pytest.mark.parametrize("attack", [Fgsm.make(), Pgd.make(norm="l2", restarts=2), CarliniWagner.make(steps=10)])
def test_an_attack_without_budget_is_the_clean_cell_bit_for_bit(kind, attack):
    bench = reference_victim(kind)
    clean = bench.clean(None).arrays
    arrays = bench.attacked(attack, 0.0, f"zero-{type(attack).__name__}").arrays
    for name in ("ranks", "top", "candidates", "indptr", "users"):
        np.testing.assert_array_equal(arrays[name], clean[name])


@pytest.mark.parametrize("model", [ReferencePairwise, ReferenceSequence])
def test_poisoning_with_no_fake_user_is_the_clean_model_bit_for_bit(model):
    data, _ = crowd(n_users=24)
    poisoned = replace(data, train=data.train.appended([]))
    assert same_state(fitted(model.make(epochs=2), data)[0], fitted(model.make(epochs=2), poisoned)[0])


def test_fakes_do_not_change_the_start_of_real_users():
    data, _ = crowd(n_users=24)
    poisoned = replace(data, train=data.train.appended([np.arange(5)] * 3))
    one, two = ReferencePairwise(), ReferencePairwise()
    one.initialise(data, Rng(0))
    two.initialise(poisoned, Rng(0))
    assert torch.equal(one.user_vectors.weight, two.user_vectors.weight[:24])
    assert torch.equal(one.item_vectors.weight, two.item_vectors.weight)


@pytest.mark.parametrize("kind", ["pairwise", "sequence"])
def test_fgsm_is_epsilon_rms_sign_of_the_gradient(kind):
    bench = reference_victim(kind)
    oracle = next(bench.surface("embedding").oracles(k=10))
    model, e = bench.model, oracle.clean
    (name,) = e.inputs
    x = e.inputs[name].clone().requires_grad_()
    scores = model.score_from(oracle.batch, replace(e, inputs={name: x}))
    row, item = oracle.chunk.masked
    scores = scores.index_put((row, item), torch.tensor(-torch.inf))
    held = oracle.chunk.held[:, 0]
    loss = torch.nn.functional.cross_entropy(scores, held, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x)
    valid = e.valid[name].unsqueeze(-1)
    values = e.inputs[name][valid.expand_as(e.inputs[name])]
    rms = values.double().square().mean().sqrt().float()
    assert bench.surface("embedding").rms() == pytest.approx(float(rms), rel=1e-6)
    ball = Ball("linf", torch.full((len(held),), 0.05 * bench.surface("embedding").rms()))
    (delta,) = Fgsm.make(norm="linf").perturb(oracle, ball, Rng(0))
    expected = 0.05 * bench.surface("embedding").rms() * gradient.sign() * valid
    torch.testing.assert_close(delta[name], expected, rtol=1e-6, atol=0)
    # In L2, the step is the normalised gradient of each row, scaled to the radius of the row.
    ball = Ball("l2", 0.05 * bench.surface("embedding").rms() * oracle.lengths().sqrt())
    (delta,) = Fgsm.make(norm="l2").perturb(oracle, ball, Rng(0))
    torch.testing.assert_close(l2(delta), ball.radius, rtol=1e-5, atol=0)
    cosine = torch.nn.functional.cosine_similarity((delta[name]).flatten(1), (gradient * valid).flatten(1))
    assert bool((cosine > 1 - 1e-5).all())


class _Witness:
    """An oracle that records the points at which an attack computes gradients."""

    def __init__(self, oracle, candidates):
        self.oracle, self.candidates = oracle, candidates

    def __getattr__(self, name):
        return getattr(self.oracle, name)

    def gradient(self, delta, *further):
        self.candidates.append({name: part.clone() for name, part in delta.items()})
        return self.oracle.gradient(delta, *further)


class _Watched(Pgd):
    """A PGD attack that records its iterates and its candidates for a test."""

    candidates: list

    def perturb(self, oracle, ball, rng):
        points = []
        for candidate in super().perturb(_Witness(oracle, points), ball, rng):
            self.candidates.append((candidate, ball))
            yield candidate
        assert len(points) == self.config.steps * self.config.restarts
        self.candidates += [(delta, ball) for delta in points]


@given(st.floats(1e-4, 5), st.sampled_from(["l2", "linf"]), st.integers(1, 6), st.integers(1, 2))
@settings(max_examples=25, deadline=None)
def test_pgd_never_leaves_its_ball_in_its_own_norm(epsilon, norm, steps, restarts):
    bench = reference_victim("sequence")
    attack = _Watched.make(norm=norm, steps=steps, restarts=restarts)
    attack.candidates = []
    bench.attacked(attack, epsilon, "watched")
    assert attack.candidates
    for candidate, ball in attack.candidates:
        size = l2(candidate) if norm == "l2" else linf(candidate)
        assert bool((size <= ball.radius * (1 + 1e-5)).all())


@given(st.just(0.0) | st.floats(1e-12, 10), st.sampled_from(["l2", "linf"]), st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_projection_is_into_the_ball_idempotent_and_leaves_inner_points(radius, norm, seed):
    generator = torch.Generator().manual_seed(seed)
    delta = {"x": torch.randn(7, 3, 4, generator=generator)}
    ball = Ball(norm, torch.full((7,), radius))
    inside = ball.project(delta)
    size = l2(inside) if norm == "l2" else linf(inside)
    assert bool((size <= radius * (1 + 1e-5)).all())
    torch.testing.assert_close(ball.project(inside)["x"], inside["x"], rtol=1e-5, atol=1e-7)
    wide = Ball(norm, torch.full((7,), 1e3))
    assert torch.equal(wide.project(delta)["x"], delta["x"])


def test_a_zero_gradient_gives_no_perturbation():
    for norm in ("l2", "linf"):
        ball = Ball(norm, torch.ones(2))
        assert not ball.ascent({"x": torch.zeros(2, 3)})["x"].any()


def test_a_tiny_gradient_is_not_lost():
    ball = Ball("l2", torch.ones(1))
    assert float(l2(ball.ascent({"x": torch.full((1, 4), 1e-30)}))) == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("kind", ["pairwise", "sequence"])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_pgd_is_never_weaker_than_fgsm_for_any_user(kind, norm):
    bench = reference_victim(kind)
    for epsilon in (0.01, 0.1, 0.5):
        one = bench.attacked(Fgsm.make(norm=norm), epsilon, "f").arrays["ranks"]
        many = bench.attacked(Pgd.make(norm=norm, steps=7), epsilon, "p").arrays["ranks"]
        assert (many >= one).all()
