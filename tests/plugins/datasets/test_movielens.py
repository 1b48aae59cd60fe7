"""Tests the MovieLens folders of every version.

The folders are made by hand, in the form of the archives.
"""

import numpy as np
import pytest

from robench.api import DataError, Item
from robench.engine.data.prepare import prepare
from robench.spec import Part
from robench.testing import DatasetTests
from robench_plugins.datasets.movielens import GENRES, MovieLens

FLAGS = {"Toy Story (1995)": "Animation|Children's|Comedy", 'Amélie "x" (2001)': "Comedy", "unknown": "unknown"}


def flags(genres):
    return "|".join("1" if name in genres.split("|") else "0" for name in GENRES)


def write_100k(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "u.data").write_text("7\t1\t5\t881250949\n7\t2\t3\t881250950\n9\t3\t1\t881250951\n")
    rows = [
        f"{i}|{title}|{'04-Feb-1971' if title == 'unknown' else ''}||http://x|{flags(genres)}"
        for i, (title, genres) in enumerate(FLAGS.items(), 1)
    ]
    (folder / "u.item").write_text("\n".join(rows) + "\n", encoding="latin-1")
    (folder / "u.user").write_text("7|24|M|technician|85711\n9|53|F|other|94043\n")
    (folder / "u.genre").write_text("".join(f"{name}|{i}\n" for i, name in enumerate(GENRES)) + "\n")


def write_1m(folder, *, users=True):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ratings.dat").write_text("1::1193::5::978300760\n1::661::3::978302109\n2::1193::4::978298413\n")
    movies = "661::James and the Giant Peach (1996)::Animation|Children's|Musical\n"
    movies += '1193::One Flew, The "x (1975)::Drama\n1200::Café (1999)::Drama\n'
    (folder / "movies.dat").write_text(movies, encoding="latin-1")
    if users:
        (folder / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")


def write_csv(folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n1,29,3.5,1112484676\n")
    movies = 'movieId,title,genres\n2,"City of Lost Children, The (Cité, La) (1995)",Drama|Sci-Fi\n'
    movies += "29,Babylon 5,(no genres listed)\n30,Series (2006–2007),Drama\n"
    (folder / "movies.csv").write_text(movies, encoding="utf-8")


@pytest.fixture
def folder(tmp_path, request):
    request.cls.settings = {"path": tmp_path / "ml"}
    request.cls.write(tmp_path / "ml")


@pytest.mark.usefixtures("folder")
class Test100K(DatasetTests):
    dataset = MovieLens
    write = staticmethod(write_100k)


@pytest.mark.usefixtures("folder")
class Test1M(DatasetTests):
    dataset = MovieLens
    write = staticmethod(write_1m)


@pytest.mark.usefixtures("folder")
class Test20M(DatasetTests):
    dataset = MovieLens
    write = staticmethod(write_csv)


def test_100k_has_latin_titles_flags_release_dates_and_profiles(tmp_path):
    write_100k(tmp_path)
    ratings = MovieLens.make(path=tmp_path).load()
    assert ratings.users.tolist() == ["7", "7", "9"]
    assert ratings.items.tolist() == ["1", "2", "3"]
    np.testing.assert_array_equal(ratings.times, [881250949, 881250950, 881250951])
    np.testing.assert_array_equal(ratings.ratings, [5, 3, 1])
    assert ratings.catalogue == {
        "1": Item("Toy Story", 1995, ("Animation", "Children's", "Comedy")),
        "2": Item('Amélie "x"', 2001, ("Comedy",)),
        "3": Item("unknown", 1971, ()),
    }
    assert ratings.profiles == {
        "7": "age: 24, gender: M, occupation: technician",
        "9": "age: 53, gender: F, occupation: other",
    }
    (tmp_path / "u.genre").unlink()
    assert MovieLens.make(path=tmp_path).load().catalogue["1"].genres == ("Animation", "Children's", "Comedy")


def test_1m_has_quotes_in_titles_and_profiles_in_words(tmp_path):
    write_1m(tmp_path)
    ratings = MovieLens.make(path=tmp_path).load()
    assert ratings.catalogue["1193"] == Item('One Flew, The "x', 1975, ("Drama",))
    assert ratings.catalogue["1200"].title == "Café"
    assert ratings.profiles == {
        "1": "gender: F, age: under 18, occupation: K-12 student",
        "2": "gender: M, age: 56+, occupation: self-employed",
    }


def test_10m_has_no_users(tmp_path):
    write_1m(tmp_path, users=False)
    (tmp_path / "movies.dat").write_text("661::Amélie (2001)::Comedy\n", encoding="utf-8")
    ratings = MovieLens.make(path=tmp_path).load()
    assert ratings.profiles == {}
    assert ratings.catalogue == {"661": Item("Amélie", 2001, ("Comedy",))}


def test_later_versions_are_csv(tmp_path):
    write_csv(tmp_path)
    ratings = MovieLens.make(path=tmp_path).load()
    assert ratings.catalogue == {
        "2": Item("City of Lost Children, The (Cité, La)", 1995, ("Drama", "Sci-Fi")),
        "29": Item("Babylon 5", None, ()),
        "30": Item("Series", 2006, ("Drama",)),
    }
    np.testing.assert_array_equal(ratings.ratings, [3.5, 3.5])


def test_the_folder_of_an_archive_is_found(tmp_path):
    write_1m(tmp_path / "ml-10M100K")
    (tmp_path / "__MACOSX").mkdir()
    assert len(MovieLens.make(path=tmp_path / "ml-10M100K").load().users) == 3
    (tmp_path / "__MACOSX").rmdir()
    assert len(MovieLens.make(path=tmp_path).load().users) == 3


def test_the_fingerprint_covers_every_file(tmp_path):
    write_100k(tmp_path)
    seen = {MovieLens.make(path=tmp_path).fingerprint()}
    for name in ("u.data", "u.item", "u.user", "u.genre"):
        with (tmp_path / name).open("ab") as file:
            file.write(b"\n")
        seen.add(MovieLens.make(path=tmp_path).fingerprint())
    assert len(seen) == 5


@pytest.mark.parametrize(("name", "hint"), [("x.zip", "unpack it"), ("nothing", "no such folder")])
def test_what_is_no_folder_is_one_line(tmp_path, name, hint):
    (tmp_path / "x.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=hint):
        MovieLens.make(path=tmp_path / name).load()


def test_another_folder_is_one_line(tmp_path):
    with pytest.raises(DataError, match=r"no MovieLens in this folder \(it holds one of u.data, ratings.dat, "):
        MovieLens.make(path=tmp_path).load()


def test_the_counts_of_the_real_ratings(ml100k, tmp_path):
    """The test writes RecBole's ratings of MovieLens 100K in the form of u.data."""
    rows = (ml100k / "ml-100k.inter").read_text().splitlines()[1:]
    (tmp_path / "u.data").write_text("\n".join(rows) + "\n")
    data = prepare(
        MovieLens.make(path=tmp_path).load(), MovieLens.Config(path=tmp_path), Part("leave-last-out", {}, "s")
    )
    assert (data.summary.rows, data.summary.users, data.summary.items) == (100_000, 943, 1_682)
