"""Tests the reading of Amazon's ratings and reviews of 2014, 2018 and 2023."""

import gzip
import json

import numpy as np
import pytest

from robench.api import DataError, Item
from robench.testing import DatasetTests
from robench_plugins.datasets.amazon import Amazon

USERS = ["A2CX7LUOHB2NDG", "A1Z54EM24Y40LL", "A2CX7LUOHB2NDG"]
PRODUCTS = ["0700026657", "B00000JD4V", "B00000JD4V"]
TIMES = [1435190400, 1425081600, 1425168000]
RATINGS = [5.0, 4.0, 1.0]


def csv_2014():
    return "".join(f"{u},{i},{r},{t}\n" for u, i, r, t in zip(USERS, PRODUCTS, RATINGS, TIMES, strict=True))


def csv_2018():
    return "".join(f"{i},{u},{r},{t}\n" for u, i, r, t in zip(USERS, PRODUCTS, RATINGS, TIMES, strict=True))


def csv_2023():
    rows = zip(USERS, PRODUCTS, RATINGS, TIMES, strict=True)
    return "user_id,parent_asin,rating,timestamp\n" + "".join(f"{u},{i},{r},{t}123\n" for u, i, r, t in rows)


def reviews_2018():
    rows = zip(USERS, PRODUCTS, RATINGS, TIMES, strict=True)
    keys = ("reviewerID", "asin", "overall", "unixReviewTime")
    return "\n".join(json.dumps(dict(zip(keys, row, strict=True)) | {"reviewText": 'a,\n"b'}) for row in rows)


def reviews_2023():
    rows = zip(USERS, PRODUCTS, RATINGS, TIMES, strict=True)
    keys = ("user_id", "parent_asin", "rating")
    return "\n".join(
        json.dumps(dict(zip(keys, row[:3], strict=True)) | {"timestamp": row[3] * 1000 + 123, "asin": "B0VARIANT1"})
        for row in rows
    )


@pytest.fixture
def file(tmp_path, request):
    (tmp_path / "ratings.csv").write_text(csv_2018())
    request.cls.settings = {"path": tmp_path / "ratings.csv"}


@pytest.mark.usefixtures("file")
class TestAmazon(DatasetTests):
    dataset = Amazon


@pytest.mark.parametrize(
    ("name", "text", "ticks"),
    [
        ("ratings_Beauty.csv", csv_2014(), 1),
        ("Beauty.csv", csv_2018(), 1),
        ("All_Beauty.csv", csv_2023(), 1000),
        ("All_Beauty.csv.gz", csv_2023(), 1000),
        ("Beauty_5.json.gz", reviews_2018(), 1),
        ("Beauty.jsonl", reviews_2023(), 1000),
    ],
)
def test_every_form_gives_the_same(tmp_path, name, text, ticks):
    content = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    ratings = Amazon.make(path=tmp_path / name).load()
    assert ratings.users.tolist() == USERS
    assert ratings.items.tolist() == PRODUCTS
    assert ratings.ticks == ticks
    np.testing.assert_array_equal(ratings.times // ticks, TIMES)
    np.testing.assert_array_equal(ratings.ratings, RATINGS)


def test_metadata_of_every_year(tmp_path):
    path = tmp_path / "Beauty.csv"
    path.write_text(csv_2018())
    rows = [
        "{'asin': '0700026657', 'title': \"It's\", 'categories': [['Beauty', 'Hair'], ['Beauty']], 'description': 'A'}",
        json.dumps({"asin": "B00000JD4V", "title": "Game", "category": ["Games", "PC"], "description": ["a", "b"]}),
        json.dumps({"parent_asin": "B000000000", "title": "Other", "categories": [], "description": []}),
        json.dumps({"parent_asin": "B00000JD4V", "title": "Second", "categories": ["x"]}),
    ]
    (tmp_path / "meta.jsonl").write_text("\n".join(rows))
    ratings = Amazon.make(path=path, items=tmp_path / "meta.jsonl").load()
    assert ratings.catalogue == {
        "0700026657": Item("It's", None, ("Beauty", "Hair"), "A"),
        "B00000JD4V": Item("Game", None, ("Games", "PC"), "a b"),
    }
    assert ratings.notes == ("1 repeated description of products: the first one is kept",)


def test_an_order_that_cannot_be_seen_is_asked_for(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("ann,heat,5,1000000300\n")
    with pytest.raises(DataError, match="set order: user-item or item-user"):
        Amazon.make(path=path).load()
    assert Amazon.make(path=path, order="item-user").load().users.tolist() == ["heat"]


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("x.csv", "a,b,c\n", "x.csv:1: 3 columns, and no header"),
        ("x.csv", "user_id,asin,timestamp\nA,B000000000,1\n", "x.csv:1: no column 'rating' for rating"),
        ("x.jsonl", "", "the file is empty"),
        ("x.jsonl", '\n{"user_id": "A"}\n', "x.jsonl:2: no parent_asin or asin"),
        ("x.jsonl", '{"user_id": "A", "asin": ["b"], "rating": 1, "timestamp": 1}', "x.jsonl:1: no parent_asin"),
        ("x.jsonl", "[1]\n", "x.jsonl:1: not a JSON object"),
        ("x.jsonl", "{'asin': __import__('os')}\n", "x.jsonl:1: not JSON"),
        ("x.jsonl", "{'asin': 1, []: 2}", "x.jsonl:1: not JSON"),
        ("x.jsonl", r"{'user_id': '\d'}", "x.jsonl:1: no parent_asin or asin"),
        ("x.jsonl", '{"asin": "B", "asin": "C"}', "x.jsonl:1: not JSON: a key occurs twice"),
        (
            "x.jsonl",
            r'{"user_id": "A\ud83d", "asin": "B", "rating": 1, "timestamp": 1}',
            "x.jsonl:1: half of a character",
        ),
    ],
)
def test_mistakes_are_one_line(tmp_path, name, text, problem):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as error:
        Amazon.make(path=tmp_path / name).load()
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("start", "repeated", "times", "end", "problem"),
    [
        ("", "{", 10**5, "", "not JSON"),
        ('{"user_id": ', "[", 10**7, "", "not JSON: nested too deeply"),
        ("{'user_id': ", "-", 10**5, "1}", "not JSON"),
        ("{'user_id': ", "-", 10**7, "1}", "not JSON"),
        ("{'user_id': ['", "a','", 10**3, "']}", "no user_id or reviewerID"),
        ("{'user_id': ['", "a','", 10**6, "']}", "not JSON"),  # too long for Python's parser
        ("{'user_id': 'A', 'asin': 'B', 'overall': 0x", "f", 10**4, "}", "not JSON"),
    ],
)
def test_a_hostile_line_is_refused_in_one_line(tmp_path, start, repeated, times, end, problem):
    (tmp_path / "x.jsonl").write_text(start + repeated * times + end)
    with pytest.raises(DataError) as error:
        Amazon.make(path=tmp_path / "x.jsonl").load()
    assert f"x.jsonl:1: {problem}" in str(error.value)
    assert len(str(error.value)) < 300
    assert "\n" not in str(error.value)
