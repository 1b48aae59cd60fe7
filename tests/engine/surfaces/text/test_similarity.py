"""Tests the similarity of old and new titles that the host reports.

A tiny encoder replaces the host's own encoder.
"""

import pytest
import torch
from tests.tiny_bert import tiny_bert

from robench.api.usage import record_usage
from robench.engine.surfaces.text import similarity
from robench.pretrained.encoder import Encoder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    pytest.importorskip("transformers")
    return Encoder.load(str(tiny_bert(tmp_path_factory.mktemp("encoder"))))


def test_each_new_title_is_compared_with_its_own_old_one(encoder, monkeypatch):
    monkeypatch.setattr(similarity, "_encoder", lambda: encoder)
    pairs = [("the space robot", "the space robot"), ("heat", "love kiss wedding"), ("galaxy", "the galaxy")]
    rows = [{"before": old, "after": new} for old, new in pairs]
    with record_usage() as usage:
        similarities = similarity.title_similarity(rows)
    assert usage.amounts() == {}, "the host's own look is not a cost of the attack"
    expected = []
    for old, new in pairs:
        one, two = encoder.encode([old])[0], encoder.encode([new])[0]
        expected.append(float(one @ two / one.norm() / two.norm()))
    assert [row["similarity"] for row in rows] == pytest.approx(expected, abs=1e-4)
    assert expected[0] == pytest.approx(1)
    assert max(expected[1:]) < 0.99, "else this test could not tell them apart"
    assert similarities == {
        "mean": pytest.approx(sum(expected) / 3, abs=1e-5),
        "min": pytest.approx(min(expected), abs=1e-5),
    }


def test_without_an_encoder_or_titles_nothing_is_said(encoder, monkeypatch):
    rows = [{"before": "a", "after": "b"}]
    monkeypatch.setattr(similarity, "_encoder", lambda: None)
    assert similarity.title_similarity(rows) == {}
    assert "similarity" not in rows[0]
    monkeypatch.setattr(similarity, "_encoder", lambda: encoder)
    assert similarity.title_similarity([]) == {}
    assert torch.is_grad_enabled()
