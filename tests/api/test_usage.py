"""What is read is counted once, and what an attacked title costs is one text."""

import numpy as np
import pytest
from tests.tiny_bert import tiny_bert

from robench.api.data import Item
from robench.api.usage import have_read, read, read_since, uncounted
from robench.testing.worlds import crowd, fitted
from robench_plugins.models.text_bert import TextBert


def test_amounts_add_up_and_only_what_rose_is_told():
    read(texts=3, tokens=5)
    before = have_read()
    assert read_since(before) == {}
    read(texts=2, answers=0)
    read(texts=1, written=4)
    assert read_since(before) == {"texts": 3, "written": 4}
    assert have_read()["texts"] == before["texts"] + 3
    before["texts"] = 0
    assert have_read()["texts"] != 3, "what was handed out is a copy"


def _fails_within():
    with uncounted():
        read(texts=9)
        read(texts=1 // 0)


def test_what_is_read_within_uncounted_is_not_even_after_an_error():
    before = have_read()
    with uncounted():
        read(texts=9, odd=1)
        assert read_since(before) == {"texts": 9, "odd": 1}
    with pytest.raises(ZeroDivisionError):
        _fails_within()
    assert have_read() == before


def test_a_catalogue_is_encoded_once_and_of_an_attacked_one_the_new_title_alone(tmp_path):
    pytest.importorskip("transformers")
    weights = str(tiny_bert(tmp_path))
    data, _ = crowd(n_users=24)
    settings = {"weights": weights, "dim": 16, "epochs": 1, "max_length": 12}
    before = have_read()
    model = fitted(TextBert.make(**settings), data)[0]
    assert read_since(before)["texts"] == len({item.title for item in data.catalogue.items}) == data.n_items
    before = have_read()
    again = fitted(TextBert.make(**settings), data)[0]
    assert read_since(before) == {}, "the cache has all of them"
    other = again.rewritten({5: Item("the love of a wizard")})
    other.scores(np.arange(9), data.train)
    found = read_since(before)
    assert found["texts"] == 1
    assert found["tokens"] == int(model.encoder.tokens(["the love of a wizard"]).mask.sum())
