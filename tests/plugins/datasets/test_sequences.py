"""Tests sequences without times, with one user per line or one item per line."""

import pytest

from robench.api import DataError, Item
from robench.engine.data.prepare import prepare
from robench.spec import Part
from robench.testing import DatasetTests
from robench_plugins.datasets.sequences import Sequences


@pytest.fixture
def file(tmp_path, request):
    (tmp_path / "x.txt").write_text("1 5 6 7\n2 5 6\n")
    request.cls.settings = {"path": tmp_path / "x.txt"}


@pytest.mark.usefixtures("file")
class TestSequences(DatasetTests):
    dataset = Sequences


def read(path, text, **settings):
    path.write_bytes(text.encode())
    return Sequences.make(path=path, **settings).load()


@pytest.mark.parametrize(
    "text",
    [
        "b 9 10 7\na 9\n",
        "b 9\nb 10\nb 7\na 9\n",
        "\n  b\t9   10 7 \r\n\r\na 9",
        "b 9 10 7\ra 9\r",
        "\ufeffb 9 10 7\na 9\n",
    ],
)
def test_every_form_gives_the_same(tmp_path, text):
    ratings = read(tmp_path / "x.txt", text)
    assert ratings.users.tolist() == ["b", "b", "b", "a"]
    assert ratings.items.tolist() == ["9", "10", "7", "9"]
    assert ratings.times is None


def test_pairs_need_no_order_of_users(tmp_path):
    ratings = read(tmp_path / "x.txt", "a 1\nb 2\na 3\n")
    assert list(zip(ratings.users.tolist(), ratings.items.tolist(), strict=True)) == [
        ("a", "1"),
        ("b", "2"),
        ("a", "3"),
    ]


def test_ids_of_any_script_are_kept(tmp_path):
    ratings = read(tmp_path / "x.txt", "José 007 7\nλ 07\n")
    assert ratings.users.tolist() == ["José", "José", "λ"]
    assert ratings.items.tolist() == ["007", "7", "07"]


def test_titles_are_optional(tmp_path):
    (tmp_path / "items.csv").write_text("item,title,genres\n1,Heat,Action|Crime\n")
    ratings = read(tmp_path / "x.txt", "a 1 2\n", items=tmp_path / "items.csv")
    assert ratings.catalogue == {"1": Item("Heat", None, ("Action", "Crime"))}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "x.txt: the file is empty"),
        (" \n\n", "x.txt: the file is empty"),
        ("a 1 2\n\nb\n", "x.txt:3: a line with a user and no item"),
        ("a 1 2\r\n\r\nb\r\n", "x.txt:3: a line with a user and no item"),
        ("a 1 2\r\rb\r", "x.txt:3: a line with a user and no item"),
        ("a 1 5 978300760\nb 2 3 978300761\na 2 3 978300760\n", "x.txt:3: user 'a' has a second line"),
    ],
)
def test_mistakes_are_one_line(tmp_path, text, place):
    with pytest.raises(DataError) as error:
        read(tmp_path / "x.txt", text)
    assert place in str(error.value)


@pytest.mark.parametrize(
    ("name", "users", "items", "rows"),
    [("amazon-beauty/Beauty.txt", 22_363, 12_101, 198_502), ("amazon-video/Video.txt", 31_013, 23_715, 287_107)],
)
def test_the_counts_of_real_data(real_data, name, users, items, rows):
    path = real_data(name)
    data = prepare(Sequences.make(path=path).load(), Sequences.Config(path=path), Part("leave-last-out", {}, "s"))
    assert (data.summary.users, data.summary.items, data.summary.rows) == (users, items, rows)
    first = path.read_text().split(maxsplit=2)
    row = data.user_ids.index(first[0])
    assert data.catalogue.ids[data.train.row(row)[0]] == first[1]
