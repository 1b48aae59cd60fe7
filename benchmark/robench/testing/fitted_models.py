"""Conformance tests for fitted models.

``models`` adds tests for models that robench trains, and ``trained`` for models that were trained elsewhere.
"""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from robench.api.data import IntArray, Interactions, TrainData, joined
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.testing.conformance import Conformance

Scores = NDArray[np.float32]


class World(NamedTuple):
    """A fitted model with the training data and the held-out items."""

    model: Model
    data: TrainData
    test: Interactions

    @property
    def history(self) -> Interactions:
        """The training and validation items of every user."""
        return joined(self.data.train, self.data.validation)


class FittedModelTests(Conformance):
    """Tests that every fitted model must pass.

    A subclass names the class to test as ``model``, and has the fixture ``world`` with a fitted model.
    """

    model: ClassVar[type[Model]]

    @classmethod
    def make(cls) -> Model:
        model: Model = cls.model.make(**cls.settings)
        return model

    @classmethod
    def restored(cls, world: World) -> Model:
        model = cls.make()
        model.restore(world.data, world.model.state(), Rng(0).child("fit"))
        if isinstance(model, TorchModel):
            model.eval()
        return model

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.model.make(**self.settings, no_such_setting=1)

    def test_scores_are_finite_float32_of_the_whole_catalogue(self, world: World) -> None:
        scores_of(world.model, np.array([3, 0]), world.history)

    def test_a_restored_model_gives_the_same_scores(self, world: World) -> None:
        again = self.restored(world).scores(np.arange(5), world.history)
        np.testing.assert_array_equal(again, world.model.scores(np.arange(5), world.history))

    def test_scoring_twice_gives_the_same_scores(self, world: World) -> None:
        first, second = (world.model.scores(np.arange(9), world.history) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_a_user_gets_the_same_scores_alone_and_beside_others_in_any_order(self, world: World) -> None:
        users, history = np.arange(9), world.history
        scores = scores_of(world.model, users, history)
        for user in users.tolist():
            alone = scores_of(world.model, users[user : user + 1], _only(history, user))
            why = "the scores depend on who else is asked for, or on their histories"
            assert_close(alone, scores[user : user + 1], why)
        reverse = scores_of(world.model, users[::-1], history)
        assert_close(reverse[::-1], scores, "the scores depend on the order of the users")


def scores_of(model: Model, users: IntArray, history: Interactions) -> Scores:
    """Returns the scores of users, float32 [B, n_items], after checking them."""
    return _checked(model.scores(users, history), "scores()", len(users), history.n_items)


def newcomer_scores_of(model: Model, history: Interactions) -> Scores:
    """Returns the scores of newcomers, float32 [n, n_items], after checking them."""
    return _checked(model.newcomers(history), "newcomers()", history.n_users, history.n_items)


def _checked(scores: Scores, method: str, n_users: int, n_items: int) -> Scores:
    shape, expected = np.shape(scores), (n_users, n_items)
    assert shape == expected, f"{method} gave shape {shape}, not {expected}: a row per user, a column per item"
    assert scores.dtype == np.float32, f"{method} gave {scores.dtype}, not float32"
    assert np.isfinite(scores).all(), f"{method} gave a score that is not finite"
    return scores


def assert_close(scores: Scores, expected: Scores, why: str) -> None:
    """Asserts that scores are equal up to rounding.

    The shapes of matrices affect the order in which numbers are added, so results may differ by rounding.
    """
    largest = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5 * largest, err_msg=why)


def _only(history: Interactions, user: int) -> Interactions:
    """Returns the history of one user; the rows of all other users are empty."""
    rows = [history.row(u) if u == user else history.row(u)[:0] for u in range(history.n_users)]
    return Interactions.from_rows(rows, history.n_items)
