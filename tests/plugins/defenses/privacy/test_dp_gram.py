"""Tests the sensitivity, the noise and the guarantee of DP-Gram."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import beta, norm

from robench.api import DataError, Interactions, PluginError, Rng
from robench.engine.fit.privatising import privatise
from robench.testing import DefenseTests
from robench.testing.worlds import ReferencePairwise, crowd, fitted
from robench_plugins.defenses.privacy.dp_gram import DpGram, clipped_gram, compute_sensitivity, drop_small
from robench_plugins.defenses.privacy.gaussian_mechanism import calibrate_noise, compute_log_delta
from robench_plugins.models.ease import Ease
from robench_plugins.models.item_knn import ItemKnn
from robench_plugins.models.popularity import Popularity
from robench_plugins.models.user_knn import UserKnn

MODELS = (Ease, ItemKnn, Popularity)


class TestDpGram(DefenseTests):
    defense = DpGram


def change(rows, user, clip, n_items=5):
    """Returns the change of the upper triangle in L2 if a row is emptied."""
    with_user = Interactions.from_rows(rows, n_items)
    without = with_user.without_users(np.arange(len(rows)) == user)
    return float(np.linalg.norm(np.triu(clipped_gram(with_user, clip) - clipped_gram(without, clip))))


@pytest.mark.parametrize("clip", [1, 2, 3, 4])
def test_no_user_changes_the_matrix_by_more_than_the_sensitivity_and_one_does(clip):
    others = [[0, 1], [2, 3, 4], [1]]
    own = [list(row) for m in range(6) for row in combinations(range(5), m)]
    changes = [change([*others, row], 3, clip) for row in own]
    assert max(changes) == pytest.approx(compute_sensitivity(clip), rel=1e-12)
    assert all(size < max(changes) - 1e-9 for size, row in zip(changes, own, strict=True) if len(row) != clip)


def test_a_user_who_repeats_an_item_counts_once():
    assert change([[0, 1], [2, 2, 2, 2]], 1, 2) == change([[0, 1], [2]], 1, 2) == 1


def test_a_clipped_user_has_the_weight_of_the_docstring():
    gram = clipped_gram(Interactions.from_rows([[0, 1, 2, 3], [0, 1]], 4), 2)
    expected = np.full((4, 4), 2 / 4)
    expected[:2, :2] += 1
    np.testing.assert_allclose(gram, expected)


# From get_sigma_gaussian of Google's dp-accounting 0.6.0, which solves the same equation
@pytest.mark.parametrize(
    ("eps_dp", "delta", "sigma"),
    [
        (0.1, 1e-5, 30.74956613197769),
        (1, 1e-5, 3.7306316348159374),
        (1, 1e-6, 4.224678889326822),
        (10, 1e-5, 0.4998886197090323),
        (30, 1e-5, 0.21472014652736612),
        (100, 1e-6, 0.09783722397440571),
    ],
)
def test_the_noise_is_that_of_an_independent_accountant(eps_dp, delta, sigma):
    assert calibrate_noise(eps_dp, delta) == pytest.approx(sigma, rel=1e-9)
    assert compute_log_delta(calibrate_noise(eps_dp, delta), eps_dp) <= math.log(delta)
    first = norm.cdf(1 / (2 * sigma) - eps_dp * sigma)
    assert first - math.exp(eps_dp) * norm.cdf(-1 / (2 * sigma) - eps_dp * sigma) == pytest.approx(delta, rel=1e-4)


def test_the_noise_has_the_scale_of_a_hand_computation_and_is_symmetric():
    defense = DpGram.make(eps_dp=1, delta=1e-5, clip=3)
    scale = math.sqrt(6) * 3.7306316348159374
    assert defense.noise() == pytest.approx(scale)
    noise = defense.add_noise(np.zeros((300, 300)), Rng(1))
    np.testing.assert_array_equal(noise, noise.T)
    above, diagonal = noise[np.triu_indices(300, 1)], np.diag(noise)
    assert above.std() == pytest.approx(scale, rel=0.02)
    assert diagonal.std() == pytest.approx(scale, rel=0.15)
    assert abs(np.corrcoef(above[:-1], above[1:])[0, 1]) < 0.02


TRIALS, CLIP, CLAIMED, DELTA = 3_000, 2, 1.0, 0.05


class HalfTheNoise(DpGram):
    """A planted fault: the noise is half as large as claimed."""

    def noise(self):
        return super().noise() / 2


def empirical_epsilon(defense, row=(0, 1), clip=CLIP):
    """Returns a lower bound of the privacy loss, from many runs on two data sets.

    The statistic is the projection of the noisy matrix on the difference of both matrices. By Neyman and Pearson, no
    other statistic tells the two data sets better apart. Half of the runs choose the threshold and the other half give
    the bound. Its parts hold with 99.9% each (Clopper & Pearson 1934).
    """
    data = Interactions.from_rows([[0, 1], [1, 2], [0], row], 3)
    neighbour = data.without_users(np.arange(4) == 3)
    full, less = (clipped_gram(rows, clip) for rows in (data, neighbour))
    direction = np.triu(full - less)
    direction /= np.linalg.norm(direction)
    samples = [
        np.array([(direction * defense.add_noise(gram, Rng(base + run))).sum() for run in range(TRIALS)])
        for gram, base in ((full, 0), (less, TRIALS))
    ]

    def bound(part, threshold, level):
        hits, alarms = ((sample[part] > threshold).sum() for sample in samples)
        n = TRIALS // 2
        low = beta.ppf(level, hits, n - hits + 1) if hits else 0.0
        high = beta.ppf(1 - level, alarms + 1, n - alarms)
        return math.log(max(low - DELTA, 1e-12) / high)

    choose, judge = slice(0, TRIALS // 2), slice(TRIALS // 2, None)
    threshold = max(np.quantile(samples[1], np.linspace(0.02, 0.98, 49)), key=lambda t: bound(choose, t, 1e-3))
    return bound(judge, threshold, 1e-3)


def claim(cls):
    return cls.make(eps_dp=CLAIMED, delta=DELTA, clip=CLIP)


@pytest.mark.parametrize("row", [(0, 1), (0, 1, 2)])
def test_two_neighbouring_data_sets_cannot_be_told_apart_better_than_claimed(row):
    assert 0.2 < empirical_epsilon(claim(DpGram), row) < CLAIMED


def test_half_the_noise_is_told_apart_better_than_claimed():
    assert empirical_epsilon(claim(HalfTheNoise)) > CLAIMED


def test_a_user_who_is_not_clipped_is_told_apart_better_than_claimed():
    assert empirical_epsilon(claim(DpGram), (0, 1, 2), clip=None) > CLAIMED


@pytest.mark.parametrize("model", MODELS)
def test_without_noise_and_clip_the_fit_is_the_undefended_one(model):
    data = crowd(60, 40)[0]
    plain, before = fitted(model.make(), data)
    private, after = fitted(model.make(), data, DpGram.make(eps_dp="inf", clip=None))
    for name, array in plain.state().items():
        np.testing.assert_array_equal(private.state()[name], array)
    assert private.chosen == plain.chosen
    assert (before.privacy, after.privacy["eps_dp"], after.privacy["covers"]) == ({}, "inf", "nothing")


@pytest.mark.parametrize("model", MODELS)
def test_with_noise_the_fit_is_another_one_and_the_model_sees_no_interaction(model):
    data = crowd(60, 40)[0]
    data = replace(data, profiles=("f",) * 60, known=data.validation)
    seen = []

    class Watched(model):
        def fit(self, data, rng):
            seen.append(data)
            super().fit(data, rng)

    defense = DpGram.make(eps_dp=5, delta=1e-3, clip=4)
    private, report = fitted(Watched.make(), data, defense)
    (given,) = seen
    assert (given.n_users, len(given.train), len(given.validation), len(given.known), given.profiles) == (
        60,
        0,
        0,
        0,
        (),
    )
    plain = fitted(model.make(), data)[0].state()
    assert any(not np.array_equal(plain[name], array) for name, array in private.state().items())
    assert np.isfinite(private.scores(np.arange(60), data.train)).all()
    assert report.privacy["eps_dp"] == 5
    assert report.privacy["unit"] == "user"
    chosen = model is Ease
    assert bool(report.privacy["not_covered"]) == chosen
    if chosen:
        fixed = Ease(Ease.Config.from_written({"weight_decay": 100}))
        assert fitted(fixed, data, defense)[1].privacy["not_covered"] == []


def test_the_scores_of_a_user_without_items_come_from_the_private_matrix():
    data = crowd(60, 40)[0]
    for model in (Ease, ItemKnn):
        private, _ = fitted(model.make(), data, DpGram.make(eps_dp=5, delta=1e-3, clip=4))
        gram = privatise(DpGram.make(eps_dp=5, delta=1e-3, clip=4), data, Rng(0).child("fit"))[0].gram
        np.testing.assert_array_equal(private.counts, np.diag(gram).astype(np.float32))


def test_only_eigenvalues_that_noise_cannot_have_are_kept():
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(4, 4)))[0]
    gram = (basis * [9.0, 4.1, 3.9, -8.0]) @ basis.T
    kept = drop_small((gram + gram.T) / 2, 2.0)  # the threshold is 2 · √4
    np.testing.assert_allclose(np.linalg.eigvalsh(kept), [0, 0, 4.1, 9.0], atol=1e-9)
    noise = DpGram.make(eps_dp=1, clip=3).add_noise(np.zeros((400, 400)), Rng(2))
    values = np.linalg.eigvalsh(noise)
    assert values.max() == pytest.approx(2 * DpGram.make(eps_dp=1, clip=3).noise() * 20, rel=0.05)


def test_settings_without_a_guarantee_are_refused():
    with pytest.raises(ValidationError, match="noise needs a clip"):
        DpGram.make(eps_dp=1, clip=None)
    for wrong in ({"eps_dp": 0}, {"eps_dp": -1}, {"eps_dp": "infinite"}, {"delta": 0}, {"delta": 1}, {"clip": 0}):
        with pytest.raises(ValidationError):
            DpGram.make(**wrong)
    data = crowd(60, 40)[0].train
    with pytest.raises(DataError, match="not below 1 / users"):
        DpGram.make(delta=1 / 60).privatise(data, Rng(0))
    DpGram.make(delta=1 / 61).privatise(data, Rng(0))


def test_models_that_need_interactions_do_not_fit():
    assert all(not DpGram().problem(model) for model in MODELS)
    for model in (UserKnn, ReferencePairwise):
        assert DpGram().problem(model) == "cannot learn from an item-item matrix alone"


@pytest.mark.parametrize("wrong", [np.eye(40, dtype=np.float32), np.eye(39), np.full((40, 40), np.nan), np.tri(40)])
def test_a_matrix_of_a_wrong_kind_is_refused(wrong):
    class Wrong(DpGram):
        def privatise(self, train, rng):
            return replace(super().privatise(train, rng), gram=wrong)

    with pytest.raises(PluginError, match="privatise"):
        privatise(Wrong.make(delta=1e-3), crowd(60, 40)[0], Rng(0))
