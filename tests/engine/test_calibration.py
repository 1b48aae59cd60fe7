"""Tests how negatives are drawn, and how scores become probabilities of a like."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from robench.api import Model
from robench.api.data import Interactions, joined
from robench.api.errors import DataError, PluginError
from robench.api.metric import probability
from robench.api.rng import Rng
from robench.engine.attack.draws import Draws
from robench.engine.calibration import calibrate, draw_negatives, draw_test_negatives, fit_platt
from robench.engine.measure import MeasuredVictim
from robench.testing.worlds import (
    ReferencePairwise,
    ReferenceSequence,
    crowd,
    fitted,
    measured_victim,
    reference_victim,
)
from robench_plugins.attacks.embedding.cw import CarliniWagner
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.history.greedy_edit import GreedyEdit

ROWS = st.lists(st.lists(st.integers(0, 5), unique=True, max_size=6), min_size=1, max_size=8)


def draws():
    return Draws(Rng(0).child("draws"), Rng(0).child("asked"))


@settings(max_examples=100, deadline=None)
@given(rows=ROWS, cut=st.integers(0, 6))
def test_negatives_are_nowhere_in_the_user_s_data_and_differ(rows, cut):
    known = Interactions.from_rows([row[cut:] for row in rows], 6)
    expected = Interactions.from_rows([row[:cut] for row in rows], 6)
    negatives = draw_negatives("test", expected, known)
    assert len(negatives) == len(expected)
    for user, row in enumerate(rows):
        mine = negatives[expected.indptr[user] : expected.indptr[user + 1]].tolist()
        drawn = [item for item in mine if item >= 0]
        assert len(drawn) == min(len(mine), 6 - len(row))
        assert not set(drawn) & set(row)
        assert len(set(drawn)) == len(drawn)


def test_negatives_are_uniform_over_the_items_that_a_user_lacks():
    users = 6000
    negatives = draw_negatives(
        "test", Interactions.from_rows([[0]] * users, 6), Interactions.from_rows([[1]] * users, 6)
    )
    counts = np.bincount(negatives, minlength=6)
    assert (counts[:2] == 0).all()
    assert abs(counts[2:] - users / 4).max() < 4 * np.sqrt(users * 3 / 16)


class Memory(Model):
    """A model that reads its scores from a table.

    ``shown`` is the history of the last call.
    """

    def fit(self, data, rng):
        pass

    def scores(self, users, history):
        self.shown = history
        return self.table[users].copy()

    def state(self):
        return {}

    def restore(self, data, state, rng):
        pass


def memory(table):
    model = Memory.make()
    model.table = np.asarray(table, dtype=np.float32)
    return model


def test_the_calibration_sees_training_items_only_and_by_hand_the_right_pairs():
    data, _ = crowd(n_users=24)
    model = memory(np.random.default_rng(0).normal(size=(24, data.n_items)))
    calibration = calibrate(model, data, draws())
    assert model.shown.sha256() == data.train.sha256()
    negatives = draw_negatives("validation", data.validation, data.train)
    own = [model.table[user, data.validation.row(user)[0]] for user in range(24)]
    beside = [model.table[user, negatives[user]] for user in range(24)]
    scores = np.array([*own, *beside], dtype=np.float64)
    assert calibration[:2] == pytest.approx(fit_platt(scores, np.arange(48) < 24), rel=1e-9)
    assert calibration.pairs == 24


def test_no_test_item_has_a_say_in_the_calibration():
    """The calibration never reads test items.

    Only the negatives depend on the test items.
    """
    data, test = crowd(n_users=24)
    other = Interactions.from_rows([[int((row + 1) % data.n_items)] for row in test.items], data.n_items)
    model, _ = fitted(ReferencePairwise.make(epochs=3), data)
    pairs = []
    for held in (test, other):
        bench = measured_victim(model, data, held)
        bench.negatives = draw_test_negatives(bench.history, held)
        bench.clean(None)
        pairs.append((calibrate(model, data, bench.draws()), bench.negatives.tolist()))
    assert pairs[0][0] == pairs[1][0]
    assert pairs[0][1] != pairs[1][1]


def test_fake_users_have_no_say_in_the_calibration():
    data, _ = crowd(n_users=24)
    model = memory(np.random.default_rng(0).normal(size=(24, data.n_items)))
    poisoned = replace(data, train=data.train.appended([np.arange(5)] * 3))
    assert calibrate(model, data, draws()) == calibrate(model, poisoned, draws())


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), shift=st.floats(-1e3, 1e3), scale=st.floats(1e-3, 1e3))
def test_platt_is_the_maximum_of_the_likelihood(seed, shift, scale):
    """The expected values come from a logistic regression of scikit-learn.

    Every score appears once as a like and once as a dislike. Platt's targets give the weights.
    """
    generator = np.random.default_rng(seed)
    liked = np.arange(80) < 40
    plain = generator.normal(size=80) + generator.normal() * liked
    a, b = fit_platt(plain * scale + shift, liked)
    target = np.where(liked, 41 / 42, 1 / 42)
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)
    model.fit(np.tile(plain, 2)[:, None], np.repeat([1, 0], 80), sample_weight=np.concatenate([target, 1 - target]))
    expected = model.predict_proba(plain[:, None])[:, 1]
    np.testing.assert_allclose(probability(a * (plain * scale + shift) + b), expected, atol=1e-4)


def test_platt_stays_finite_where_the_scores_separate_the_classes_or_say_nothing():
    liked = np.arange(20) < 10
    a, b = fit_platt(np.where(liked, 1.0, -1.0), liked)
    # If there are only two different scores, the fit meets Platt's targets exactly: σ(a + b) = 11/12, σ(b − a) = 1/12.
    assert probability(np.array([a + b, b - a])) == pytest.approx([11 / 12, 1 / 12], abs=1e-9)
    for score in (3.0, 0.1):
        assert fit_platt(np.full(20, score), liked) == (0.0, 0.0)
    a, b = fit_platt(np.full(20, 0.1), np.arange(20) < 5)
    assert (a, probability(np.array(b))) == (0.0, pytest.approx((5 * 6 / 7 + 15 / 17) / 20))


def test_a_calibration_that_turns_scores_around_is_told():
    data, _ = crowd(n_users=24)
    table = np.zeros((24, data.n_items))
    table[np.arange(24), data.validation.items] = -1.0
    calibration = calibrate(memory(table), data, draws())
    assert calibration.a < 0
    assert calibration.diagnostics()["calibration_inverted"] == 1
    upright = calibrate(memory(-table), data, draws())
    assert upright.a == pytest.approx(-calibration.a, rel=1e-6)
    assert "calibration_inverted" not in upright.diagnostics()


def test_without_validation_items_or_with_scores_that_are_not_finite_it_is_refused():
    data, _ = crowd(n_users=24)
    bare = replace(data, validation=Interactions.from_rows([[]] * 24, data.n_items))
    with pytest.raises(DataError, match="no user has a validation item"):
        calibrate(memory(np.zeros((24, data.n_items))), bare, draws())
    with pytest.raises(PluginError, match="not finite"):
        calibrate(memory(np.full((24, data.n_items), np.nan)), data, draws())


def likely(kind):
    """Returns the reference victim of a kind, with negatives for the test items."""
    bench = reference_victim(kind)
    negatives = draw_test_negatives(bench.history, bench.held)
    return MeasuredVictim(bench.model, bench.history, bench.held, bench.users, 0, negatives=negatives)


def test_the_scores_of_the_pairs_are_stored_beside_the_ranks():
    bench = likely("sequence")
    arrays = bench.clean(None).arrays
    scores = bench.model.scores(bench.users, bench.history)
    assert arrays["likes"].dtype == arrays["dislikes"].dtype == np.float32
    np.testing.assert_array_equal(arrays["likes"], scores[bench.users, bench.held.items])
    np.testing.assert_array_equal(arrays["dislikes"], scores[bench.users, bench.negatives])
    known = joined(bench.history, bench.held)
    assert not any(n in known.row(u) for u, n in enumerate(bench.negatives))


def test_several_held_out_items_keep_their_order_and_a_missing_negative_is_nan():
    history = Interactions.from_rows([[0], [1, 2]], 6)
    held = Interactions.from_rows([[3, 1, 2], [0]], 6)
    table = np.arange(12, dtype=np.float32).reshape(2, 6)
    bench = MeasuredVictim(memory(table), history, held, np.array([0, 1]), 0, negatives=np.array([5, 4, -1, 3]))
    arrays = bench.clean(None).arrays
    assert arrays["likes"].tolist() == [3, 1, 2, 6]
    np.testing.assert_array_equal(arrays["dislikes"], np.array([5, 4, np.nan, 9], dtype=np.float32))


ATTACKS = {
    "embedding": Fgsm.make,
    "minimum": lambda: CarliniWagner.make(steps=30, search=3),
    "parameters": lambda: Pgd.make(surface="parameters", steps=3),
    "history": lambda: GreedyEdit.make(queries=5),
}


@pytest.mark.parametrize("surface", ATTACKS)
def test_without_budget_the_pairs_score_as_at_clean_bit_for_bit(surface):
    bench = likely("sequence")
    clean, arrays = bench.clean(None).arrays, bench.attacked(ATTACKS[surface](), 0.0, surface).arrays
    for name in ("likes", "dislikes"):
        np.testing.assert_array_equal(arrays[name], clean[name])


@pytest.mark.parametrize("surface", ATTACKS)
def test_an_attack_moves_the_pairs_it_is_measured_by(surface):
    bench = likely("sequence")
    epsilon = {"history": 1.0, "minimum": 5.0}.get(surface, 0.3)
    clean, arrays = bench.clean(None).arrays, bench.attacked(ATTACKS[surface](), epsilon, surface).arrays
    assert len(arrays["likes"]) == len(arrays["dislikes"]) == len(arrays["ranks"])
    assert np.isfinite(arrays["likes"]).all()
    assert not np.array_equal(arrays["likes"], clean["likes"])
    assert not np.array_equal(arrays["dislikes"], clean["dislikes"])


@pytest.mark.parametrize("surface", ["embedding", "history"])
def test_scores_fit_their_ranks(surface):
    """A held-out item that ranks first has a higher score than its negative.

    The ranks and the scores come from the same scoring, also under attack.
    """
    bench = likely("sequence")
    arrays = bench.attacked(ATTACKS[surface](), 1.0, surface).arrays
    first = arrays["ranks"] == 1
    assert (arrays["likes"][first] > arrays["dislikes"][first]).all()
    beaten = arrays["likes"] < arrays["dislikes"]
    assert (arrays["ranks"][beaten] > 1).all()
    assert beaten.any()


def test_who_asks_for_no_negatives_stores_what_was_always_stored():
    plain, more = reference_victim("sequence"), likely("sequence")
    for make in (lambda b: b.clean(None).arrays, lambda b: b.attacked(Fgsm.make(), 0.1, "x").arrays):
        one, two = make(plain), make(more)
        assert set(two) - set(one) == {"likes", "dislikes"}
        for name, part in one.items():
            np.testing.assert_array_equal(part, two[name])


@pytest.mark.parametrize("model", [ReferencePairwise, ReferenceSequence])
def test_a_fitted_model_is_calibrated_upright(model):
    data, _ = crowd()
    calibration = calibrate(fitted(model.make(), data)[0], data, draws())
    assert calibration.a > 0


class Noisy(ReferencePairwise):
    """A model that adds new noise to its scores in every call at test time."""

    def score_from(self, batch, e):
        scores = super().score_from(batch, e)
        return scores if self.training else scores + torch.randn_like(scores)


def test_a_victim_that_draws_is_calibrated_on_its_mean_looks_and_always_the_same():
    data, test = crowd(n_users=24)
    model, _ = fitted(Noisy.make(epochs=3), data)
    bench = measured_victim(model, data, test)
    assert bench.draws().stochastic
    one, two = (calibrate(model, data, bench.draws()) for _ in range(2))
    assert one == two
    with Rng(9).stream():
        assert calibrate(model, data, bench.draws()) == one, "it depends on draws that the host does not seed"
    assert calibrate(model, data, draws()) != one  # a single scoring
