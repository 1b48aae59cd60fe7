import hashlib

import numpy as np
import pytest

from robench.api import DataError, Item
from robench.api.attacks.text import item_text
from robench.api.summary import DataSummary, describe_size, describe_summary
from robench.engine.data.prepare import prepare
from robench.spec import Part
from robench.testing import DatasetTests
from robench_plugins.datasets import movielens_small
from robench_plugins.datasets.csv_file import CsvFile
from robench_plugins.datasets.movielens_small import MovielensSmall
from robench_plugins.datasets.recbole import Recbole
from robench_plugins.datasets.synthetic import Synthetic


class TestSynthetic(DatasetTests):
    dataset = Synthetic
    settings = {"users": 50, "items": 30}


class TestMovielens(DatasetTests):
    dataset = MovielensSmall


def test_movielens_is_what_it_says():
    ratings = MovielensSmall().load()
    assert len(ratings.users) == 100_004
    assert len(np.unique(ratings.users)) == 671
    assert len(np.unique(ratings.items)) == 9_066
    assert ratings.catalogue["1"] == Item(
        "Toy Story", 1995, ("Adventure", "Animation", "Children", "Comedy", "Fantasy")
    )
    config = MovielensSmall.Config(min_user_interactions=5, min_item_interactions=20)
    data = prepare(ratings, config, Part("leave-last-out", {"seed": 0}, "s"))
    assert (data.train.n_users, data.train.n_items) == (671, 1_303)
    assert len(data.train) + len(data.validation) + len(data.test) == 69_104


def test_a_changed_pickle_is_never_opened(monkeypatch):
    monkeypatch.setattr(movielens_small, "SHA256", "0" * 64)
    monkeypatch.setattr(movielens_small.pd, "read_pickle", lambda *_, **__: pytest.fail("the pickle was opened"))
    with pytest.raises(DataError, match="not opened"):
        MovielensSmall().load()


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(movielens_small.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"pip install 'robench\[data\]'"):
        MovielensSmall().load()


def test_counters_of_synthetic_events_are_not_shown_as_dates():
    source = Synthetic.make(users=20, items=30)
    summary = prepare(source.load(), source.config, Part("leave-last-out", {"seed": 0}, "s")).summary
    assert f"times {summary.first} to {summary.last}" in describe_summary(summary)
    assert 0 <= int(summary.first) < int(summary.last) < summary.rows


def test_a_size_of_one_has_singular_nouns():
    one, many = (DataSummary(rows=n, interactions=n, users=n, items=n) for n in (1, 2000))
    assert describe_size(one) == "1 interaction of 1 user and 1 item"
    assert describe_size(many) == "2,000 interactions of 2,000 users and 2,000 items"


def test_synthetic_data_is_skewed_and_has_tastes():
    ratings = Synthetic.make(users=2000, items=300, loyalty=0.9).load()
    counts = np.sort(np.bincount(ratings.items, minlength=300))[::-1]
    assert counts[:30].sum() > 0.25 * counts.sum()
    genre = np.array([int(ratings.catalogue[str(i)].genres[0].split()[1]) for i in range(300)])
    own = genre[ratings.items]
    same = [np.bincount(own[ratings.users == u], minlength=8).max() / (ratings.users == u).sum() for u in range(100)]
    assert np.mean(same) > 0.7


def csv(tmp_path, text, name="r.csv", **settings):
    """Writes a CSV file with the given text, and returns the data set of the file."""
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CsvFile.make(path=path, **settings)


def test_an_item_that_is_described_twice_is_refused(tmp_path):
    (tmp_path / "items.csv").write_text("item,title\nx,One\ny,Two\nx,Three\n")
    with pytest.raises(DataError, match="item 'x' is described twice"):
        csv(tmp_path, "user,item\n1,x\n", items=tmp_path / "items.csv").load()


