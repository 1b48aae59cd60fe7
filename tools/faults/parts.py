"""Checks that robench reads the right log from files of different formats.

    python -m tools.faults.parts [--files 300] [--seed 0] [--keep DIR]

Each log is split into a file for training, one for the test, and sometimes one for validation. Two more files describe
the items and the users. Each file is delimited text, Parquet or JSON lines. The type of a column can differ from file
to file. Robench must read all files, so a refusal counts as a fault. The users, items, ratings, parts and texts, and
the order of times, must be those of the log.
"""

from __future__ import annotations

import csv
import io
import json
import random
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tools.faults.files import find_difference, main

from robench.api import Item
from robench.api.errors import UserError
from robench_plugins.datasets.csv_file import CsvFile

START = datetime(2015, 3, 1, tzinfo=UTC)
SECONDS = int(START.timestamp())
NUMBERS = ("int64", "uint32", "double", "decimal", "string", "dictionary")
DATES = ("string", "large_string", "s", "ms", "us", "ns", "zone")
WORDS = ("Heat", "Fargo: a 'film'", "M", "Amélie", "映画", "2001")
Row = tuple[str, str, str, Fraction | None]


@dataclass
class Case:
    """A log in several files.

    Args:
        rows: the user, item, rating and exact time of each row.
        parts: the part of each row: 0 for training, 1 for validation, and 2 for the test.
        files: the file name and the content for each part.
        items: the file name and the content for the items.
        users: the file name and the content for the users.
        catalogue: the description of each item.
        profiles: the text about each user.
        form: the kind of the times, and the types of the Parquet columns.
        settings: always empty.
        damaged: always False.
    """

    rows: list[Row]
    parts: list[int]
    files: dict[str, tuple[str, bytes]]
    items: tuple[str, bytes]
    users: tuple[str, bytes]
    catalogue: dict[str, Item]
    profiles: dict[str, str]
    form: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    damaged: bool = False

    @property
    def name(self) -> str:
        """The names of all files, joined by ``+``."""
        return "+".join(name for name, _ in (*self.files.values(), self.items, self.users))

    @property
    def content(self) -> bytes:
        """The contents of all files, joined."""
        return b"\n---\n".join(content for _, content in (*self.files.values(), self.items, self.users))

    def judge(self, folder: Path) -> str:
        """Returns what is wrong with the reading of the case, or an empty string."""
        for name, content in (*self.files.values(), self.items, self.users):
            (folder / name).write_bytes(content)
        files = {part: folder / name for part, (name, _) in self.files.items()}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                made = CsvFile.make(items=folder / self.items[0], users=folder / self.users[0])
                ratings = made.with_files(files).load()
        except UserError as error:
            return f"refused: {error}"
        except Exception:  # a bug, which is shown
            return traceback.format_exc()
        if ratings.parts is None or ratings.parts.tolist() != self.parts:
            return "other parts"
        if dict(ratings.catalogue) != self.catalogue:
            wrong = next(one for one in self.catalogue if ratings.catalogue.get(one) != self.catalogue[one])
            return f"other item: {ratings.catalogue.get(wrong)} for {self.catalogue[wrong]}"
        if dict(ratings.profiles) != self.profiles:
            return f"other profiles: {ratings.profiles} for {self.profiles}"
        return find_difference(self.rows, ratings)


def make_case(rng: random.Random) -> Case:
    """Returns a random log in several files."""
    names = [str(number) for number in range(9)] if rng.random() < 0.5 else ["a", "007", "7", "ß", "映", "x y", "NA"]
    times, rated = rng.choice(("numbers", "dates", "none")), rng.random() < 0.8
    part_names = ["train", *(["validation"] if rng.random() < 0.5 else []), "test"]
    numbers = {"train": 0, "validation": 1, "test": 2}
    form, rows, parts, files = {"times": times}, [], [], {}
    for part in part_names:
        some = [_row(names, times, rated=rated, rng=rng) for _ in range(rng.randint(1, 20))]
        columns: dict[str, list[Any]] = {"user": [row[0] for row in some], "item": [row[1] for row in some]}
        columns |= {"rating": [float(row[2]) for row in some]} if rated else {}
        columns |= {"time": [row[3] for row in some]} if times != "none" else {}
        columns |= {f"spare {part}": ["x"] * len(some)} if rng.random() < 0.3 else {}
        files[part] = _write(part, columns, times, form, rng)
        rows += some
        parts += [numbers[part]] * len(some)
    items = {name: _item(rng) for name in names}
    ages = {name: rng.choice((None, rng.randint(18, 80))) for name in names}
    return Case(
        rows,
        parts,
        files,
        _write_items(items, rng),
        _write_users(ages, rng),
        items,
        {name: "" if age is None else f"age: {age}" for name, age in ages.items()},
        form,
    )


def _row(names: Sequence[str], times: str, *, rated: bool, rng: random.Random) -> Row:
    moment = None if times == "none" else Fraction(SECONDS + rng.randint(0, 40))
    return rng.choice(names), rng.choice(names), str(rng.choice((1, 2.5, 4))) if rated else "", moment


