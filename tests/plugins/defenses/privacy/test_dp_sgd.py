"""Tests the gradients, the batches, the noise and the guarantee of DP-SGD."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import beta

from robench.api import DataError, PluginError, Rng
from robench.api.errors import UserErrors
from robench.api.privacy import Guarantee
from robench.engine.fit.privatising import hide_users
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.run.dependencies import check_files
from robench.suite.load import load_suite
from robench.testing import DefenseTests
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd, fitted
from robench_plugins.defenses.privacy import accountant
from robench_plugins.defenses.privacy.accountant import calibrate_steps, compute_eps_dp
from robench_plugins.defenses.privacy.dp_sgd import DpSgd
from robench_plugins.defenses.privacy.gaussian_mechanism import calibrate_noise
from robench_plugins.defenses.privacy.user_gradients import UserGradients, draw_users
from robench_plugins.models.ease import Ease
from robench_plugins.models.multi_vae import MultiVae
from robench_plugins.models.sasrec import SasRec

pytest.importorskip("opacus", reason="opacus is missing: pip install 'robench[privacy]'")
CLIP = 0.05


class TestDpSgd(DefenseTests):
    defense = DpSgd
    settings = {"delta": 1e-3, "rate": 0.5, "epochs": 1}


def prepared(cls=MultiVae, clip=CLIP, **settings):
    """Returns the gradients of a small world, of a model that is built without it."""
    torch.manual_seed(0)
    data, _ = crowd(ragged=True)
    model = cls.make(epochs=1, **settings)
    hidden = hide_users(data)
    model.initialise(hidden, Rng(0))
    model.train()
    return UserGradients(model, replace(hidden, train=data.train), clip), data


def flat(parts):
    return torch.cat([part.flatten() for part in parts])


def test_the_gradient_of_a_user_reads_nobody_else():
    gradients, data = prepared(SasRec)
    user, rng = 2, Rng(1)
    own = flat(gradients.gradient(user, 0, 0.0, rng))
    others = data.train.without_users(np.arange(data.n_users) != user)
    alone = UserGradients(gradients.model, replace(gradients.data, train=others), CLIP)
    assert torch.equal(own, flat(alone.gradient(user, 0, 0.0, rng)))


def test_a_model_is_built_without_any_interaction():
    seen = []

    class Watched(ReferenceSequence):
        def initialise(self, data, rng):
            seen.append(int(data.train.lengths().sum() + data.validation.lengths().sum()))
            super().initialise(data, rng)

    fitted(Watched.make(epochs=1), crowd(ragged=True)[0], DpSgd.make(eps_dp="inf", rate=0.5))
    assert seen == [0]


def test_batches_are_poisson():
    sizes = [len(draw_users(200, 0.1, Rng(one))) for one in range(2_000)]
    assert np.mean(sizes) == pytest.approx(20, rel=0.03)
    assert np.var(sizes) == pytest.approx(200 * 0.1 * 0.9, rel=0.1)
    assert min(len(draw_users(3, 0.1, Rng(one))) for one in range(50)) == 0


def test_a_step_without_users_is_a_step_of_noise_and_the_sum_is_divided_by_the_expected_number(monkeypatch):
    """All batches are empty, so only noise moves the weights."""
    monkeypatch.setattr("robench_plugins.defenses.privacy.dp_sgd.draw_users", lambda *_: np.zeros(0, dtype=np.int64))
    data, _ = crowd(ragged=True)
    seen = []

    class Watched(DpSgd):
        def optimiser(self, model):
            made = super().optimiser(model)
            step = made.step
            made.step = lambda: (seen.append(flat([w.grad for w in model.parameters()]).clone()), step())
            return made

    defense = Watched.make(eps_dp=5, delta=1e-3, rate=0.25, clip=0.2, epochs=2)
    fitted(ReferenceSequence.make(epochs=2), data, defense)
    assert len(seen) == 2 * 4
    scale = defense.multiplier(2) * 0.2 / (0.25 * data.n_users)
    assert float(torch.cat(seen).std()) == pytest.approx(scale, rel=0.05)
    assert abs(float(torch.cat(seen).mean())) < 0.05 * scale
    assert not torch.equal(seen[0], seen[1])


# From PLDAccountant of Google's dp-accounting 0.6.0, with Poisson sampling and one user more or less
@pytest.mark.parametrize(
    ("sigma", "rate", "steps", "delta", "eps_dp"),
    [
        (2.0, 0.1, 200, 1e-5, 3.3596607440700863),
        (0.8, 0.05, 400, 1e-6, 12.149742653034574),
        (4.0, 0.25, 40, 1e-5, 1.6463927623219405),
    ],
)
def test_the_accountant_agrees_with_an_independent_one(sigma, rate, steps, delta, eps_dp):
    bound = compute_eps_dp(sigma, delta, rate, steps, 0.01)
    assert eps_dp <= bound <= eps_dp + 0.03


@pytest.mark.parametrize("eps_dp", [5, 30])
def test_the_noise_keeps_the_promise_and_is_hardly_larger(eps_dp):
    sigma = calibrate_steps(eps_dp, 1e-5, 0.1, 100)
    assert compute_eps_dp(sigma, 1e-5, 0.1, 100, 0.001 * eps_dp) <= eps_dp
    assert compute_eps_dp(0.97 * sigma, 1e-5, 0.1, 100, 0.001 * eps_dp) > eps_dp


def test_a_smaller_budget_needs_more_noise_and_all_users_at_once_are_one_gaussian_mechanism():
    noises = [calibrate_steps(eps_dp, 1e-5, 0.2, 20) for eps_dp in (2, 10, 30)]
    assert noises == sorted(noises, reverse=True)
    assert calibrate_steps(3, 1e-5, 1.0, 16) == pytest.approx(4 * calibrate_noise(3, 1e-5))


TRIALS, CLAIMED, DELTA = 4_000, 1.0, 0.05


@pytest.mark.parametrize(("factor", "kept"), [(1.0, True), (0.3, False)])
def test_one_step_cannot_be_told_apart_better_than_claimed(factor, kept):
    """Looks at one step, with and without a user, along the difference of both sums.

    By Neyman and Pearson, no other statistic tells them better apart. Half of the runs choose a threshold, and the
    other half give a lower bound of the privacy loss, whose parts hold with 99.9% each. With a third of the noise, the
    bound is above the claim.
    """
    gradients, data = prepared(hidden=8, latent=2)
    users, rng = np.arange(data.n_users), Rng(5)
    empty = data.train.without_users(users == 0)
    less = UserGradients(gradients.model, replace(gradients.data, train=empty), CLIP)
    gap = flat(gradients.clipped_sum(users, 0, 0.0, rng)) - flat(less.clipped_sum(users, 0, 0.0, rng))
    defense = DpSgd.make(eps_dp=CLAIMED, delta=DELTA, clip=CLIP, rate=1.0, epochs=1)
    scale, samples = factor * defense.multiplier(1) * CLIP, []
    for start, shift in ((0, float(gap.norm())), (TRIALS, 0.0)):
        noise = []
        for run in range(TRIALS):
            total = [torch.zeros(1)]
            defense.add_noise(total, scale, Rng(start + run))
            noise.append(float(total[0]))
        samples.append(np.array(noise) + shift)
    first, second = (slice(0, TRIALS // 2), slice(TRIALS // 2, None))

    def bound(part, threshold, level):
        n = TRIALS // 2
        hits, alarms = ((sample[part] > threshold).sum() for sample in samples)
        low = beta.ppf(level, hits, n - hits + 1) if hits else 0.0
        high = beta.ppf(1 - level, alarms + 1, n - alarms) if alarms < n else 1.0
        return math.log(max(low - DELTA, 1e-12) / high)

    thresholds = np.quantile(samples[1][first], np.linspace(0.5, 0.999, 40))
    best = max(thresholds, key=lambda threshold: bound(first, threshold, 0.5))
    assert (bound(second, best, 0.001) <= CLAIMED) == kept


def test_the_record_says_what_is_guaranteed():
    data, _ = crowd(ragged=True)
    model, report = fitted(ReferenceSequence.make(epochs=2), data, DpSgd.make(eps_dp=5, delta=1e-3, rate=0.5))
    assert report.privacy["eps_dp"] == 5
    assert (report.privacy["unit"], report.privacy["delta"], report.privacy["not_covered"]) == ("user", 1e-3, [])
    assert report.privacy["covers"].startswith("all weights")
    _, bare = fitted(ReferenceSequence.make(epochs=2), data, DpSgd.make(eps_dp="inf", rate=0.5))
    assert (bare.privacy["eps_dp"], bare.privacy["covers"]) == ("inf", "nothing")
    assert model.config.epochs == 2


def test_a_large_delta_is_refused():
    data, _ = crowd(ragged=True)
    with pytest.raises(DataError, match="is not below 1 / users"):
        fitted(ReferenceSequence.make(epochs=1), data, DpSgd.make(eps_dp=5, delta=0.5, rate=0.5))


@pytest.mark.parametrize(
    ("model", "words"),
    [(ReferencePairwise, "has rows of its own for each user"), (Ease, "is not neural"), (SasRec, "")],
)
def test_models_that_it_cannot_cover_are_refused_with_the_reason(model, words):
    assert words in DpSgd.make(eps_dp=5).problem(model)
    assert bool(words) or not DpSgd.make(eps_dp=5).problem(model)


def test_without_opacus_one_line_names_the_extra(monkeypatch):
    monkeypatch.setattr(accountant, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"needs the package opacus \(pip install 'robench\[privacy\]'\)"):
        DpSgd.make(eps_dp=5).check_installed()
    DpSgd.make(eps_dp="inf").check_installed()


def test_the_host_refuses_a_guarantee_that_is_none():
    class Boastful(DpSgd):
        def guarantee(self):
            return Guarantee(1.0, 1.0, "everything")

    with pytest.raises(PluginError, match=r"train_privately\(\) claims a guarantee, and its delta is 1.0"):
        fitted(ReferenceSequence.make(epochs=1), crowd(ragged=True)[0], Boastful.make(eps_dp="inf", rate=0.5))


SUITE = """
name: t
seeds: [0]
datasets: [{name: synthetic, users: 60, items: 40, interactions_per_user: 10}]
models: [{name: multi-vae, epochs: 1}, {name: mf, epochs: 1}]
defenses: [{name: dp-sgd, eps_dp: 5, delta: 1e-3}]
metrics: [ndcg@10]
"""


def test_a_plan_skips_models_with_rows_of_users_and_names_a_missing_package(tmp_path, monkeypatch):
    (tmp_path / "t.yaml").write_text(SUITE)
    registry = Registry.of(Host.discover())
    suite = load_suite(tmp_path / "t.yaml", registry)
    cells = make_plan(suite, registry).cells
    skipped = {cell.victim.model.label: cell.skip for cell in cells if cell.victim.defense.label != "none"}
    assert not skipped["multi-vae"]
    assert "rows of its own for each user, which dp-sgd cannot cover" in skipped["mf"]
    monkeypatch.setattr(accountant, "find_spec", lambda name: None)
    with pytest.raises(UserErrors, match=r"t.yaml:6: .*dp-sgd needs the package opacus"):
        check_files(cells, suite, registry)


def test_a_fit_repeats_with_its_seed_and_noise_changes_it():
    data, _ = crowd(ragged=True)

    def weights(eps_dp):
        defense = DpSgd.make(eps_dp=eps_dp, delta=1e-3, rate=0.5)
        model, _ = fitted(MultiVae.make(epochs=2, hidden=16, latent=4), data, defense)
        return flat([weight.detach() for weight in model.parameters()])

    assert torch.equal(weights(50), weights(50))
    assert not torch.equal(weights(50), weights("inf"))
