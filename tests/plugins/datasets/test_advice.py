"""Tests that hints name the setting that helps.

No setting is ignored silently.
"""

import io
import re
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from pydantic import ValidationError

from robench.api.errors import DataError
from robench_plugins.datasets.csv_file import CsvFile
from robench_plugins.datasets.frame import Frame
from robench_plugins.datasets.movielens import MovieLens
from robench_plugins.datasets.recbole import Recbole
from robench_plugins.datasets.sequences import Sequences

LOG = "user,item\na,x\nb,y\n"


def csv(folder, log=LOG, items=None, users=None, **settings):
    """Writes texts or bytes to files, and returns a data set that reads the files."""
    given = {"path": log, "items": items, "users": users}
    for name, text in given.items():
        if text is not None:
            (folder / f"{name}.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
            settings[name] = folder / f"{name}.txt"
    return CsvFile.make(**settings)


def workbook() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("xl/workbook.xml", "<workbook/>")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"items": "item|title\nx|Heat\n"}, '(set separator: {items: "|"})'),
        ({"log": LOG.replace(",", ";"), "items": "item|title\n", "separator": ";"}, '{path: ";", items: "|"})'),
        ({"items": "item,title\nx,é\n".encode("latin-1")}, "set encoding: {path: utf-8, items: latin-1} or cp1252"),
        ({"users": "user,town\na,é\n".encode("latin-1")}, "set encoding: {path: utf-8, users: latin-1} or cp1252"),
        ({"users": "a,24\nb,30\n"}, "the first row looks like data: write a row of names above it"),
        ({"log": workbook()}, "an Excel workbook (save it as CSV"),
        ({"log": "a;x;3,5;10\nb;y;4;11\n", "header": False}, '(set separator: ";")'),
        ({"log": "user,item,rating\na,x,\nb,y,\n"}, "an empty rating, as in all rows (set rating: null)"),
        ({"log": "user,item,time\na,x,\nb,y,\n"}, "an empty time, as in all rows (set time: null)"),
        ({"log": "user,item,rating\na,x,\nb,y,1\n"}, "path.txt:2: an empty rating"),
        ({"log": "member,item\na,x\n"}, "no column 'user' for user (known: item, member; set user: NAME)"),
        (
            {"log": "a;x;3,5\nb;y;1,0\n"},
            '(set separator: ";", header: false, columns: [user, item, ...], decimal: ",")',
        ),
        ({"items": "Artikel,Titel\nx,Heat\n"}, "no column 'item_id' for item_id (known: Artikel, Titel; set item_id"),
        ({"users": "Kunde,age\na,30\n"}, "no column 'user_id' for user_id (known: Kunde, age; set user_id: NAME)"),
        ({"log": "user\na,x,1,2\n"}, "a row of 4 cells, and line 1, the header, names 1 column"),
        ({"log": "user,item,rating\na,x,'4,5'\n".replace("'", '"')}, "(set decimal: ',')"),
    ],
)
def test_the_hint_names_the_setting_that_helps(tmp_path, given, problem):
    with pytest.raises(DataError) as caught:
        csv(tmp_path, **given).load()
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"columns": ("a", "b")}, "columns needs header: false"),
        ({"title": "name"}, "title describes the file items, which is missing"),
        ({"profile": ("age",)}, "profile describes the file users, which is missing"),
        ({"encoding": "latin1x"}, "no encoding is called 'latin1x'"),
        ({"encoding": {"items": "nothing"}}, "no encoding is called 'nothing'"),
        ({"separator": {"items": ";"}}, "separator describes the file items, which is missing"),
    ],
)
def test_a_setting_without_effect_is_refused(tmp_path, settings, problem):
    with pytest.raises(ValidationError, match=re.escape(problem)):
        csv(tmp_path, **settings)


NAMES = "user, item, rating and time name its columns"


@pytest.mark.parametrize(
    ("names", "settings", "problem"),
    [
        ({"path": "r.parquet"}, {"separator": ";"}, "separator has no effect on Parquet (r.parquet)"),
        ({"path": "r.pq"}, {"encoding": "latin-1"}, "encoding has no effect on Parquet (r.pq)"),
        ({"path": "r.parquet"}, {"header": False, "columns": ["user", "item"]}, "header has no effect on Parquet"),
        ({"path": "r.jsonl.gz"}, {"header": False}, f"header has no effect on JSON lines (r.jsonl.gz)|{NAMES}"),
        ({"path": "r.json"}, {"separator": "\t"}, "separator has no effect on JSON lines (r.json)"),
        ({"path": "r.json"}, {"encoding": "latin-1"}, ""),
        ({"path": "r.parquet", "items": "i.csv"}, {"separator": ";", "encoding": "latin-1"}, ""),
        ({"path": "r.parquet", "items": "i.csv"}, {"encoding": {"items": "latin-1"}}, ""),
        ({"path": "r.csv", "items": "i.pq"}, {"encoding": {"items": "cp1252"}}, "no effect on Parquet (i.pq)"),
        ({"path": "r.pq", "items": "i.jsonl"}, {"separator": "|"}, "on JSON lines or Parquet (r.pq, i.jsonl)"),
    ],
)
def test_settings_of_text_are_refused_for_other_formats(names, settings, problem):
    if not problem:
        assert CsvFile.make(**names, **settings).config.path is not None
        return
    with pytest.raises(ValidationError) as caught:
        CsvFile.make(**names, **settings)
    (error,) = caught.value.errors()
    said, _, hint = problem.partition("|")
    assert said in error["msg"]
    assert hint in error["ctx"]["error"].hint


