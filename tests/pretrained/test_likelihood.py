"""Tests the likelihood of short texts under a tiny decoder."""

import pytest
import torch
from tests.tiny_decoder import tiny_decoder

from robench.pretrained import likelihood
from robench.pretrained.causal import CausalModel


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    pytest.importorskip("transformers")
    return CausalModel.load(str(tiny_decoder(tmp_path_factory.mktemp("decoder"))))


def test_the_mean_is_that_of_each_text_alone(model, monkeypatch):
    monkeypatch.setattr(likelihood, "AT_ONCE", 2)
    texts = ["space robot", "heat", "love kiss wedding galaxy", "heat"]
    values = likelihood.TextLikelihood(model).mean(texts)
    front = model.start or [model.tokenizer.eos_token_id]
    for text, value in zip(texts, values, strict=True):
        ids = torch.tensor([[*front, *model.ids(text)]])
        with torch.no_grad():
            log = model.net(input_ids=ids).logits[0].log_softmax(1)
        own = [float(log[at - 1, ids[0, at]]) for at in range(len(front), ids.shape[1])]
        assert value == pytest.approx(sum(own) / len(own), abs=1e-3)


def test_a_text_without_tokens_is_the_least_likely(model):
    values = likelihood.TextLikelihood(model).mean(["", "heat"])
    assert values[0] == likelihood.LOWEST < values[1]
    assert likelihood.TextLikelihood(model).mean([]).shape == (0,)


def test_a_text_is_scored_once(model, monkeypatch):
    scorer, calls = likelihood.TextLikelihood(model), []
    score = scorer._score
    monkeypatch.setattr(scorer, "_score", lambda texts: calls.extend(texts) or score(texts))
    scorer.mean(["heat", "heat", "robot"])
    scorer.mean(["robot", "heat"])
    assert sorted(calls) == ["heat", "robot"]
