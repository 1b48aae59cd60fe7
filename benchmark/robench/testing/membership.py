"""Conformance tests for attacks on membership."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError

from robench.api.attacks.membership import MembershipAttack, SeenUsers
from robench.api.data import FloatArray, IntArray, Interactions, TrainData, joined
from robench.api.defense import Defense
from robench.api.models.base import Model
from robench.api.rng import Rng
from robench.engine.attack.measurement import Measurement
from robench.engine.fit.refit import Refit
from robench.engine.measure import MeasuredVictim
from robench.testing.conformance import Conformance
from robench.testing.worlds import crowd

USERS, ITEMS = 800, 40
LEAST_AUROC = 0.6  # the least AUROC on a victim that gives its members away
Scores = NDArray[np.float32]


class Telling(Model):
    """A victim that gives its members away, by their own items and by their lists.

    The score of an item is the number of training users who have it together with each item of the history. Members
    also get a bonus for their own items. A history without items gets the most popular items.
    """

    pairs: NDArray[np.float32]
    bonus: ClassVar[float] = 100.0

    def fit(self, data: TrainData, rng: Rng) -> None:
        """Counts the users of each pair of items."""
        x = _dense(data.train)
        self.pairs = x.T @ x

    def scores(self, users: IntArray, history: Interactions) -> Scores:
        """Returns the scores of members, float32 [B, n_items]."""
        rows = history.rows_in(users)
        result: Scores = self.newcomers(rows) + np.float32(self.bonus) * _dense(rows)
        return result

    def newcomers(self, history: Interactions) -> Scores:
        """Returns the scores of users outside the training data, float32 [n, n_items]."""
        scores: Scores = _dense(history) @ self.pairs
        scores[history.lengths() == 0] = np.diag(self.pairs)
        return scores

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the counts."""
        return {"pairs": self.pairs}

    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Restores the counts."""
        self.pairs = np.asarray(state["pairs"], dtype=np.float32)


class Silent(Telling):
    """A victim that answers everybody alike, by the numbers of the items alone."""

    def scores(self, users: IntArray, history: Interactions) -> Scores:
        """Returns the numbers of the items for every user, float32 [B, n_items]."""
        return self.newcomers(history.rows_in(users))

    def newcomers(self, history: Interactions) -> Scores:
        """Returns the numbers of the items for every user, float32 [n, n_items]."""
        return np.tile(np.arange(history.n_items, dtype=np.float32), (history.n_users, 1))


def _dense(rows: Interactions) -> Scores:
    x = np.zeros((rows.n_users, rows.n_items), dtype=np.float32)
    x[rows.users(), rows.items] = 1
    return x


def _victim(model: type[Model]) -> MeasuredVictim:
    """Returns a victim of which every third user is no member."""
    data, _ = crowd(USERS, ITEMS, ragged=True)
    cold = np.arange(USERS) % 3 == 0
    train, known = data.train.without_users(cold), data.train.without_users(~cold)
    first = np.zeros(len(known), dtype=bool)
    first[known.indptr[:-1][cold & (known.lengths() > 0)]] = True
    empty = data.train.without_users(np.ones(USERS, dtype=bool))
    refit = Refit(replace(data, train=train, validation=empty), model, {}, Defense(), torch.device("cpu"))
    history = joined(train, known.only(~first))
    return MeasuredVictim(
        refit.fit(train, Rng(0)), history, known.only(first), np.flatnonzero(cold)[:20], 0, refit=refit
    )


class MembershipAttackTests(Conformance):
    """Tests a ``MembershipAttack``, which a subclass sets as ``attack``.

    The victims are one that gives its members away, and one that answers everybody alike. An attack on lists is asked
    about a service that knows nothing of non-members. The lists of 10 items come from 40 items.
    """

    attack: ClassVar[type[MembershipAttack]]

    def make(self) -> Any:
        """Returns the attack with lists of 10 items."""
        lists = {"non_members": "popular"} if self.attack.sees == "lists" else {}
        return self.attack.make(**{"k": 10, **lists, **self.settings})

    @classmethod
    @cache
    def measure_once(cls, model: type[Model]) -> Measurement:
        """Returns a measurement that is made once per process."""
        return cls().measure(model)

    def measure(self, model: type[Model]) -> Measurement:
        """Measures a victim under the attack."""
        return _victim(model).attacked(self.make(), 0.0, self.attack.__name__)

    def test_an_unknown_setting_is_refused(self) -> None:
        with pytest.raises(ValidationError):
            self.attack.make(**self.settings, no_such_setting=1)

    def test_it_tells_the_members_of_a_victim_that_gives_them_away(self) -> None:
        numbers = self.measure_once(Telling).membership
        assert (numbers["auroc"] or 0.0) >= LEAST_AUROC, (
            f"the attack does not attack: AUROC {numbers['auroc']:.3f} on a victim that gives its members away, "
            f"and at least {LEAST_AUROC} is expected"
        )

    def test_it_finds_nothing_in_a_victim_that_answers_everybody_alike(self) -> None:
        numbers = self.measure_once(Silent).membership
        low, high = numbers["auroc_low"] or 0.0, numbers["auroc_high"] or 0.0
        assert low <= 0.5 <= high, (
            f"the attack knows more than it may: AUROC {numbers['auroc']:.3f} [{low:.3f}, {high:.3f}] on a victim that "
            f"answers everybody alike"
        )

    def test_the_same_seed_gives_the_same_scores(self) -> None:
        first, second = self.measure_once(Telling).arrays, self.measure(Telling).arrays
        np.testing.assert_array_equal(first["membership_score"], second["membership_score"])

    def test_the_features_of_a_user_do_not_depend_on_the_other_users(self) -> None:
        data, _ = crowd(30, ITEMS, ragged=True)
        attack, rows = self.make(), data.train
        attack.prepare(rows, Rng(0))
        scores = np.random.default_rng(0).normal(size=(30, ITEMS)).astype(np.float32)
        lists = np.argsort(-scores, axis=1)[:, :10].astype(np.int64)
        whole = self.features(attack, rows, lists, scores)
        alone = [self.features(attack, rows.rows_in(np.array([n])), lists[[n]], scores[[n]]) for n in range(30)]
        assert len(whole) == 30, f"features() returned {len(whole)} rows for 30 users"
        np.testing.assert_allclose(
            np.concatenate(alone), whole, rtol=1e-6, atol=1e-9, err_msg="the features depend on who else is asked about"
        )

    def features(self, attack: MembershipAttack, rows: Interactions, lists: IntArray, scores: Scores) -> FloatArray:
        """Returns the features of some users.

        The attack gets scores only if it may see them.
        """
        return attack.features(SeenUsers(rows, lists, scores if self.attack.sees == "scores" else None))