def test_an_id_with_a_comma_is_an_id_where_no_comma_separates_cells(tmp_path):
    pd.DataFrame({"user": ["a,b", "c"], "item": [1, 2]}).to_parquet(tmp_path / "r.parquet")
    (tmp_path / "r.jsonl").write_text('{"user": "a,b", "item": 1}\n{"user": "c", "item": 2}\n')
    for name in ("r.parquet", "r.jsonl"):
        assert CsvFile.make(path=tmp_path / name).load().users.tolist() == ["a,b", "c"]


def test_settings_of_text_are_refused_for_the_other_formats_of_parts():
    parts = {"train": Path("a.parquet"), "test": Path("b.parquet")}
    with pytest.raises(
        DataError, match=r"separator has no effect on Parquet \(a\.parquet, b\.parquet\) \(leave it out\)"
    ):
        CsvFile.make(separator=";").with_files(parts)
    assert CsvFile.make(separator=";").with_files({**parts, "test": Path("b.csv")}).files["test"].name == "b.csv"


def test_descriptions_that_are_not_read_are_said(tmp_path):
    note = "items.txt has no column title, year, genres or description (its columns: item, name; set title: NAME)"
    assert csv(tmp_path, items="item,name\nx,Heat\n").load().notes == (note,)
    items = "item,year\nx,c. 1990\ny,1994.0\n"
    assert csv(tmp_path, items=items).load().notes == ("1 year of items.txt left out, such as 'c. 1990': no numbers",)
    assert csv(tmp_path, items="item,title,year\nx,Heat,1995\ny,Fargo,\n").load().notes == ()


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("a.inter", b"user_id:token,item_id:token\na,b\n", r'a.inter:1: the header has no "\t" between columns'),
        ("a.inter", b"user_id:token\titem_id:token\na\t\xe9\n", "from Windows, save it as UTF-8)"),
        ("a.inter", "user_id:token\titem_id:token\na\tb\n".encode("utf-16"), "the mark of UTF-16 (save it as UTF-8)"),
        ("u.data", b"1,2,3,4\n", r'u.data:1: the first row has no "\t" between columns'),
        ("u.data", b"1\t2\t3\n", "the format has 4 columns, and the first row has 3 cells (it begins with 1, 2, 3)"),
        ("u.data", b"1\t2\t3\t4\n1\t2\t3\n", "u.data:2: a row of 3 cells, and the format has 4 columns"),
        ("ratings.csv", b'userId,movieId,rating,timestamp\n1,2",3,4\n', 'double it ("") within a quoted cell)'),
    ],
)
def test_a_format_gets_no_advice_on_settings_that_it_lacks(tmp_path, name, text, problem):
    (tmp_path / name).write_bytes(text)
    dataset = Recbole if name == "a.inter" else MovieLens
    with pytest.raises(DataError) as caught:
        dataset.make(path=tmp_path).load()
    assert str(caught.value).endswith(problem)


def test_sequences_have_an_encoding_and_a_separator_of_items(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"a x y\nb \xe9 z\n")
    with pytest.raises(DataError, match="set encoding: latin-1 or cp1252"):
        Sequences.make(path=tmp_path / "x.txt").load()
    (tmp_path / "x.txt").write_bytes(b"a x y\n")
    (tmp_path / "items.csv").write_text("item|title\nx|Heat\n")
    with pytest.raises(DataError, match=r'has no "," between columns \(set separator: \{items: "\|"\}\)$'):
        Sequences.make(path=tmp_path / "x.txt", items=tmp_path / "items.csv").load()


