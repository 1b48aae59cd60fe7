"""Tests small files that other libraries or earlier versions of robench misread.

The number in a file's name is the number of its case.
"""

import csv
import re
import resource
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from robench.api import DataError
from robench.api.dataset import DatasetConfig
from robench.engine.data.prepare import prepare
from robench.spec import Part
from robench_plugins.datasets.csv_file import CsvFile
from robench_plugins.datasets.recbole import Recbole

CASES = Path(__file__).parent / "cases"
LAST = Part("leave-last-out", {"seed": 0}, "s")


def load(name, **settings):
    return CsvFile.make(path=CASES / name, **settings)


def rows(name):
    """Returns the cells of each line of a file, split at every separator.

    The function does not interpret quotes.
    """
    separator = {".tsv": "\t", ".dat": "::"}.get(Path(name).suffix, ",")
    return [line.split(separator) for line in (CASES / name).read_text("latin-1").splitlines()]


def notes_of(source):
    return " / ".join(prepare(source.load(), DatasetConfig(), LAST).summary.notes)


def test_01_times_with_fractions_keep_their_order():
    source = load("01-times-with-fractions.csv")
    data = prepare(source.load(), DatasetConfig(), LAST)
    last = {}
    for user, item, time in rows("01-times-with-fractions.csv")[1:]:
        last[user] = max(last.get(user, (Fraction(0), "")), (Fraction(time), item))
    held_out = {u: data.catalogue.ids[data.test.row(i)[0]] for i, u in enumerate(data.user_ids)}
    assert held_out == {user: item for user, (_, item) in last.items()}
    assert len(last) == 30
    assert data.summary.first == "2017-07-14"


def test_times_with_fractions_are_kept_to_the_nanosecond(tmp_path):
    path, texts = tmp_path / "r.csv", ["1500000000.2", "1500000000.123456789", "1.5e9", "1500000000"]
    path.write_text("user,item,time\n" + "".join(f"u,{item},{text}\n" for item, text in enumerate(texts)))
    ratings = CsvFile.make(path=str(path)).load()
    assert ratings.ticks == 10**9
    assert ratings.times.tolist() == [int(Fraction(text) * 10**9) for text in texts]


def test_02_stray_quotes_swallow_no_row():
    source = load("02-stray-quotes.tsv", items=CASES / "02-stray-quotes-items.tsv")
    ratings = source.load()
    expected = rows("02-stray-quotes.tsv")[1:]
    assert ratings.users.tolist() == [row[0] for row in expected]
    assert ratings.items.tolist() == [row[1] for row in expected]
    titles = {row[0]: row[1] for row in rows("02-stray-quotes-items.tsv")[1:]}
    assert {one: item.title for one, item in ratings.catalogue.items()} == titles
    assert any('"' in title for title in titles.values())


def test_02_stray_quotes_in_an_atomic_file(tmp_path):
    shutil.copy(CASES / "02-stray-quotes.item", tmp_path / "d.item")
    (tmp_path / "d.inter").write_text("user_id:token\titem_id:token\n1\t3\n")
    catalogue = Recbole.make(path=tmp_path).load().catalogue
    lines = (CASES / "02-stray-quotes.item").read_text().splitlines()[1:]
    assert [item.title for item in catalogue.values()] == [line.split("\t")[1] for line in lines]
    assert catalogue["3"].title == '"Rear Window'


def test_04_a_file_without_header_and_a_file_in_latin_1():
    with pytest.raises(DataError, match=r"04-no-header.dat:1: .*set header: false"):
        load("04-no-header.dat").load()
    ratings = load("04-no-header.dat", header=False).load()
    expected = rows("04-no-header.dat")
    assert ratings.users.tolist() == [row[0] for row in expected]
    assert ratings.times.tolist() == [int(row[3]) for row in expected]
    with pytest.raises(DataError, match=r"04-latin1.csv:2: not UTF-8 at byte .*set encoding: latin-1 or cp1252"):
        load("04-latin1.csv").load()
    ratings = load("04-latin1.csv", encoding="latin-1").load()
    assert ratings.items.tolist() == [row[1] for row in rows("04-latin1.csv")[1:]]
    assert all(name.startswith("café") for name in ratings.items.names)


