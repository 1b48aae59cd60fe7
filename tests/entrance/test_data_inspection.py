"""Tests what ``robench data inspect`` reports on a file, a folder or a suite."""

import gzip

import pandas as pd
import pytest
import yaml

from robench.api.errors import UserError
from robench.entrance.data_inspection import describe_inspected, inspect_data, refuse_unusable
from robench.host.discovery import Host
from robench.host.registry import Registry

UNNAMED = {"header": False, "columns": ["user", "item", "rating", "time"]}
ROWS = [(user, item, 1 + (user + item) % 5, 1_500_000_000 + 60 * user + item) for user in range(8) for item in range(6)]


def text(pattern, head=""):
    return head + "".join(pattern.format(*row) + "\n" for row in ROWS)


@pytest.fixture(scope="module")
def registry():
    return Registry.of(Host.discover())


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("ROBENCH_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("name", "content", "settings"),
    [
        ("x.csv", text("{},{},{},{}", "user,item,rating,time\n"), {"name": "csv"}),
        ("x.csv", text("u{},i{},{},{}"), "unnamed"),
        ("x.csv", text("{};{};{},5;{}", "userId;movieId;rating;timestamp\n"), "semicolon"),
        ("x.csv", text("u{};i{};{},5;{}"), "decimals"),
        ("x.csv", text("u{},i{},2020-01-01T10:0{}:00+01:00"), "times"),
        ("x.csv", text("u{0},i{1},{3}"), "times"),
        ("x.csv", text("u{0},i{1},2020-01-0{2},{2}"), "times before ratings"),
        ("x.csv", text("u{0},i{1},{3},{2}"), "times before ratings"),
        ("x.csv", text("u{0},i{1},{2}"), {"name": "csv", "header": False, "columns": ["user", "item", "rating"]}),
        ("x.tsv", text("{}\t{}\t{}\t{}", "user_id\titem_id\tscore\tdate\n"), "tab"),
        ("x.csv", text("2020-01-0{2},u{0},i{1},{2}"), "times first"),
        ("x.csv", text("u{0},2020-01-0{2},i{1},{2}"), "times second"),
        ("x.csv", text("u{0},i{1},{2},yes,{3}"), "times last"),
        ("ratings.dat", text("{}::{}::{}::{}"), "unnamed"),
        ("u.data", text("{}\t{}\t{}\t{}"), "unnamed with tabs"),
        ("x.txt", text("{} {}"), {"name": "sequences"}),
        ("x.txt", "a 1 2 3\nb 1 2 3 4\n", {"name": "sequences"}),
        ("x.tsv", "a\t1\t2\t3\nb\t1\t2\t3\t4\n", {"name": "sequences"}),
        ("x.jsonl", text('{{"user": "{}", "item": "{}", "rating": {}, "time": {}}}'), {"name": "csv"}),
        ("x.csv", text("A0000000000{},B00000000{},{},{}"), {"name": "amazon"}),
        (
            "x.json",
            text('{{"reviewerID": "{}", "asin": "{}", "overall": {}, "unixReviewTime": {}}}'),
            {"name": "amazon"},
        ),
        ("x.inter", text("{}\t{}\t{}\t{}", "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"), "recbole"),
    ],
)
def test_a_file_is_read_as_what_it_is(tmp_path, registry, name, content, settings):
    (tmp_path / name).write_text(content)
    (one,) = inspect_data(tmp_path / name, registry)
    expected = {
        "semicolon": {"name": "csv", "separator": ";", "decimal": ",", "user": "userId", "item": "movieId"},
        "times": {"name": "csv", "header": False, "columns": ["user", "item", "time"]},
        "times before ratings": {"name": "csv", "header": False, "columns": ["user", "item", "time", "rating"]},
        "decimals": {"name": "csv", "separator": ";", "decimal": ",", **UNNAMED},
        "unnamed": {"name": "csv", **UNNAMED},
        "unnamed with tabs": {"name": "csv", "separator": "\t", **UNNAMED},
        "times first": {"name": "csv", "header": False, "columns": ["time", "user", "item", "rating"]},
        "times second": {"name": "csv", "header": False, "columns": ["user", "time", "item", "rating"]},
        "times last": {"name": "csv", "header": False, "columns": ["user", "item", "rating", "column 4", "time"]},
        "tab": {"name": "csv", "user": "user_id", "item": "item_id", "rating": "score", "time": "date"},
        "recbole": {"name": "recbole"},
    }
    found = {key: value for key, value in one.settings.items() if key != "path"}
    assert found == (expected[settings] if isinstance(settings, str) else settings)
    assert one.summary.rows == (7 if content.startswith(("a 1", "a\t1")) else len(ROWS))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (text("u{};i{};1.00{},5"), "x.csv:1: rating '1.001,5' is not a number (remove the separators of thousands; "),
        (text("u{0};i{1};Smith, {2}"), "x.csv:1: rating 'Smith, 1' is not a number"),
        (
            text("{0},Heat,199{1},Crime|Drama", "item_id,title,year,genres\n"),
            "a file of items, which a suite names beside the interactions: "
            "{name: csv, path: INTERACTIONS, items: x.csv})",
        ),
        (text("{0};Heat;199{1}", "sku;name;brand\n"), "it looks like a file of items"),
        (text("{0};Heat;199{1}", "sku;name;jahr\n"), "it looks like a file of items"),
        (text("{0},Heat", "id,title\n"), "it looks like a file of items"),
        (text("{0},Heat", "id,name\n"), "it looks like a file of items"),
        (text("{0},ann,3{1}", "id,name,age\n"), "it looks like a file of users"),
        (text("{0},3{1},nurse", "user_id,age,occupation\n"), "it looks like a file of users"),
        (text("25.08.2023;u{};i{};{},5"), "x.csv:1: time '25.08.2023' is neither a number nor a date"),
        (
            text("i{};u{};5/1{}/2023"),
            "the year comes first; without a header, the columns are taken as user, item, time",
        ),
        (text("u{};x;i{};{}"), "rating 'i0' is not a number (without a header, the columns are taken as user, item, "),
        (text("{0},3{1},4", "kunde,artikel,wert\n"), "(name them in a suite, as user: NAME and item: NAME of csv)"),
    ],
)
def test_a_file_that_is_not_read_is_explained(tmp_path, registry, content, problem):
    (tmp_path / "x.csv").write_text(content)
    with pytest.raises(UserError) as caught:
        inspect_data(tmp_path / "x.csv", registry)
    assert problem in str(caught.value)
    assert "set decimal" not in str(caught.value)