def test_csv_with_everything(tmp_path):
    (tmp_path / "items.csv").write_text(
        'item,title,year,genres,description\nx,The X,1999,a|b,"A spy, late"\ny,"Y, Z",,,\n'
    )
    data = csv(tmp_path, "user,item,rating,timestamp\n007,x,4.5,10\n7,y,3,11.0\n", items=tmp_path / "items.csv")
    ratings = data.load()
    assert ratings.users.tolist() == ["007", "7"]
    assert ratings.ratings.tolist() == [4.5, 3.0]
    assert ratings.times.tolist() == [10, 11]
    assert ratings.catalogue == {"x": Item("The X", 1999, ("a", "b"), "A spy, late"), "y": Item("Y, Z", None, ())}
    assert item_text(ratings.catalogue["x"]) == "The X (1999). a, b. A spy, late"
    assert item_text(ratings.catalogue["y"]) == "Y, Z"
    other = csv(tmp_path, "user,item\n1,x\n", items=tmp_path / "items.csv", description="genres").load()
    assert other.catalogue["x"].description == "a|b"
    assert data.fingerprint() != csv(tmp_path, "user,item\n1,2\n", items=tmp_path / "items.csv").fingerprint()


def test_csv_with_other_names_and_tabs(tmp_path):
    ratings = csv(tmp_path, "who\twhat\twhen\na\tb\t3\n", "r.tsv", user="who", item="what", time="when").load()
    assert (ratings.users.tolist(), ratings.items.tolist(), ratings.times[0]) == (["a"], ["b"], 3)
    assert ratings.ratings is None


def test_csv_columns_can_be_switched_off(tmp_path):
    text = "user,item,rating,time\n1,2,bad,bad\n"
    ratings = csv(tmp_path, text, rating=None, time=None).load()
    assert (ratings.ratings, ratings.times) == (None, None)
    with pytest.raises(DataError, match="neither a number nor a date"):
        csv(tmp_path, text, rating=None).load()
    assert CsvFile.make(path="r.csv").config.resolved() != CsvFile.make(path="r.csv", time=None).config.resolved()


@pytest.mark.parametrize(
    ("text", "settings", "place", "problem"),
    [
        ("", {}, "r.csv", "empty"),
        ("user,item\n", {}, "r.csv", "a header and no rows"),
        ("user,itm\n1,2\n", {}, "r.csv:1", "no column 'item'"),
        ("user,itm\n1,2\n", {}, "r.csv:1", "did you mean 'itm'"),
        ("user,item\n1,2\n,3\n", {}, "r.csv:3", "an empty user"),
        ("user,item,rating\n1,2,3\n1,3,good\n", {}, "r.csv:3", "rating 'good' is not a number"),
        ("user,item,rating\n1,2,nan\n", {}, "r.csv:2", "is not a number"),
        ("user,item,rating\n1,2,inf\n", {}, "r.csv:2", "is not a number"),
        ("user,item,time\n1,2,-3\n", {}, "r.csv:2", "time -3 is negative"),
        ("user,item,user\n1,2,3\n", {}, "r.csv:1", "two columns are named 'user'"),
        ("user,item\n1,2,3,4\n5,6,7,8\n", {}, "r.csv:2", "a row of 4 cells, and line 1, the header, names 2 columns"),
        ("user,item\n1,2\n3,4,5\n", {}, "r.csv:3", "a row of 3 cells, and line 1, the header, names 2 columns"),
        (b"user,item\n\xff\xfe,2\n", {}, "r.csv", "not UTF-8"),
        ("user,item\n1,2\n", {"rating": "stars"}, "r.csv:1", "no column 'stars' for rating"),
        ("user;item\n1;2\n", {}, "r.csv:1", 'set separator: ";"'),
        ("user\titem\n1\t2\n", {}, "r.csv:1", r'set separator: "\t"'),
        ("user,item\n1,2\n", {"separator": ";"}, "r.csv:1", 'set separator: ","'),
        (
            "user,item,time\n1,2,31.01.2020\n",
            {},
            "r.csv:2",
            "time '31.01.2020' is neither a number nor a date (seconds since 1970, or dates",
        ),
        ("user,item,time\n1,2,31.01.2020 09:30\n", {}, "r.csv:2", "+01:00; the year comes first)"),
        ("user,item,time\n1,2,1/31/20\n", {}, "r.csv:2", "+01:00; the year comes first)"),
        ("user,item,time\n1,2,soon\n", {}, "r.csv:2", "+01:00)"),
    ],
)
def test_wrong_csv_files_are_one_line_with_the_place(tmp_path, text, settings, place, problem):
    with pytest.raises(DataError) as caught:
        csv(tmp_path, text, **settings).load()
    message = str(caught.value)
    assert f"{place}:" in message
    assert problem in message
    assert "\n" not in message


