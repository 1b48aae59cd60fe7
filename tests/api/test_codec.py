"""Tests that dataclasses convert to JSON objects and CSV rows, and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import pytest

from robench.api.codec import IF_SET, JSON_ONLY, columns, decode, encode, inline, named
from robench.api.metric import Measure


class Range(NamedTuple):
    low: float
    high: float


@dataclass(frozen=True)
class Key:
    model: str
    lambda_: float


@dataclass(frozen=True)
class Row:
    key: Key = field(metadata=inline())
    metric: Measure
    share: float | None = field(metadata=named("t-hr@10_given"))
    norm: Literal["l2", "linf"]
    keys: tuple[Key, ...]
    range: Range
    counts: Mapping[str, int] = field(metadata=JSON_ONLY)
    baseline: bool = field(default=False, metadata=IF_SET)


ROW = Row(Key("mf", 0.5), Measure("ndcg", 10), None, "l2", (Key("lstm", 1),), Range(0.0, 1.0), {"a": 1})
PLAIN = {
    "model": "mf",
    "lambda": 0.5,
    "metric": "ndcg@10",
    "t-hr@10_given": None,
    "norm": "l2",
    "keys": [{"model": "lstm", "lambda": 1}],
    "range": [0.0, 1.0],
    "counts": {"a": 1},
}


def test_a_row_is_written_flat_in_the_order_of_its_fields_and_read_back():
    assert encode(ROW) == PLAIN
    assert list(encode(ROW)) == list(PLAIN)
    assert decode(Row, PLAIN) == ROW


def test_a_nested_dataclass_that_is_missing_is_written_as_null():
    @dataclass(frozen=True)
    class Outer:
        key: Key | None = field(metadata=inline())
        n: int

    assert columns(Outer) == ["model", "lambda", "n"]
    for outer in (Outer(None, 1), Outer(Key("mf", 0.5), 1)):
        assert decode(Outer, encode(outer)) == outer
    assert encode(Outer(None, 1)) == {"model": None, "lambda": None, "n": 1}


def test_what_has_its_default_may_be_left_out():
    marked = {**PLAIN, "baseline": True}
    assert decode(Row, marked).baseline
    assert encode(decode(Row, marked)) == marked


def test_names_that_a_later_version_added_are_ignored():
    assert decode(Row, {**PLAIN, "later": 1}) == ROW


def test_columns_are_the_fields_of_a_csv_row():
    assert columns(Row) == ["model", "lambda", "metric", "t-hr@10_given", "norm", "keys", "range", "baseline"]


def test_some_fields_of_another_row_may_stand_in_a_row():
    @dataclass(frozen=True)
    class Part:
        key: Key = field(metadata=inline("lambda"))
        seeds: int

    assert encode(Part(Key("mf", 0.5), 3)) == {"lambda": 0.5, "seeds": 3}
    assert columns(Part) == ["lambda", "seeds"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"lambda": "x"}, "'lambda' is not a number: 'x'"),
        ({"metric": 3}, "'metric' is not str: 3"),
        ({"norm": "l3"}, "'norm' is none of 'l2', 'linf': 'l3'"),
        ({"keys": {}}, "'keys' is not list: {}"),
        ({"keys": [{"model": "mf"}]}, "'lambda' is missing"),
        ({"counts": {"a": "b"}}, "'counts' is not int: 'b'"),
    ],
)
def test_what_is_wrong_is_named(wrong, said):
    with pytest.raises(ValueError, match=said):
        decode(Row, PLAIN | wrong)
