"""Tests how the texts and tokens that a measurement encodes are counted.

An encoded text is counted once, for the measurement that encodes it. A cached text is not counted.
"""

import contextlib
import threading

import numpy as np
import pytest
from tests.tiny_bert import tiny_bert

from robench.api.data import Item
from robench.api.usage import count_usage, ignore_usage, record_usage
from robench.testing.worlds import crowd, fitted
from robench_plugins.models.text_bert import TextBert


def test_amounts_add_up_and_only_positive_ones_are_noted():
    with record_usage() as usage:
        assert usage.amounts() == {}
        count_usage(texts=2, answers=0)
        count_usage(texts=1, written=4)
        assert usage.amounts() == {"texts": 3, "written": 4}
        usage.amounts()["texts"] = 0
    assert usage.amounts() == {"texts": 3, "written": 4}, "what was handed out is a copy"


def test_nothing_outside_a_recorded_block_is_counted():
    count_usage(tokens=5)
    with record_usage() as first:
        count_usage(tokens=7)
    count_usage(tokens=9)
    with record_usage() as second:
        count_usage(tokens=1)
    assert (first.amounts(), second.amounts()) == ({"tokens": 7}, {"tokens": 1})


def test_an_outer_block_counts_what_an_inner_one_does():
    with record_usage() as outer:
        count_usage(texts=1)
        with record_usage() as inner:
            count_usage(texts=2)
        count_usage(texts=4)
    assert (outer.amounts(), inner.amounts()) == ({"texts": 7}, {"texts": 2})


def test_what_is_ignored_is_not_counted_even_after_an_error():
    with record_usage() as usage:
        with ignore_usage():
            count_usage(texts=9, odd=1)
        with contextlib.suppress(ZeroDivisionError), ignore_usage():
            count_usage(texts=1 // 0)
        with contextlib.suppress(ZeroDivisionError), record_usage():
            count_usage(texts=1 // 0)
        count_usage(texts=1)
    assert usage.amounts() == {"texts": 1}


def test_two_measurements_in_two_threads_do_not_mix():
    noted, together = {}, threading.Barrier(2)

    def measure(amount):
        with record_usage() as usage:
            together.wait()
            count_usage(tokens=amount)
            together.wait()
        noted[amount] = usage.amounts()

    threads = [threading.Thread(target=measure, args=(amount,)) for amount in (3, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert noted == {3: {"tokens": 3}, 5: {"tokens": 5}}


def test_a_catalogue_is_encoded_once_and_of_an_attacked_one_the_new_title_alone(tmp_path):
    pytest.importorskip("transformers")
    weights = str(tiny_bert(tmp_path))
    data, _ = crowd(n_users=24)
    settings = {"weights": weights, "dim": 16, "epochs": 1, "max_length": 12}
    with record_usage() as first:
        model = fitted(TextBert.make(**settings), data)[0]
    assert first.amounts()["texts"] == len({item.title for item in data.catalogue.items}) == data.n_items
    with record_usage() as second:
        again = fitted(TextBert.make(**settings), data)[0]
    assert second.amounts() == {}, "the cache has all of them"
    with record_usage() as third:
        again.rewritten({5: Item("the love of a wizard")}).scores(np.arange(9), data.train)
    tokens = int(model.encoder.tokens(["the love of a wizard"]).mask.sum())
    assert third.amounts() == {"texts": 1, "tokens": tokens}