def test_a_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / "ratings.csv").write_text("user,item\n")
    with pytest.raises(DataError, match=r"no such file \(did you mean 'ratings.csv'\?\)"):
        CsvFile.make(path=tmp_path / "rating.csv").load()


def test_only_similar_files_are_suggested(tmp_path):
    for name in (*(f"part{number}.csv" for number in range(30)), "rating2.csv", "movies.csv"):
        (tmp_path / name).write_text("user,item\n")
    for name, hint in (("rating.csv", "did you mean 'rating2.csv'?"), ("interactions.csv", ""), ("ml-100k", "")):
        with pytest.raises(DataError) as caught:
            CsvFile.make(path=tmp_path / name).load()
        assert caught.value.hint == hint
    with pytest.raises(DataError, match=r"there is no folder .*/nowhere\)"):
        CsvFile.make(path=tmp_path / "nowhere" / "r.csv").load()


def test_the_path_of_recbole_is_a_folder(tmp_path):
    (tmp_path / "t.inter").write_text("user_id:token\titem_id:token\n1\ta\n")
    with pytest.raises(DataError, match=r"t\.inter: a file, not a folder \(give the folder: "):
        Recbole.make(path=tmp_path / "t.inter").load()


def test_recbole_files(ml100k):
    data = Recbole.make(path=ml100k)
    ratings = data.load()
    assert len(ratings.users) == 100_000
    assert len(ratings.users.names) == 943
    assert len(ratings.items.names) == 1_682
    assert ratings.catalogue["1"] == Item("Toy Story", 1995, ("Animation", "Children's", "Comedy"))
    assert ratings.times.min() > 8e8
    assert len(data.fingerprint()) == len(hashlib.sha256().hexdigest())


def test_a_small_recbole_folder(tmp_path):
    (tmp_path / "t.inter").write_text("user_id:token\titem_id:token\n1\ta\n2\tb\n")
    ratings = Recbole.make(path=tmp_path).load()
    assert ratings.users.tolist() == ["1", "2"]
    assert ratings.times is None
    with pytest.raises(DataError, match="no such folder"):
        Recbole.make(path=tmp_path / "nowhere").load()
    (tmp_path / "t.inter").unlink()
    with pytest.raises(DataError, match=r"no \.inter file"):
        Recbole.make(path=tmp_path).fingerprint()


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("user_id:token\titem_id:token\trating:float\n1\ta\t4\n1\tb\tnan\n", 3, "rating 'nan' is not a number"),
        ("user_id:token\titem_id:token\ttimestamp:float\n1\ta\tNaN\n", 2, "time 'NaN' is neither a number nor a date"),
        ("user_id:token\titem_id:token\ttimestamp:float\n1\ta\t4\n1\tb\t-3\n", 3, "time -3 is negative"),
        ("user_id:token\titem:token\n1\ta\n", 1, "no column 'item_id' for item (did you mean 'item'?"),
        ("uid:token\titem_id:token\n1\ta\n", 1, "no column 'user_id' for user"),
        ("user_id:token\titem_id:token\n1\t\n", 2, "an empty item"),
        ("user_id:token\titem_id:token\titem_id:float\n1\ta\t1\n", 1, "two columns are named 'item_id'"),
    ],
)
def test_wrong_recbole_files_are_one_line_with_the_place(tmp_path, text, line, problem):
    (tmp_path / "t.inter").write_text(text)
    with pytest.raises(DataError) as caught:
        Recbole.make(path=tmp_path).load()
    assert f"t.inter:{line}:" in str(caught.value)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_further_columns_of_a_recbole_folder_are_left_alone(tmp_path):
    (tmp_path / "t.inter").write_text("user_id:token\titem_id:token\tmood:float\n1\ta\tnan\n")
    ratings = Recbole.make(path=tmp_path).load()
    assert (ratings.ratings, ratings.times) == (None, None)
