"""Tests that unusual files are read correctly, or refused in one line."""

from pathlib import Path

import pytest

from robench.api.errors import DataError
from robench_plugins.datasets.amazon import Amazon
from robench_plugins.datasets.csv_file import CsvFile
from robench_plugins.datasets.recbole import Recbole
from robench_plugins.datasets.sequences import Sequences

LOG = "user,item\na,x\nb,y\n"
MARK = "\ufeff"


def write(folder: Path, content: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def load(folder: Path, content: str | bytes, **settings: object):
    return CsvFile.make(path=write(folder, content), **settings).load()


def problem_of(folder: Path, content: str | bytes, **settings: object) -> str:
    with pytest.raises(DataError) as caught:
        load(folder, content, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message.removeprefix(f"{folder}/")


@pytest.mark.parametrize(
    ("content", "settings", "problem"),
    [
        ("user", {}, "log.csv: the file has a header and no rows"),
        ("abc", {"header": False, "columns": ("user",)}, "log.csv:1: no column 'item' for item"),
        ("a\n", {"header": False}, "columns names 4 columns, and the first row has 1 cell (it"),
        (LOG + LOG, {}, "log.csv:4: the row repeats the header (if files were joined"),
        (LOG + '"user","item"\n', {}, "log.csv:4: the row repeats the header"),
        ("user,item\n1,2\nuser,item\n3,4\n", {}, "log.csv:3: the row repeats the header"),
        ("u,user,item\n,a,b\nu,user,item\n", {}, "log.csv:3: the row repeats the header"),
        (MARK * 2 + LOG, {}, "log.csv:1: a byte order mark (U+FEFF) within the text (remove it"),
        (
            "a,x\nb,y\r\n" + MARK + "a,x\n",
            {"header": False, "columns": ("user", "item")},
            "log.csv:3: a byte order mark",
        ),
        ("sep=;\nuser;item\na;x\n", {}, "log.csv:1: the line sep=; is for Excel, and not a row (remove the line)"),
        ("sep=;\na;x\n", {"header": False, "separator": ";", "columns": ("user", "item")}, "sep=; is for Excel"),
        (
            "<!DOCTYPE html>\n<html>not found</html>\n",
            {},
            "log.csv: its content is a web page (download the file itself)",
        ),
        ("\n <HTML>\n<body>\n", {}, "log.csv: its content is a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", {}, "its content is a pointer of Git LFS"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(tmp_path, content, settings, problem):
    assert problem in problem_of(tmp_path, content, **settings)


def test_names_of_columns_may_occur_in_rows(tmp_path):
    data = load(tmp_path, "user,item\nuser,x\na,item\nitem,user\n")
    assert data.users.tolist() == ["user", "a", "item"]
    with_one_column = write(tmp_path, "item\nitem\nx\n", "items.csv")
    assert set(load(tmp_path, LOG, items=with_one_column).catalogue) == {"item", "x"}


def test_a_mark_within_a_line_is_kept(tmp_path):
    assert load(tmp_path, f"user,item\na{MARK}b,x\n").users.tolist() == [f"a{MARK}b"]


@pytest.mark.parametrize("ids", [("1", "2"), ("a", "x")])
def test_a_point_is_no_decimal_comma(tmp_path, ids):
    row = ",".join(ids)
    rating = problem_of(tmp_path, f"user,item,rating\n{row},1.000\n", decimal=",")
    assert "log.csv:2: rating '1.000' is not a number" in rating
    time = problem_of(tmp_path, f'user,item,time\n{row},900\n{row},"1,5"\n{row},1.500\n', decimal=",")
    assert "log.csv:4: time '1.500' must be a number" in time
    data = load(tmp_path, f'user,item,rating,time\n{row},"1,5","7,25"\n{row},4,7\n', decimal=",")
    assert (data.ratings.tolist(), data.times.argsort().tolist()) == ([1.5, 4.0], [1, 0])


@pytest.mark.parametrize(
    ("times", "note"),
    [
        (("1500000000", "1500000001000", "1500000002000"), "1 of 3 times, such as 1500000000, do not seem to be milli"),
        (
            ("1500000000", "1500000001", "1500000002000"),
            "1 of 3 times, such as 1500000002000, do not seem to be seconds",
        ),
        (("1500000000000000", "1500000000000000", "1500000000"), "such as 1500000000, do not seem to be microseconds"),
    ],
)
def test_mixed_units_of_times_are_said(tmp_path, times, note):
    data = load(tmp_path, "user,item,time\n" + "".join(f"a,{place},{time}\n" for place, time in enumerate(times)))
    assert note in data.notes[-1]


@pytest.mark.parametrize(
    "times", [("0", "1500000000000", "1500000000001"), ("1500000000", "1"), ("1", "99999999999999")]
)
def test_times_of_one_unit_need_no_note(tmp_path, times):
    data = load(tmp_path, "user,item,time\n" + "".join(f"a,{place},{time}\n" for place, time in enumerate(times)))
    assert not any("do not seem" in note for note in data.notes)


def test_a_zone_may_have_hours_only(tmp_path):
    data = load(tmp_path, "user,item,time\na,x,2019-12-31 23:59:59.5+00\na,y,2019-12-31 23:59:59-05\n")
    assert data.times.tolist() == [1577836799_500000000, 1577854799_000000000]


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="the system has no such device")
def test_pipes_and_devices_are_not_opened():
    data = CsvFile.make(path=Path("/dev/null"))
    for read in (data.load, data.fingerprint):
        with pytest.raises(DataError, match=r"a pipe or a device, not a file \(save its content in a file\)"):
            read()


def test_a_link_that_leads_nowhere_is_no_hint_for_itself(tmp_path):
    (tmp_path / "log.csv").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"log.csv: a link that leads to no file$"):
        CsvFile.make(path=tmp_path / "log.csv").load()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"user": 1, "item": 2}\n{"user": 1, "item": 2},\n', "log.jsonl:2: not JSON: Extra data (character 23)"),
        ('{\n"user": 1,\n"item": 2\n}\n', "(one object per line)"),
    ],
)
def test_the_place_in_a_line_of_json_is_a_character(tmp_path, text, problem):
    with pytest.raises(DataError) as caught:
        CsvFile.make(path=write(tmp_path, text, "log.jsonl")).load()
    assert problem in str(caught.value)
    assert "line 1 column" not in str(caught.value)


