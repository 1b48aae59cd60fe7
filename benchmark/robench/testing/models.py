"""Conformance tests for models of any kind that robench trains.

The module ``torch_models`` has further tests for neural models.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import ClassVar

import numpy as np
import pytest

from robench.api.data import Interactions, TrainData, joined
from robench.api.models.base import Model
from robench.engine.fit.training import FitReport
from robench.engine.rank.chunk import build_chunk
from robench.testing.conformance import Settings
from robench.testing.fitted_models import FittedModelTests, Scores, World, newcomer_scores_of, scores_of
from robench.testing.worlds import catalogue, checkerboard, crowd, fitted, same_state


class ModelTests(FittedModelTests):
    """Tests a ``Model``, which a subclass sets as ``model``.

    In the world ``checkerboard``, the users and items form a matrix of rank 2. A model can learn this matrix with few
    factors and enough epochs. ``board`` holds additional settings for this world.

    ``personal`` is False for a model that gives every user the same list. ``collaborative`` is False for a model that
    learns nothing from other users. Fake users must not change such a model.
    """

    board: ClassVar[Settings] = {}
    personal: ClassVar[bool] = True
    collaborative: ClassVar[bool] = True

    @classmethod
    @cache
    def fit_crowd(cls) -> World:
        data, test = crowd()
        return World(fitted(cls.make(), data)[0], data, test)

    @classmethod
    @cache
    def fit_again(cls) -> tuple[Model, FitReport]:
        """Fits the model of ``fit_crowd`` again and returns the model with its report."""
        return fitted(cls.make(), cls.fit_crowd().data)

    @classmethod
    @cache
    def fit_checkerboard(cls) -> World:
        data, test = checkerboard()
        return World(fitted(cls.model.make(**{**cls.settings, **cls.board}), data)[0], data, test)

    @pytest.fixture
    def world(self) -> World:
        return self.fit_crowd()

    def test_the_same_seed_gives_the_same_model_and_its_validation_is_noted(self, world: World) -> None:
        again, report = self.fit_again()
        assert same_state(again, world.model)
        assert 0 < report.validation_ndcg <= 1

    def test_scores_follow_the_history_where_that_is_declared_and_never_anyone_elses(self, world: World) -> None:
        users, history = np.arange(9), world.history
        rows = [history.row(user) if user in users else history.row(user)[:0] for user in range(history.n_users)]
        scores = world.model.scores(users, history)
        alone = world.model.scores(users, Interactions.from_rows(rows, history.n_items))
        np.testing.assert_array_equal(alone, scores, "the scores depend on other users' rows of the history")
        edited = [row.copy() for row in rows]
        for user in users.tolist():
            edited[user][-1] = next(
                i for i in range(history.n_items) if i % 4 != rows[user][-1] % 4 and i not in rows[user]
            )
        changed = (world.model.scores(users, Interactions.from_rows(edited, history.n_items)) != scores).any(1)
        if "history" in world.model.surfaces:
            assert changed.all(), "the surface 'history' is declared, but the scores do not follow the last item"
        else:
            assert not changed.any(), "the scores follow the history, but the surface 'history' is not declared"

    def test_a_planted_fake_user_changes_the_fitted_scores(self, world: World) -> None:
        data, users = world.data, np.arange(5)
        fakes = [np.arange(12) * 3 % data.n_items for _ in range(6)]
        poisoned, _ = fitted(self.make(), replace(data, train=data.train.appended(fakes)))
        same = np.array_equal(world.model.scores(users, world.history), poisoned.scores(users, world.history))
        assert same is not self.collaborative

    def test_no_fake_user_changes_nothing(self, world: World) -> None:
        data = world.data
        assert same_state(fitted(self.make(), replace(data, train=data.train.appended([])))[0], world.model)

    def test_it_learns_a_checkerboard_exactly(self) -> None:
        self.skip_unless_personal()
        world = self.fit_checkerboard()
        scores = scores_of(world.model, np.arange(world.data.n_real_users), world.history)
        _assert_colours_apart(scores, world.history, world.test)

    def test_a_newcomer_gets_what_its_items_ask_for(self) -> None:
        self.skip_unless_personal()
        world = self.fit_checkerboard()
        _assert_colours_apart(newcomer_scores_of(world.model, world.data.train), world.data.train, world.test)

    def test_newcomers_without_items_get_one_list(self, world: World) -> None:
        history = Interactions.from_rows([[], [0, 4, 8], []], world.data.n_items)
        scores = newcomer_scores_of(world.model, history)
        np.testing.assert_array_equal(scores[0], scores[2])
        assert np.array_equal(scores[0], scores[1]) is not self.personal

    def test_an_item_that_nobody_has_used(self) -> None:
        data, _ = crowd()
        wider = TrainData(widened(data.train), widened(data.validation), catalogue(data.n_items + 1))
        model, _ = fitted(self.make(), wider)
        users = np.arange(wider.n_real_users)
        scores = scores_of(model, users, joined(wider.train, wider.validation))
        usual = np.array([np.median(scores[u, wider.train.row(u)]) for u in users.tolist()])
        behind = scores[:, -1] < usual
        if model.cold_item == "behind":
            assert behind.mean() > 0.9, "the unused item ranks above the items that users like"
        else:
            fans = users % 4 == data.n_items % 4  # the users who like the item's genre
            assert behind[fans].mean() < 0.5, "the unused item ranks low although its text fits"

    def test_users_of_two_items_crash_nothing(self) -> None:
        rows = [[(user + step) % 20 for step in range(2)] for user in range(30)]
        train, nothing = Interactions.from_rows(rows, 20), Interactions.from_rows([[]] * 30, 20)
        model, _ = fitted(self.make(), TrainData(train, nothing, catalogue(20)))
        scores_of(model, np.arange(30), train)

    def test_a_user_without_training_items_crashes_nothing(self) -> None:
        data, _ = crowd(n_users=12)
        rows = [data.train.row(u) for u in range(11)] + [np.empty(0, dtype=np.int64)]
        thin = replace(data, train=Interactions.from_rows(rows, data.n_items))
        model, _ = fitted(self.make(), thin)
        scores = scores_of(model, np.arange(12), Interactions.from_rows([[]] * 12, data.n_items))
        if not model.neural and model.cold_user != "fold-in":
            popular = np.argsort(-thin.train.counts(), kind="stable")
            for row in np.argsort(-scores, axis=1, kind="stable"):
                np.testing.assert_array_equal(row, popular, "a user whose history is empty gets the popular items")

    def skip_unless_personal(self) -> None:
        if not self.personal:
            pytest.skip("not a personal model: every user gets the same list")


def widened(rows: Interactions) -> Interactions:
    """Returns the same rows over a catalogue with one more item."""
    return Interactions(rows.indptr, rows.items, rows.times, rows.n_items + 1)


def _assert_colours_apart(scores: Scores, history: Interactions, test: Interactions) -> None:
    """Asserts that all users get higher scores for items of their own colour.

    The colour of a user or an item is its number modulo 2. Only items that the user has not used are compared.
    """
    users = np.arange(history.n_users)
    known = build_chunk(users, history, test).masked
    scores[known[0].numpy(), known[1].numpy()] = np.nan
    for user in users.tolist():
        own = scores[user, user % 2 :: 2]
        other = scores[user, 1 - user % 2 :: 2]
        assert np.nanmin(own) > np.nanmax(other), f"user {user}: an item of the other colour is above its own"
