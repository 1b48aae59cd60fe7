"""Tests llm with titles that are unlikely, unusable, or too long for the prompt."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from robench.api import Catalogue, Item, Rng
from robench.api.data import joined
from robench.testing.worlds import crowd, fitted
from robench_plugins.models.llm.model import Llm
from robench_plugins.models.llm.prompt import Template
from robench_plugins.models.llm.scoring import OTHERS, UNUSABLE

pytest.importorskip("transformers")


def test_the_least_likely_title_stands_before_unusable_ones_and_all_others(weights, monkeypatch):
    data, _ = crowd(n_users=24)
    small = {"score": "mean-likelihood", "candidates": 8, "history_items": 4, "validation_users": 4}
    model, _ = fitted(Llm.make(weights=weights, **small), data)
    user, history = np.array([0]), joined(data.train, data.validation)
    empty, unlikely, *others = model.candidates(user, history)[0].tolist()
    model.likelihoods.clear()
    likelihoods = torch.tensor([0.0, -150.0, *range(-2, -8, -1)])
    monkeypatch.setattr(model.decoder, "log_likelihoods", lambda vectors, titles: likelihoods)
    scores = model.rewritten({empty: Item("")}).scores(user, history)[0]
    order = np.argsort(-scores, kind="stable").tolist()
    assert order[:8] == [*others, unlikely, empty]
    assert scores[unlikely] > UNUSABLE >= scores[empty] > OTHERS


def test_unusable_titles_are_not_trained_on(weights):
    data, _ = crowd(n_users=24)
    model = Llm.make(weights=weights, lora_rank=2, train_rows=10_000, max_tokens=400)
    items = [Item(""), Item("x" * 100), *data.catalogue.items[2:]]  # with a space, x is one token too long
    data = replace(data, catalogue=Catalogue(data.catalogue.ids, tuple(items)))
    model.initialise(data, Rng(0))
    later = {item for user in range(24) for item in data.train.row(user)[1:].tolist()}
    assert later >= {0, 1}
    items = {item for batch in model.batches(data, Rng(1)) for item in batch.targets["items"].tolist()}
    assert items == later - {0, 1}


def test_titles_older_than_one_that_does_not_fit_are_left_out():
    def tokens(text, *, special=False):
        return [ord(char) for char in text]

    template = Template("x" * 18 + "{history}", tokens, [], 40)
    old, long, new = [1] * 2, [2] * template.room, [3] * 2
    prompt = template.fill([old, long, new])
    assert prompt.ids == tokens("x" * 18 + "-") + new
    assert prompt.cut
    assert template.fill([old, new]).ids == tokens("x" * 18 + "-") + old + tokens("\n-") + new