def test_05_a_long_id_costs_no_memory_for_the_others(tmp_path):
    generator = np.random.default_rng(1)
    numbers = generator.integers(1, 2000, 100_000)
    long = "http://shop.example/" + "q" * 5_000_000
    path = tmp_path / "r.csv"
    with path.open("w") as file:
        file.write("user,item,time\n")
        file.writelines(f"{k % 5000},{long if k == 7 else numbers[k]},{k}\n" for k in range(len(numbers)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ratings = CsvFile.make(path=path).load()
    prepare(ratings, DatasetConfig(), LAST)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**10
    assert ratings.items.tolist()[7] == long
    assert grown < 400  # MiB; an array of strings would need 1.9 TB


def test_07_ids_that_differ_in_form_are_said():
    source = load("07-mixed-ids.csv", items=CASES / "07-items-partly-matching.csv")
    notes = notes_of(source)
    assert re.search(r"\d+ users have ids that differ only in form, such as '1' and '1.0'", notes)
    ids = {row[1] for row in rows("07-mixed-ids.csv")[1:]}
    assert source.load().users.tolist() == [row[0] for row in rows("07-mixed-ids.csv")[1:]]
    with (CASES / "07-items-partly-matching.csv").open() as file:
        described = {row[0] for row in list(csv.reader(file))[1:]}
    if len(ids & described) < len(ids) / 2:
        assert f"match {len(ids & described)} of {len(ids)} items" in notes


def test_08_archives(tmp_path):
    with pytest.raises(DataError, match=r"08-plain.csv.gz: named .gz, but its content is not compressed in this way"):
        load("08-plain.csv.gz").load()
    with pytest.raises(DataError, match=r"08-truncated.csv.gz: a damaged .gz file: it is cut off"):
        load("08-truncated.csv.gz").load()
    with pytest.raises(DataError, match=r"08-two-files.zip: a .zip of 2 files \(.*unpack it, and name the file"):
        load("08-two-files.zip").load()
    shutil.copy(CASES / "08-truncated.csv.gz", tmp_path / "r.csv")
    with pytest.raises(DataError, match=r"r.csv: it looks like a .gz file, and is not named so"):
        CsvFile.make(path=tmp_path / "r.csv").load()
    shutil.copy(CASES / "08-two-files.zip", tmp_path / "r.csv.gz")
    with pytest.raises(DataError, match=r"r.csv.gz: named .gz, but it looks like a .zip file"):
        CsvFile.make(path=tmp_path / "r.csv.gz").load()


def test_11_a_year_with_a_decimal_point(tmp_path):
    (tmp_path / "r.csv").write_text("user,item\n1,1\n")
    catalogue = CsvFile.make(path=tmp_path / "r.csv", items=CASES / "11-year-float.csv").load().catalogue
    expected = {row[0]: int(row[2].removesuffix(".0")) for row in rows("11-year-float.csv")[1:]}
    assert {one: item.year for one, item in catalogue.items()} == expected


@pytest.mark.parametrize(
    ("cell", "year"),
    [("1994.0", 1994), (" 1994 ", 1994), ("1994.", 1994), ("٣", None), ("²", None), ("1994.5", None), ("nan", None)],
)
def test_years_are_ascii_digits(tmp_path, cell, year):
    (tmp_path / "r.csv").write_text("user,item\n1,1\n")
    (tmp_path / "i.csv").write_text(f"item_id,title,year\n1,One,{cell}\n", encoding="utf-8")
    catalogue = CsvFile.make(path=tmp_path / "r.csv", items=tmp_path / "i.csv").load().catalogue
    assert catalogue["1"].year == year


@pytest.mark.parametrize("repeats", ["first", "last", "all"])
def test_three_orders_of_the_rows_give_the_same_bytes(tmp_path, repeats):
    generator = np.random.default_rng(3)
    columns = (generator.integers(0, high, 300) for high in (20, 15, 40, 6))
    lines = sorted(
        f"u{user},{item},{1_500_000_000 + time}.{time % 3},{star}"
        for user, item, time, star in zip(*columns, strict=True)
    )
    orders = {"sorted": lines, "reversed": lines[::-1], "shuffled": generator.permutation(lines).tolist()}
    for split in (
        LAST,
        Part("random-ratio", {"ratios": [8, 1, 1], "seed": 0}, "s"),
        Part("global-time", {"validation": 0.1, "test": 0.1, "seed": 0}, "s"),
    ):
        contents = set()
        for name, order in orders.items():
            path = tmp_path / f"{name}.csv"
            path.write_text("\n".join(["user,item,time,rating", *order]))
            source = CsvFile.make(path=path, repeats=repeats, min_rating=1, min_item_interactions=2)
            contents.add(prepare(source.load(), source.config, split).to_bytes())
        assert len(contents) == 1


def test_dates_far_from_1970_keep_their_order_beside_fractions(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("user,item,time\n1,a,2020-01-01T00:00:00.5\n1,b,2500-01-01\n1,c,2020-01-01T00:00:00.25\n")
    ratings = CsvFile.make(path=path).load()
    assert (ratings.times.tolist(), ratings.ticks) == ([1, 2, 0], None)
    assert ratings.notes == ("of the times, only the order is kept",)