def test_headers_and_empty_files_of_other_formats(tmp_path):
    (tmp_path / "x").mkdir()
    write(tmp_path / "x", "user_id:token\titem_id:token\n1\t2\nuser_id:token\titem_id:token\n", "x.inter")
    for data, problem in (
        (
            Sequences.make(path=write(tmp_path, "user item\na x\na y\n", "log.txt")),
            "log.txt:1: the first line looks like",
        ),
        (Sequences.make(path=write(tmp_path, "<html>\n<p> a\n", "page.txt")), "its content is a web page"),
        (Recbole.make(path=tmp_path / "x"), "x.inter:3: the row repeats the header"),
        (Amazon.make(path=write(tmp_path, "\n", "empty.csv")), "empty.csv: the file is empty"),
    ):
        with pytest.raises(DataError) as caught:
            data.load()
        assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("content", "settings"),
    [
        ("user,item\na\u2028b,x\nc\x0bd,y\n", {}),
        ("user,item,title\na,x,Wait…\nb,y,é\n".encode("cp1252"), {"encoding": "cp1252"}),
        ("user,item,title\na,x,é\n".encode("latin-1"), {"encoding": "latin-1"}),
        (b"user,item,title\na,x,\x81\xe9\n", {"encoding": "latin-1"}),
        (LOG.encode("utf-16-le"), {"encoding": "utf-16-le"}),
        (LOG.encode("utf-16-be"), {"encoding": "utf-16-be"}),
    ],
)
def test_the_settings_that_are_recognised_read_the_file(tmp_path, content, settings):
    path = write(tmp_path, content)
    found = CsvFile.recognise(path)
    assert found == {"path": path, **settings}
    assert (
        len(CsvFile.make(**found).load().users.codes)
        == content.count(b"\n" if isinstance(content, bytes) else "\n") - 1
    )