def _write(
    part: str, columns: Mapping[str, list[Any]], times: str, form: dict[str, str], rng: random.Random
) -> tuple[str, bytes]:
    """Returns the name and the content of a part's file."""
    ending = rng.choice(("csv", "jsonl", "parquet"))
    if ending == "parquet":
        arrays = {}
        for name, values in columns.items():
            kind = _kind(name, values, times, rng)
            form[f"{part} {name}"] = kind
            arrays[name] = _array(kind, values, dates=times == "dates")
        return f"{part}.parquet", _parquet(arrays, rng)
    texts = dict(columns)
    if "time" in texts:
        texts["time"] = [_date(value) if times == "dates" else int(value) for value in texts["time"]]
    return f"{part}.{ending}", _lines(texts, ending, rng)


def _kind(name: str, values: Sequence[Any], times: str, rng: random.Random) -> str:
    """Returns a random type that can hold the values of a column."""
    if name == "time":
        return rng.choice(DATES if times == "dates" else NUMBERS)
    if name == "rating":
        return rng.choice(("double", "float", "decimal", "string"))
    whole = name in ("user", "item") and all(value == "0" or not value.startswith("0") for value in values)
    if whole and all(value.isascii() and value.isdecimal() for value in values):
        return rng.choice(("int8", "int64", "uint64", "string", "large_string", "dictionary"))
    return rng.choice(("string", "large_string", "dictionary"))


def _array(kind: str, values: Sequence[Any], *, dates: bool) -> pa.Array:
    """Returns the values as a column of the type ``kind``."""
    if kind in ("s", "ms", "us", "ns", "zone"):
        unit, zone = ("us", "Europe/Berlin") if kind == "zone" else (kind, None)
        ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        return pa.array([int(value) * ticks for value in values], pa.int64()).cast(pa.timestamp(unit, zone))
    if kind in ("string", "large_string", "dictionary"):
        texts = [_date(v) if dates and isinstance(v, Fraction) else str(v) for v in values]
        column = pa.array(texts, pa.large_string() if kind == "large_string" else pa.string())
        return column.dictionary_encode() if kind == "dictionary" else column
    if kind == "decimal":
        return pa.array([Decimal(str(float(value))) for value in values], pa.decimal128(20, 3))
    plain = [float(value) if kind in ("double", "float") else int(value) for value in values]
    return pa.array(plain, kind)


def _date(value: Fraction) -> str:
    return (START + timedelta(seconds=int(value) - SECONDS)).isoformat()


def _item(rng: random.Random) -> Item:
    """Returns a random description of an item."""
    genres = tuple(rng.sample(("Action", "Film Noir", "Drame"), rng.randint(0, 2)))
    return Item(rng.choice((*WORDS, "")), rng.choice((None, 1995, 2001)), genres, rng.choice(("", "A, b; c", "é")))


def _write_items(items: Mapping[str, Item], rng: random.Random) -> tuple[str, bytes]:
    """Returns the name and the content of a file that describes the items."""
    ending = rng.choice(("csv", "jsonl", "parquet"))
    lists = ending != "csv" and rng.random() < 0.5
    columns: dict[str, list[Any]] = {
        rng.choice(("item", "item_id")): list(items),
        "title": [item.title or None for item in items.values()],
        "year": [item.year for item in items.values()],
        "genres": [list(item.genres) if lists else "|".join(item.genres) for item in items.values()],
        "description": [item.description for item in items.values()],
    }
    return f"items.{ending}", _table(columns, ending, rng)


def _write_users(ages: Mapping[str, int | None], rng: random.Random) -> tuple[str, bytes]:
    """Returns the name and the content of a file that describes the users."""
    ending = rng.choice(("csv", "jsonl", "parquet"))
    columns: dict[str, list[Any]] = {rng.choice(("user", "user_id")): list(ages), "age": list(ages.values())}
    return f"users.{ending}", _table(columns, ending, rng)


def _table(columns: Mapping[str, list[Any]], ending: str, rng: random.Random) -> bytes:
    """Returns the content of a file with the given columns, in the format ``ending``."""
    if ending != "parquet":
        return _lines(columns, ending, rng)
    arrays = {name: pa.array(values) for name, values in columns.items()}
    for name in ("year", "age"):
        if name in arrays and pa.types.is_integer(arrays[name].type):
            arrays[name] = arrays[name].cast(rng.choice(("int16", "double", "string") if name == "year" else ("int8",)))
    return _parquet(arrays, rng)


def _parquet(arrays: Mapping[str, pa.Array], rng: random.Random) -> bytes:
    stream = io.BytesIO()
    names = rng.sample(list(arrays), len(arrays))
    pq.write_table(pa.table({name: arrays[name] for name in names}), stream, row_group_size=rng.choice((2, 1000)))
    return stream.getvalue()


def _lines(columns: Mapping[str, list[Any]], ending: str, rng: random.Random) -> bytes:
    """Returns rows as delimited text or JSON lines."""
    names = rng.sample(list(columns), len(columns))
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    stream = io.StringIO()
    if ending == "csv":
        writer = csv.DictWriter(stream, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return stream.getvalue().encode()
    for row in rows:
        kept = [name for name in names if row[name] is not None or rng.random() < 0.5]
        json.dump({name: row[name] for name in kept}, stream, ensure_ascii=rng.random() < 0.5)
        stream.write("\n")
    return stream.getvalue().encode()


if __name__ == "__main__":
    sys.exit(main(make_case, __doc__, Case.judge))
