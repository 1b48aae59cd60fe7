"""Tests that fake users reach the training of every built-in model."""

from dataclasses import replace

import numpy as np
import pytest
from tests.plugins.models import test_conformance, test_llm_conformance, test_text_bert, test_tiger
from tests.plugins.models.chat import test_model as test_chat

import robench_plugins
from robench.api import Rng
from robench.api.data import TrainData, joined
from robench.testing import ModelTests
from robench.testing.worlds import crowd, fitted
from robench_plugins.models.lightgcn import LightGcn

ONE, TWO = 1, 2  # two items of the genres 1 and 2, which fake users pair with items of the genre 0


def conformance_classes():
    """Returns one conformance class per built-in model, by the name of its model."""
    modules = (test_conformance, test_llm_conformance, test_text_bert, test_tiger, test_chat)
    classes = (value for module in modules for value in vars(module).values())
    tests = [one for one in classes if isinstance(one, type) and issubclass(one, ModelTests) and hasattr(one, "model")]
    return {one.model.__name__: one for one in reversed(tests)}


CLASSES = conformance_classes()


def test_the_canary_covers_every_built_in_model():
    covered = {f"{one.model.__module__}:{one.model.__qualname__}" for one in CLASSES.values()}
    assert covered == set(robench_plugins.robench_models().values())


# Fits of Llm take minutes, and Chat needs a server. Their conformance classes compare a poisoned fit with a clean one.
PUSHED = sorted(name for name, one in CLASSES.items() if one.collaborative and name not in ("Llm", "Chat"))


@pytest.mark.parametrize("name", PUSHED)
def test_an_item_that_fake_users_push_gains_on_one_that_other_fake_users_push(name):
    """The profiles of two poisonings differ in one item.

    Each poisoning must lift its own item more than the item of the other one.
    """
    tests, (data, _) = CLASSES[name], crowd()
    short = {"epochs": min(tests.settings.get("epochs", 3), 3)} if tests.model.has_setting("epochs") else {}
    users = np.arange(0, 20, 4)
    gaps = []
    for pushed in (ONE, TWO):
        fakes = [[*range(0, 24, 4), pushed, *range(24, 40, 4)]] * 40
        poisoned = replace(data, train=data.train.appended(fakes))
        model, _ = fitted(tests.model.make(**{**tests.settings, **short}), poisoned)
        scores = model.scores(users, joined(data.train, data.validation))
        gaps.append(float((scores[:, ONE] - scores[:, TWO]).mean()))
    assert gaps[0] > gaps[1]


def test_the_graph_of_lightgcn_holds_the_edges_of_fake_users():
    data, _ = crowd()
    fake = [1, 5, 9]
    poisoned = TrainData(data.train.appended([fake]), data.validation, data.catalogue)
    model = LightGcn.make(factors=4)
    model.build(poisoned, Rng(0))
    edges = model.adjacency.to_dense().numpy()
    assert edges.shape[0] == data.n_users + 1
    assert np.flatnonzero(edges[data.n_users]).tolist() == fake
