"""What is read is counted once, and what an attacked title costs is one text."""

import numpy as np
import pytest
from tests.tiny_bert import tiny_bert

from robench.api.data import Item
from robench.api.usage import count_usage, uncounted, usage_since, usage_so_far
from robench.testing.worlds import crowd, fitted
from robench_plugins.models.text_bert import TextBert


def test_amounts_add_up_and_only_what_rose_is_told():
    count_usage(texts=3, tokens=5)
    before = usage_so_far()
    assert usage_since(before) == {}
    count_usage(texts=2, answers=0)
    count_usage(texts=1, written=4)
    assert usage_since(before) == {"texts": 3, "written": 4}
    assert usage_so_far()["texts"] == before["texts"] + 3
    before["texts"] = 0
    assert usage_so_far()["texts"] != 3, "what was handed out is a copy"


def _fails_within():
    with uncounted():
        count_usage(texts=9)
        count_usage(texts=1 // 0)


def test_what_is_read_within_uncounted_is_not_even_after_an_error():
    before = usage_so_far()
    with uncounted():
        count_usage(texts=9, odd=1)
        assert usage_since(before) == {"texts": 9, "odd": 1}
    with pytest.raises(ZeroDivisionError):
        _fails_within()
    assert usage_so_far() == before


def test_a_catalogue_is_encoded_once_and_of_an_attacked_one_the_new_title_alone(tmp_path):
    pytest.importorskip("transformers")
    weights = str(tiny_bert(tmp_path))
    data, _ = crowd(n_users=24)
    settings = {"weights": weights, "dim": 16, "epochs": 1, "max_length": 12}
    before = usage_so_far()
    model = fitted(TextBert.make(**settings), data)[0]
    assert usage_since(before)["texts"] == len({item.title for item in data.catalogue.items}) == data.n_items
    before = usage_so_far()
    again = fitted(TextBert.make(**settings), data)[0]
    assert usage_since(before) == {}, "the cache has all of them"
    other = again.rewritten({5: Item("the love of a wizard")})
    other.scores(np.arange(9), data.train)
    found = usage_since(before)
    assert found["texts"] == 1
    assert found["tokens"] == int(model.encoder.tokens(["the love of a wizard"]).mask.sum())
