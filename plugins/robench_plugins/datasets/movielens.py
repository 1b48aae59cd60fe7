"""MovieLens, from the unpacked folder of any of its versions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from robench.api import DataError, Dataset, DatasetConfig, Item, Ratings
from robench_plugins.datasets.reading.delimited import Delimited, read_delimited
from robench_plugins.datasets.reading.items import describe_missing, describe_years, distinct_ids, read_profiles
from robench_plugins.datasets.reading.opening import digest_of, is_hidden, read_content
from robench_plugins.datasets.reading.table import Table
from robench_plugins.datasets.reading.times import read_times

LICENCE = "GroupLens: research use, no redistribution without permission, cite Harper & Konstan 2015"
YEAR = re.compile(r"\s*\(([0-9]{4})(?:[-–][0-9]{0,4})?\)\s*$")
RELEASED = re.compile(r"[0-9]{1,2}-[A-Z][a-z]{2}-([0-9]{4})")
NO_GENRES = ("(no genres listed)", "unknown")
# The genres of u.item in the order of their columns, which u.genre also lists.
GENRES = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]
# The meaning of the codes in users.dat, from the README of MovieLens 1M.
AGES = {"1": "under 18", "18": "18-24", "25": "25-34", "35": "35-44", "45": "45-49", "50": "50-55", "56": "56+"}
OCCUPATIONS = [
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
]


@dataclass(frozen=True)
class Version:
    """The names and the format of the files in one version of MovieLens.

    Args:
        ratings: the file of ratings, by which the version is recognised.
        movies: the file of movies.
        users: the file of users, or an empty string if there is none.
        separator: the separator of the cells in the file of ratings.
        texts: the separator of the cells in the other files.
        header: whether the files name their columns.
    """

    ratings: str
    movies: str
    users: str
    separator: str
    texts: str
    header: bool


VERSIONS = (
    Version("u.data", "u.item", "u.user", "\t", "|", header=False),  # 100K
    Version("ratings.dat", "movies.dat", "users.dat", "::", "::", header=False),  # 1M and 10M
    Version("ratings.csv", "movies.csv", "", ",", ",", header=True),  # 20M, 25M, 32M, latest
)
RATING_COLUMNS = ("userId", "movieId", "rating", "timestamp")
USER_COLUMNS = {"u.user": ("user", "age", "gender", "occupation", "zip")}
USER_COLUMNS["users.dat"] = ("user", "gender", "age", "occupation", "zip")


class MovieLens(Dataset):
    """Reads the unpacked folder of MovieLens 100K, 1M, 10M, 20M, 25M, 32M or latest.

    Titles do not contain the year. Articles stay at the end of titles, as in ``Matrix, The``. Users of 100K and 1M have
    profiles with age, gender and occupation. MovieLens is described by Harper & Konstan (TiiS 2015).
    """

    class Config(DatasetConfig):
        """Settings of the folder."""

        path: Path = Field(description="The unpacked folder; a relative path starts at the suite's folder")

    config: Config
    licence: ClassVar[str] = LICENCE
    source: ClassVar[str] = "your own folder, unpacked from an archive of GroupLens"

    @classmethod
    def recognise(cls, path: Path) -> Mapping[str, Any] | None:
        """Returns the settings of a folder of MovieLens, or None for anything else."""
        try:
            find_version(path)
        except DataError:
            return None
        return {"path": path}

    def fingerprint(self) -> str:
        """Returns the sha256 of the files that ``load`` reads."""
        return digest_movielens(self.config.path)

    def load(self) -> Ratings:
        """Returns the ratings in the order of the file, with movies and users."""
        return read_movielens(self.config.path)


def digest_movielens(folder: Path) -> str:
    """Returns the sha256 of the files that ``read_movielens`` reads."""
    home, version = find_version(folder)
    names = (version.ratings, version.movies, version.users, "u.genre" if version.movies == "u.item" else "")
    return digest_of(home / name for name in names if name and (home / name).exists())


def read_movielens(folder: Path) -> Ratings:
    """Returns the ratings of an unpacked folder, with movies and users.

    Raises:
        DataError: if the folder holds no version of MovieLens, or if a file cannot be read.
    """
    home, version = find_version(folder)
    columns = None if version.header else RATING_COLUMNS
    form = Delimited(version.separator, columns=columns, ids=RATING_COLUMNS[:2], whole=("timestamp",), real=("rating",))
    table = read_delimited(home / version.ratings, form)
    users, items = table.ids("userId", "userId"), table.ids("movieId", "movieId")
    times = read_times(table, "timestamp", "timestamp")
    ratings = table.numbers("rating", "rating")
    catalogue, notes = _read_movies(home, version)
    notes, profiles = times.notes + notes, _read_users(home, version)
    return Ratings(
        users, items, times.values, ratings, catalogue, profiles, times.ticks, notes=notes, scale=times.scale
    )


def find_version(folder: Path) -> tuple[Path, Version]:
    """Returns the folder that contains the files, and the version of the files.

    The files may be in the only subfolder, as they are in the archives.

    Raises:
        DataError: if there is no such folder, or if it holds no version of MovieLens.
    """
    if not folder.is_dir():
        problem = "a file, not a folder" if folder.exists() else "no such folder"
        hint = "unpack it" if folder.suffix == ".zip" else ""
        raise DataError(problem, where=str(folder), hint=hint)
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir() and not is_hidden(path.name)]
    for home in (folder, *(inner if len(inner) == 1 else ())):
        for version in VERSIONS:
            if (home / version.ratings).is_file():
                return home, version
    expected = ", ".join(version.ratings for version in VERSIONS)
    raise DataError("no MovieLens in this folder", where=str(folder), hint=f"it holds one of {expected}")


def _read_movies(home: Path, version: Version) -> tuple[dict[str, Item], tuple[str, ...]]:
    """Returns the description of every movie by its id, and notes about the file.

    Both are empty if there is no file of movies.
    """
    path = home / version.movies
    if not path.exists():
        return {}, ()
    genres = _genre_names(home) if version.movies == "u.item" else []
    columns: tuple[str, ...] = ("movieId", "title", "genres")
    if genres:
        columns = ("movieId", "title", "released", "video", "url", *(f"genre {i}" for i in range(len(genres))))
    table = _read_texts(path, version, columns)
    ids = distinct_ids(table, "movieId", "movieId", "movie")
    flags = [table.texts(f"genre {i}") for i in range(len(genres))]
    kinds = (
        [[name for name, flag in zip(genres, row, strict=True) if flag == "1"] for row in zip(*flags, strict=True)]
        if flags
        else [cell.split("|") for cell in table.texts("genres")]
    )
    rows = list(zip(ids, table.texts("title"), table.texts("released"), kinds, strict=True))
    movies = {one: _movie(title, released, kind) for one, title, released, kind in rows}
    wrong = [released for one, _, released, _ in rows if released.strip() and movies[one].year is None]
    notes = describe_missing(path.name, ("title", "genres"), table.names) if version.header else ()
    return movies, notes + describe_years(path.name, wrong, "dates such as 01-Jan-1995")


def _movie(title: str, released: str, genres: list[str]) -> Item:
    """Returns the description of a movie, with the year removed from the title.

    If the title has no year, the year comes from the release date.
    """
    match = YEAR.search(title) or RELEASED.fullmatch(released)
    kept = tuple(filter(None, (genre.strip() for genre in genres if genre.strip() not in NO_GENRES)))
    return Item(YEAR.sub("", title).strip(), int(match[1]) if match else None, kept)


def _genre_names(home: Path) -> list[str]:
    """Returns the genres in the order of their numbers.

    The genres are read from ``u.genre`` if this file exists.

    Raises:
        DataError: if the file cannot be read, or if the genres are not numbered from 0.
    """
    path = home / "u.genre"
    if not path.exists():
        return GENRES
    table = read_delimited(path, Delimited("|", columns=("genre", "number"), quotes=False))
    numbers = table.texts("number")
    if sorted(numbers, key=lambda number: (len(number), number)) != [str(i) for i in range(len(numbers))]:
        raise DataError("the genres are not numbered from 0", where=str(path))
    names = dict(zip(map(int, numbers), table.texts("genre"), strict=True))
    return [names[number] for number in range(len(names))]


def _read_users(home: Path, version: Version) -> Mapping[str, str]:
    """Returns the profile of every user by id, without the postal code.

    The result is empty if there is no file of users.
    """
    path = home / version.users
    if not version.users or not path.exists():
        return {}
    columns = USER_COLUMNS[version.users]
    table = _read_texts(path, version, columns)
    ids = distinct_ids(table, "user", "user", "user")
    if version.users == "u.user":
        return read_profiles(table, ids, columns[1:4])
    rows = zip(ids, *(table.texts(name) for name in ("gender", "age", "occupation")), strict=True)
    return {
        one: f"gender: {gender}, age: {AGES.get(age, age)}, occupation: {_occupation(code)}"
        for one, gender, age, code in rows
    }


def _occupation(code: str) -> str:
    """Returns the name of an occupation, or the code itself if it is unknown."""
    return OCCUPATIONS[int(code)] if re.fullmatch("[0-9]{1,2}", code) and int(code) < len(OCCUPATIONS) else code


def _read_texts(path: Path, version: Version, columns: tuple[str, ...]) -> Table:
    """Returns the table in a file of movies or users.

    A file that is not UTF-8 is read as Latin-1, the encoding of older versions.
    """
    try:
        read_content(path).decode("utf-8")
        encoding = "utf-8"
    except UnicodeDecodeError:
        encoding = "latin-1"
    names = None if version.header else columns
    return read_delimited(path, Delimited(version.texts, encoding, names, quotes=version.header))
