"""Tests that every format says which texts and years it does not read."""

import json

import pandas as pd
import pytest

from robench.api import DataError
from robench_plugins.datasets.amazon import Amazon
from robench_plugins.datasets.csv_file import CsvFile
from robench_plugins.datasets.movielens import MovieLens
from robench_plugins.datasets.recbole import Recbole
from robench_plugins.datasets.sequences import Sequences

MOVIE = "1|Heat|{}||url" + "|0" * 19


def recbole(folder, items):
    (folder / "x.inter").write_text("user_id:token\titem_id:token\na\tx\n")
    (folder / "x.item").write_text(items)
    return Recbole.make(path=folder)


def sequences(folder, items):
    (folder / "s.txt").write_text("a x y\n")
    (folder / "i.csv").write_text(items)
    return Sequences.make(path=folder / "s.txt", items=folder / "i.csv")


def latest(folder, items):
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,5,1\n")
    (folder / "movies.csv").write_text(items)
    return MovieLens.make(path=folder)


def movielens_100k(folder, items):
    (folder / "u.data").write_text("1\t1\t5\t1\n")
    (folder / "u.item").write_text(items)
    return MovieLens.make(path=folder)


def amazon(folder, items):
    (folder / "r.csv").write_text("user_id,parent_asin,rating,timestamp\na,B000000001,5,1\n")
    (folder / "m.jsonl").write_text(items)
    return Amazon.make(path=folder / "r.csv", items=folder / "m.jsonl")


def product(**keys):
    return json.dumps({"parent_asin": "B000000001", **keys})


@pytest.mark.parametrize(
    ("make", "items", "notes"),
    [
        (
            recbole,
            "item_id:token\tprice:float\nx\t3\n",
            ["x.item has no column movie_title, release_year or class (its columns: item_id, price)"],
        ),
        (
            recbole,
            "item_id:token\ttitle:token_seq\tyear:token\nx\tHeat\tc. 1990\n",
            ["1 year of x.item left out, such as 'c. 1990': no numbers"],
        ),
        (recbole, "item_id:token\ttitle:token_seq\tyear:token\nx\tHeat\t1995.0\ny\tFargo\t\n", []),
        (
            sequences,
            "item,name\nx,Heat\n",
            ["i.csv has no column title, year, genres or description (its columns: item, name)"],
        ),
        (
            sequences,
            "item,title,year\nx,Heat,MCMXCV\ny,Fargo,96?\n",
            ["2 years of i.csv left out, such as 'MCMXCV': no numbers"],
        ),
        (sequences, "item,title\nx,Heat\n", []),
        (
            latest,
            "movieId,name\n1,Heat (1995)\n",
            ["movies.csv has no column title or genres (its columns: movieId, name)"],
        ),
        (latest, "movieId,title,genres\n1,Heat,\n", []),
        (
            movielens_100k,
            MOVIE.format("1995-01-01"),
            ["1 year of u.item left out, such as '1995-01-01': no dates such as 01-Jan-1995"],
        ),
        (movielens_100k, MOVIE.format("01-Jan-1995"), []),
        (movielens_100k, MOVIE.format("1995-01-01").replace("Heat", "Heat (1995)"), []),
        (
            amazon,
            product(name="Soap"),
            ["m.jsonl has no column title, categories, category or description (its columns: parent_asin, name)"],
        ),
        (amazon, product(title="Soap"), []),
        (amazon, product(title="Soap").replace("01", "02"), []),
    ],
)
def test_texts_and_years_that_are_not_read_are_said(tmp_path, make, items, notes):
    assert list(make(tmp_path, items).load().notes) == notes


def test_the_index_of_a_frame_is_no_column(tmp_path):
    pd.DataFrame({"user": ["a"], "item": ["x"]}, index=[7]).to_parquet(tmp_path / "r.parquet")
    pd.DataFrame({"user": ["a"], "age": [24]}, index=[7]).to_parquet(tmp_path / "u.parquet")
    source = CsvFile.make(path=tmp_path / "r.parquet", users=tmp_path / "u.parquet")
    assert source.load().profiles == {"a": "age: 24"}
    with pytest.raises(DataError, match=r"no column 'x' for user \(known: item, user; set"):
        CsvFile.make(path=tmp_path / "r.parquet", user="x").load()
