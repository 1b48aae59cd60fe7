"""Tests the hints for unknown names, and the merging of equal messages."""

import pytest

from robench.api.errors import in_lines, likeliest

MODELS = ["bert4rec", "lightgcn", "lstm", "mf", "sasrec"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("LightGCN", "lightgcn"), ("BERT4Rec", "bert4rec"), ("lightgnc", "lightgcn"), ("MF", "mf"), ("zzz", None)],
)
def test_papers_write_names_in_capitals(name, expected):
    assert likeliest(name, MODELS) == expected


def test_the_likeliest_name_is_spelt_as_it_is_known():
    assert likeliest("adaboost", ["AdaBoost", "other"]) == "AdaBoost"


def test_equal_messages_share_a_line():
    assert list(in_lines(["a", "b", "a"])) == ["a (2 times)", "b"]
