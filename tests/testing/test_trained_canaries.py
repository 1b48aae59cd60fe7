"""Tests that conformance tests reject trained models that ignore their inputs."""

import numpy as np
import pytest
import torch

from robench.api.data import Catalogue, Item
from robench.api.errors import DataError, PluginError
from robench.api.models.trained import OwnItems, TrainedModel, TrainedObject
from robench.api.models.trained_torch import TrainedTorchModel
from robench.testing import TrainedModelTests

ITEMS = 20
IDS = [f"film-{number}" for number in range(ITEMS)]
TABLE = np.random.default_rng(0).normal(size=(ITEMS, 4)).astype(np.float32)


class Honest(TrainedModel):
    def load(self, path):
        self.ids = IDS

    def score_histories(self, histories):
        return np.stack([TABLE @ TABLE[items].mean(0) for items in histories])


class Deaf(Honest):
    """A model that gives every user the same list."""

    def score_histories(self, histories):
        return np.tile(TABLE[:, 0], (len(histories), 1))


class ByPlace(Honest):
    """A model whose scores depend on the place of a user among the others."""

    def score_histories(self, histories):
        return super().score_histories(histories) + np.arange(len(histories))[:, None] * TABLE[:, 0]


class Blind(Honest):
    """A model that declares that it reads titles, and ignores them."""

    surfaces = frozenset({"history", "text"})
    reads_text = True


class HonestObject(TrainedObject):
    def load(self, path):
        self.ids = IDS

    def scores(self, users, history):
        rows = self.items.histories(users, history)
        return self.items.scores(np.stack([TABLE @ TABLE[items].sum(0) for items in rows]))


class WideObject(HonestObject):
    """An object that scores in its own order, not in that of the catalogue."""

    def scores(self, users, history):
        return np.stack([TABLE @ TABLE[items].sum(0) for items in self.items.histories(users, history)])


class OpenHonest(TrainedTorchModel):
    def load(self, path):
        self.ids, self.table = IDS, torch.nn.Embedding.from_pretrained(torch.from_numpy(TABLE), freeze=False)

    def vectors(self, items):
        return self.table(items)

    def scores_from_vectors(self, vectors, valid):
        mean = (vectors * valid.unsqueeze(-1)).sum(1) / valid.sum(1, keepdim=True).clamp_min(1)
        return mean @ self.table.weight.T


class OpenDeaf(OpenHonest):
    """A model that takes vectors as its input, and ignores them."""

    def scores_from_vectors(self, vectors, valid):
        return super().scores_from_vectors(0 * vectors, valid) + self.table.weight[:, 0]


class Bypass(OpenHonest):
    """A model that scores the vectors of the lookup, not those that it gets."""

    def vectors(self, items):
        self.genuine = super().vectors(items)
        return self.genuine.detach().clone()

    def scores_from_vectors(self, vectors, valid):
        return super().scores_from_vectors(self.genuine, valid)


def planted(model, tmp_path):
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights")
    return type("Planted", (TrainedModelTests,), {"model": model, "settings": {"path": path}})()


@pytest.mark.parametrize(
    ("model", "test", "message"),
    [
        (Deaf, "test_the_scores_follow_the_history", "stay the same with a different history"),
        (WideObject, "test_scores_are_finite_float32_of_the_whole_catalogue", "a row per user, a column per item"),
        (OpenDeaf, "test_the_scores_follow_the_history", "stay the same with a different history"),
        (Blind, "test_the_scores_follow_the_titles_if_that_is_declared", "100% of the titles matter to no score"),
        (ByPlace, "test_a_user_gets_the_same_scores_alone_and_beside_others_in_any_order", "who else is asked for"),
        (OpenDeaf, "test_a_neural_model_passes_the_checks_of_the_host", "scores ignore the inputs"),
        (Bypass, "test_a_neural_model_passes_the_checks_of_the_host", "scores bypass the inputs"),
    ],
)
def test_a_wrong_model_fails(model, test, message, tmp_path):
    tests = planted(model, tmp_path)
    with pytest.raises(AssertionError, match=message):
        getattr(tests, test)(tests.world_of())


@pytest.mark.parametrize("model", [Honest, HonestObject, OpenHonest])
def test_an_honest_model_passes(model, tmp_path):
    tests = planted(model, tmp_path)
    for name in dir(TrainedModelTests):
        if not name.startswith("test_") or "titles" in name:
            continue
        if name == "test_a_neural_model_passes_the_checks_of_the_host" and model is not OpenHonest:
            continue
        if name == "test_a_user_without_known_items_gets_the_popular_ones" and model is HonestObject:
            continue
        given = {"test_an_unknown_setting_is_refused": (), "test_a_changed_file_has_another_digest": (tmp_path / "x",)}
        (tmp_path / "x").mkdir(exist_ok=True)
        getattr(tests, name)(*given.get(name, (tests.world_of(),)))


def catalogue(*ids):
    return Catalogue(ids, tuple(Item() for _ in ids))


def test_items_are_matched_by_their_ids():
    items = OwnItems([7, "b", "c"], catalogue("c", "x", "7"))
    np.testing.assert_array_equal(items.own, [2, -1, 0])
    scores = items.scores([[1.0, 2.0, 3.0], [-1e9, 0.0, 1.0]])
    np.testing.assert_array_equal(scores[0], [3, 0 - 1 + 0, 1])
    assert scores[1, 1] < scores[1, 2] == np.float32(-1e9)


def test_items_that_do_not_fit_are_one_line():
    with pytest.raises(DataError, match=r"no item of the model is in the data set"):
        OwnItems(["a"], catalogue("x"), "net.pt")
    with pytest.raises(DataError, match="1 items of the model have the id of another item"):
        OwnItems(["x", "x"], catalogue("x"))
    with pytest.raises(PluginError, match="do not have a column for each item"):
        OwnItems(["x", "y"], catalogue("y")).scores([[1.0]])