MANY = [
    (user, item, 1 + (user + item) % 5, 1_500_000_000 + 60 * user + item) for user in range(50) for item in range(6)
]
PLAIN = "user,item,rating,time\n"


@pytest.mark.parametrize(
    ("head", "pattern", "note"),
    [
        ("user,item,rating\n", "2020-01-0{2},i{1},3", "the ids of users look like dates, such as '2020-01-01'"),
        ("user,item,rating\n", "0{2}.01.2020 10:00,u{0},3", "the ids of users look like dates"),
        ("user,item,rating\n", "u{0},0{2}/01/2020,3", "the ids of items look like dates"),
        ("user,item\n", "u{0},{3}", "the ids of items look like times, such as '1500000000'"),
        ("user,item\n", "u{0},{3}000", "the ids of items look like times"),
        ("user,item\n", "u{0},{2}.5", "the ids of items look like ratings, such as '1.5'"),
        ("user,item\n", 'u{0},"{2},5"', "separates"),
        (
            "user,item,rating\n",
            "u{0};i{1},x,3",
            "all ids of users hold ';', such as 'u0;i0': does it separate columns?",
        ),
        ("user,item,rating\n", "u{0},i{1},{3}", "the ratings look like times, such as 1500000000"),
        (PLAIN, "u{0},i{1},3,{2}", "the times look like ratings, with few values up to 10"),
        ("user,item\n", "u{0}-{1},i{1}", "each user has one row: is this a file of items or of users?"),
        ("user,item\n", "u{0}-{1},i{1}", "no user has both a training and a test item: a user needs at least 3"),
    ],
)
def test_a_column_that_seems_wrong_is_told(tmp_path, registry, head, pattern, note):
    (tmp_path / "x.csv").write_text(head + "".join(pattern.format(*row) + "\n" for row in MANY))
    if note == "separates":
        with pytest.raises(UserError, match="holds a line break or a separator"):
            inspect_data(tmp_path / "x.csv", registry)
        return
    (one,) = inspect_data(tmp_path / "x.csv", registry)
    assert any(f"note: {note}" in line for line in describe_inspected(one)), list(describe_inspected(one))


