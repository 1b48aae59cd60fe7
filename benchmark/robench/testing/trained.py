"""Conformance tests for models that were trained elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from robench.api.data import Catalogue, Interactions, Item, TrainData
from robench.api.defense import Defense
from robench.api.errors import DataError
from robench.api.models.torch import TorchModel
from robench.api.models.trained import Trained, TrainedModel
from robench.api.rng import Rng
from robench.engine.attack.trained import history_share_ignored, title_share_ignored
from robench.engine.fit.loop import fit
from robench.engine.measure import MeasuredVictim
from robench.tables.diagnoses import MOST_IGNORED
from robench.testing.checks import assert_passes
from robench.testing.fitted_models import FittedModelTests, World, scores_of
from robench.testing.worlds import CPU

USERS, UNKNOWN = 24, 3  # the number of users, and of items that the model does not know
LEAST_ITEMS = 12  # the least number of the model's items with which the tests make sense


class TrainedModelTests(FittedModelTests):
    """Tests a model trained elsewhere; a subclass names the class as ``model``.

    ``settings`` gives the ``path`` of the model's file. The users of the tests have random histories of the model's own
    items. The catalogue also has a few items that the model does not know. If the model's ``ids`` are None, the items
    are those of the attribute ``ids`` of this class, and the model knows all of them.
    """

    model: ClassVar[type[Trained]]
    ids: ClassVar[Sequence[str]] = tuple(map(str, range(40)))

    @classmethod
    def texts(cls, ids: list[str]) -> list[Item]:
        """Returns the texts of items, which a subclass may override with real titles."""
        return [Item(f"Title {one}", 2000, (f"genre {len(one) % 4}",)) for one in ids]

    @classmethod
    def make(cls) -> Trained:
        model = super().make()
        assert isinstance(model, Trained)
        return model

    @classmethod
    @cache
    def data(cls) -> tuple[TrainData, Interactions]:
        """Returns the training data, and one held-out item per user."""
        model = cls.make()
        model.load(model.config.path)
        known = [str(one) for one in (cls.ids if model.ids is None else model.ids)]
        assert len(known) >= LEAST_ITEMS, f"the model has {len(known)} items, and the tests need {LEAST_ITEMS}"
        unknown = 0 if model.ids is None else UNKNOWN
        ids = [*known, *(f"no such item {number}" for number in range(unknown))]
        generator = np.random.default_rng(0)
        rows = [generator.choice(len(known), 2 + user % 7, replace=False) for user in range(USERS)]
        train = Interactions.from_rows([row[:-1] for row in rows], len(ids))
        test = Interactions.from_rows([row[-1:] for row in rows], len(ids))
        nothing = Interactions.from_rows([row[:0] for row in rows], len(ids))
        return TrainData(train, nothing, Catalogue(tuple(ids), tuple(cls.texts(ids)))), test

    @classmethod
    @cache
    def world_of(cls) -> World:
        data, test = cls.data()
        model = cls.make()
        report = fit(model, data, Defense(), Rng(0).child("fit"), CPU)
        assert report.achieved["trained_elsewhere"]
        return World(model, data, test)

    @pytest.fixture
    def world(self) -> World:
        return self.world_of()

    @staticmethod
    def victim(world: World) -> MeasuredVictim:
        users = np.arange(world.data.n_real_users)
        return MeasuredVictim(world.model, world.history, world.test, users, 0, world.data.catalogue)

    def test_the_scores_follow_the_history(self, world: World) -> None:
        assert "history" in world.model.surfaces, "every model that was trained elsewhere has the surface 'history'"
        share = history_share_ignored(self.victim(world))["history_share_ignored"]
        assert share <= MOST_IGNORED, f"the scores of {share:.0%} of the users stay the same with a different history"

    def test_the_scores_follow_the_titles_if_that_is_declared(self, world: World) -> None:
        if "text" not in world.model.surfaces:
            pytest.skip("not a model that declares the surface 'text'")
        assert world.model.reads_text, "the surface 'text' is declared, but not reads_text = True"
        genuine = world.model.scores(np.arange(9), world.history)
        share = title_share_ignored(self.victim(world))["titles_share_ignored"]
        assert share <= MOST_IGNORED, f"{share:.0%} of the titles matter to no score"
        after = world.model.scores(np.arange(9), world.history)
        np.testing.assert_array_equal(after, genuine, "rewritten() has changed the fitted model")

    def test_an_item_that_the_model_does_not_know_is_last(self, world: World) -> None:
        if world.data.catalogue.ids[-1] in map(str, self.ids):
            pytest.skip("not a model with numbers of its own: it knows every item")
        users = np.flatnonzero(world.history.lengths())
        scores = scores_of(world.model, users, world.history)
        assert (scores[:, -UNKNOWN:].max(1) < scores[:, :-UNKNOWN].min(1)).all(), "an unknown item is not the last one"

    def test_a_user_without_known_items_gets_the_popular_ones(self, world: World) -> None:
        if not isinstance(world.model, TrainedModel | TorchModel):
            pytest.skip("not a model that leaves such users to robench: an object scores every user")
        n_items = world.data.n_items
        known_by_all = world.data.catalogue.ids[-1] in map(str, self.ids)
        rows: list[list[int]] = [[], [] if known_by_all else [n_items - 1], *([] for _ in range(USERS - 2))]
        scores = scores_of(world.model, np.arange(2), Interactions.from_rows(rows, n_items))
        popular = np.argsort(-world.data.train.counts(), kind="stable")
        for row in np.argsort(-scores, axis=1, kind="stable"):
            np.testing.assert_array_equal(row, popular)

    def test_a_changed_file_has_another_digest(self, tmp_path: Path) -> None:
        model = self.make()
        place = tmp_path / model.config.path.name
        shutil.copy(model.config.path, place)
        other = self.model.make(**{**self.settings, "path": place})
        assert other.outside() == model.outside()
        with place.open("ab") as file:
            file.write(b"0")
        assert other.outside() != model.outside()
        place.unlink()
        with pytest.raises(DataError):
            other.outside()

    def test_a_neural_model_passes_the_checks_of_the_host(self, world: World) -> None:
        if not isinstance(world.model, TorchModel):
            pytest.skip("not a model with embedded inputs")
        users = np.flatnonzero(world.history.lengths())
        assert_passes(MeasuredVictim(world.model, world.history, world.test, users, 0, world.data.catalogue))