def test_a_frame_gets_no_advice_on_settings_that_it_lacks():
    frame = pd.DataFrame({"user": ["a"], "item": ["x"], "rating": ["3,5"]})
    with pytest.raises(DataError) as caught:
        Frame.holding({"mine": frame}).make(data="mine").load()
    assert str(caught.value) == "mine.iloc[0]: rating '3,5' is not a number"


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (r'{"user": "a", "item": "\ud83d"}', "x.jsonl:2: half of a character"),
        (r'{"user": "a", "item": "y", "\ud83d": null}', "x.jsonl:1: half of a character"),
        (
            '{"user": "a", "item": "y", "more": ' + "[" * 700 + "]" * 700 + "}",
            "x.jsonl:2: the value of 'more' is nested",
        ),
        ('{"user": "a", "user": "b", "item": "y"}', "x.jsonl:2: not JSON: a key occurs twice"),
        ("{'user': 'a', 'item': 'y'}", "x.jsonl:2: not JSON"),
    ],
)
def test_a_mistake_in_json_lines_names_its_line(tmp_path, line, problem):
    (tmp_path / "x.jsonl").write_text('{"user": "a", "item": "x"}\n' + line)
    with pytest.raises(DataError) as caught:
        CsvFile.make(path=tmp_path / "x.jsonl").load()
    assert problem in str(caught.value)


def test_a_time_may_end_in_utc(tmp_path):
    log = "user,item,time\na,x,2020-01-01 00:00:00 UTC\nb,y,2020-01-01T00:00:01.5UTC\nc,z,2020-01-01 00:00:02Z\n"
    ratings = csv(tmp_path, log).load()
    assert (ratings.times - ratings.times[0]).tolist() == [0, 1.5e9, 2e9]


@pytest.mark.parametrize(
    ("log", "settings", "names"),
    [
        ("user,item\na,x\nb,y\n", {"columns": ("user", "item")}, "user, item"),
        ("User_ID, Product\na,x\nb,y\n", {"columns": ("user", "item")}, "User_ID, Product"),
        ("who,what\na,x\nb,y\n", {"columns": ("who", "what"), "user": "who", "item": "what"}, "who, what"),
        ("user,item,rating,time\na,x,3,10\n", {}, "user, item, rating, time"),
        ("Kunde,Artikel,Note,Zeit\na,x,3,2020-01-01\n", {}, "Kunde, Artikel, Note, Zeit"),
        ("Kunde,Artikel,Note\na,x,3\n", {"columns": ("user", "item", "rating")}, "Kunde, Artikel, Note"),
        ("Kunde,Artikel\n1,2\n3,4\n", {"columns": ("user", "item")}, "Kunde, Artikel"),
    ],
)
def test_a_header_that_is_not_announced_is_no_row(tmp_path, log, settings, names):
    with pytest.raises(DataError) as caught:
        csv(tmp_path, log, header=False, **settings).load()
    extra = ", and leave columns out" if settings else ""
    assert f"path.txt:1: the first row looks like a header: {names} (set header: true{extra})" in str(caught.value)


@pytest.mark.parametrize("first", ["ann,x,nan,2020-01-01", "ann,x,good,7", "ann,x,,", "user,x,1,1", "a,item,2,2"])
def test_a_first_row_of_data_is_no_header(tmp_path, first):
    source = csv(tmp_path, f"{first}\nbob,y,1,3\n", header=False, rating=None, time=None)
    assert source.load().users.tolist() == [first.split(",")[0], "bob"]


def test_a_header_of_any_part_is_found(tmp_path):
    files = {"train": tmp_path / "a.csv", "test": tmp_path / "b.csv"}
    files["train"].write_text("a,x\na,y\n")
    files["test"].write_text("user,item\na,z\n")
    source = CsvFile.make(header=False, columns=("user", "item")).with_files(files)
    with pytest.raises(DataError, match=r"b.csv:1: the first row looks like a header: user, item"):
        source.load()


def test_the_file_of_items_of_sequences_may_have_another_form(tmp_path):
    (tmp_path / "s.txt").write_text("a x y\nb x\n")
    (tmp_path / "i.txt").write_bytes("item_id;title\nx;Öl\n".encode("latin-1"))
    given = {"path": tmp_path / "s.txt", "items": tmp_path / "i.txt"}
    for settings in ({"encoding": "latin-1"}, {"encoding": {"items": "latin-1"}}):
        assert Sequences.make(**given, separator={"items": ";"}, **settings).load().catalogue["x"].title == "Öl"
    for settings, problem in (
        ({"separator": {"items": ";"}}, "set encoding: {path: utf-8, items: latin-1} or cp1252"),
        ({"encoding": {"items": "latin-1"}}, '(set separator: {items: ";"})'),
    ):
        with pytest.raises(DataError, match=re.escape(problem)):
            Sequences.make(**given, **settings).load()
    with pytest.raises(ValidationError, match="separator describes the file items, which is missing"):
        Sequences.make(path=tmp_path / "s.txt", separator={"items": ";"})
    (tmp_path / "i.txt").write_text("item,title\nx,Heat\n")
    assert Sequences.make(**given, separator={}).load().catalogue["x"].title == "Heat"
    for wrong in (";", {"path": ";"}):
        with pytest.raises(ValidationError, match="spaces separate the items of a sequence"):
            Sequences.make(**given, separator=wrong)
    with pytest.raises(ValidationError, match="no encoding is called 'latin1x'"):
        Sequences.make(path=tmp_path / "s.txt", encoding="latin1x")