@pytest.mark.parametrize(
    ("head", "pattern"),
    [
        (PLAIN, "{0},{1},{2},{3}"),
        (PLAIN, "u{0},i{1},{2}.5,{3}"),
        (PLAIN, "10000000{0:02},150000000{1},{2},{3}"),
        (PLAIN, "u{0},i{1}:x,{2},2020-01-0{2}T10:00:{1:02}"),
        (PLAIN, "{0}.0,{1}.0,{2},{1}"),
        ("user,item,time\n", "{0},{1},{1}"),
    ],
)
def test_a_usual_file_has_no_note_on_columns(tmp_path, registry, head, pattern):
    (tmp_path / "x.csv").write_text(head + "".join(pattern.format(*row) + "\n" for row in MANY))
    (one,) = inspect_data(tmp_path / "x.csv", registry)
    assert one.summary.notes == ()


def test_ids_like_ratings_are_told_if_there_are_few(tmp_path, registry):
    rows = [(user, item) for user in range(1, 6) for item in range(200)]
    (tmp_path / "x.csv").write_text("user,item\n" + "".join(f"{user},i{item}\n" for user, item in rows))
    (one,) = inspect_data(tmp_path / "x.csv", registry)
    assert any(note.startswith("the ids of users look like ratings, such as '1'") for note in one.summary.notes)


def test_positions_are_shown_as_they_are_written(tmp_path, registry):
    for name, times in (("x.csv", ["0.5", "1.25", "8.5"]), ("x.parquet", [0.5, 1.25, 8.5])):
        frame = pd.DataFrame({"user": ["a"] * 3, "item": ["x", "y", "z"], "time": times})
        frame.to_csv(tmp_path / name, index=False) if name == "x.csv" else frame.to_parquet(tmp_path / name)
        (one,) = inspect_data(tmp_path / name, registry)
        assert (one.summary.first, one.summary.last) == ("0.5", "8.5")
        assert one.summary.notes == ()


def test_described_items_and_users_without_interactions_are_counted(tmp_path, registry):
    (tmp_path / "x.csv").write_text(text("u{},i{},{},{}", PLAIN))
    (tmp_path / "items.csv").write_text("item,title\n" + "".join(f"i{item},t\n" for item in range(9)))
    (tmp_path / "users.csv").write_text("user,age\n" + "".join(f"u{user},20\n" for user in range(9)))
    entry = "{name: csv, path: x.csv, items: items.csv, users: users.csv}"
    (tmp_path / "x.yaml").write_text(f"name: x\nmodels: [popularity]\ndatasets: [{entry}]\n")
    (one,) = inspect_data(tmp_path / "x.yaml", registry)
    assert one.summary.notes == (
        "3 of 9 described items have no interaction, and are left out",
        "1 of 9 described users have no interaction, and are left out",
    )


def test_a_comma_with_a_date_is_no_decimal(tmp_path, registry):
    (tmp_path / "x.csv").write_text(text("u{},i{},{},2020-01-01 00:00:00"))
    (one,) = inspect_data(tmp_path / "x.csv", registry)
    assert (one.settings["header"], one.summary.users, "separator" in one.settings) == (False, 8, False)


def test_the_columns_of_a_parquet_file_are_named(tmp_path, registry):
    frame = pd.DataFrame({"kunde": ["a"], "artikel": ["b"]}, index=[3])
    frame.to_parquet(tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"x.parquet:1: no columns of users and items among kunde, artikel \(name them"):
        inspect_data(tmp_path / "x.parquet", registry)


def test_a_similar_file_is_suggested(tmp_path, registry):
    (tmp_path / "log.csv").write_text("user,item\na,x\n")
    with pytest.raises(UserError, match=r"log.cvs: no such file \(did you mean '.*/log.csv'\?\)"):
        inspect_data(tmp_path / "log.cvs", registry)


def test_compressed_files_and_encodings_are_recognised(tmp_path, registry):
    (tmp_path / "x.csv.gz").write_bytes(
        gzip.compress(text("é{},{},{},{}", "user,item,rating,time\n").encode("latin-1"))
    )
    (one,) = inspect_data(tmp_path / "x.csv.gz", registry)
    assert one.settings["encoding"] == "latin-1"
    assert one.summary.users == 8


def test_a_folder_of_movielens_is_recognised(tmp_path, registry):
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "u.data").write_text(text("{}\t{}\t{}\t{}"))
    (one,) = inspect_data(tmp_path / "ml", registry)
    assert one.settings["name"] == "movielens"


def test_the_lines_show_everything(tmp_path, registry):
    rows = text("{},{},{},{}", "user,item,rating,time\n") + "0,0,5,1500000900\n"
    (tmp_path / "my log.csv").write_text(rows)
    (one,) = inspect_data(tmp_path / "my log.csv", registry)
    lines = list(describe_inspected(one))
    assert lines[0] == "my log.csv:"
    assert yaml.safe_load(lines[1].removeprefix("  read as: ")) == {"name": "csv", "path": str(tmp_path / "my log.csv")}
    assert lines[2:] == [
        "  rows: 49",
        "  dropped: 0 below min_rating, 1 repeat of a user-item pair",
        "  dropped by filters on users and items: 0",
        "  left: 48 interactions of 8 users and 6 items",
        "  split: 32 train, 8 validation, 8 test, 8 evaluated users",
        "  times: 2017-07-14 to 2017-07-14, 0.0% at the time of another of the same user",
        "  interactions per user: min 6, 25% 6, 50% 6, 75% 6, max 6",
        "  interactions per item: min 8, 25% 8, 50% 8, 75% 8, max 8",
        "  items: no texts",
        "  users with a profile: 0",
    ]


def test_every_data_set_of_a_suite_is_shown(tmp_path, registry):
    (tmp_path / "log.txt").write_text(text("{} {}"))
    suite = "name: x\nmodels: [popularity]\ndatasets:\n  - {name: sequences, path: log.txt, min_item_interactions: 2}\n"
    (tmp_path / "x.yaml").write_text(suite + "  - {name: synthetic, users: 30, items: 20}\n")
    first, second = inspect_data(tmp_path / "x.yaml", registry)
    assert (first.label, second.label) == ("sequences", "synthetic")
    assert first.to_json()["summary"]["rows"] == 48
    assert second.summary.described["title"] == second.summary.items
    (tmp_path / "log.txt").unlink()
    with pytest.raises(UserError, match=r"x.yaml:4: datasets\[0\].*no such file"):
        inspect_data(tmp_path / "x.yaml", registry)


def test_a_mistake_in_a_folder_says_as_what_it_is_read(tmp_path, registry):
    (tmp_path / "u.data").write_text("1\t2\tbad\t4\n")
    with pytest.raises(UserError, match=r"u.data:1: rating 'bad' .*the folder is read as movielens"):
        inspect_data(tmp_path, registry)


def test_a_suite_without_evaluated_users_is_shown_and_refused(tmp_path, registry):
    (tmp_path / "log.csv").write_text("user,item\na,x\na,y\nb,x\n")
    (tmp_path / "x.yaml").write_text("models: [popularity]\ndatasets: [{name: csv, path: log.csv}]\n")
    inspected = inspect_data(tmp_path / "x.yaml", registry)
    assert "  split: 3 train, 0 validation, 0 test, 0 evaluated users" in describe_inspected(inspected[0])
    with pytest.raises(UserError, match=r"no user has both .* needs at least 3 interactions"):
        refuse_unusable(inspected)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("x.csv", None, "no such file"),
        ("x.parquet", b"user,item\n", "x.parquet: not a Parquet file"),
        ("x.bin", b"\0\1\2", "no data set recognises its format"),
        ("x.csv", b"", "x.csv: the file is empty"),
        ("x.jsonl", b"\n", "x.jsonl: the file is empty"),
        ("x.jsonl", b'[{"user": 1}]', "its first line is not a JSON object"),
        ("x.tsv", b"user\titem\n1\t2\n1\t2\t3\n", r"no separator gives .* \(row 3 begins with"),
        ("items.csv", b"item,title,year\n1,Heat,1995\n", "no columns of users and items among item, title, year"),
        ("nothing.dat", b"x\n", r"no data set recognises its format \(tried: .*movielens"),
        ("x.csv.gz", gzip.compress(b"user,item\n" * 99, mtime=0)[:-20], "a damaged .gz file"),
    ],
)
def test_what_cannot_be_read_is_one_line(tmp_path, registry, name, content, problem):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=problem) as error:
        inspect_data(tmp_path / name, registry)
    assert "\n" not in str(error.value)
