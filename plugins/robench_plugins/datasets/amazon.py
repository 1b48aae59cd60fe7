"""Amazon's product reviews of 2014, 2018 and 2023."""

from __future__ import annotations

import codecs
import re
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from robench.api import DataError, Dataset, DatasetConfig, Item, Ratings
from robench.api.errors import counted
from robench_plugins.datasets.reading.delimited import Delimited, read_delimited
from robench_plugins.datasets.reading.items import describe_missing
from robench_plugins.datasets.reading.json_lines import JSON_LINES, json_objects, table_of_lines
from robench_plugins.datasets.reading.opening import digest_of, plain_suffix, read_content
from robench_plugins.datasets.reading.recognition import first_lines, first_object
from robench_plugins.datasets.reading.table import Table
from robench_plugins.datasets.reading.times import read_times

LICENCE = "none stated by its publishers: research use, cite the papers that they name"
USERS, ITEMS = ("user_id", "reviewerID"), ("parent_asin", "asin")
RATINGS, TIMES = ("rating", "overall"), ("timestamp", "unixReviewTime")
ASIN = re.compile("B[0-9A-Z]{9}|[0-9]{9}[0-9X]")
SAMPLE = 1000  # the number of rows that decide which column holds the products
TEXTS = ("title", "categories", "category", "description")  # the keys of a product that are read
HEAD = 1 << 16  # the number of bytes in which the first line must end
UNNAMED = ("first", "second", "rating", "time")  # the columns of ratings without a header
Order = Literal["auto", "user-item", "item-user"]


class Amazon(Dataset):
    """Reads Amazon's ratings or reviews, and optional metadata about products.

    Ratings are CSV. The files of 2014 and 2018 have no header. The user comes first in 2014, and the product in 2018.
    The files of 2023 have a header. Reviews are JSON lines. Times are in seconds in 2014 and 2018, and in milliseconds
    in 2023. The data is described by McAuley et al. (SIGIR 2015), Ni et al. (EMNLP 2019) and Hou et al. (2024).
    """

    class Config(DatasetConfig):
        """Settings of the files.

        Relative paths refer to the folder of the suite.
        """

        path: Path = Field(description="File of ratings (CSV) or reviews (JSON lines)")
        items: Path | None = Field(default=None, description="File of metadata (JSON lines)")
        order: Order = Field(
            default="auto",
            description="Order of the first two columns of ratings without a header; auto decides it by the form of "
            "the product ids",
        )

    config: Config
    licence: ClassVar[str] = LICENCE
    source: ClassVar[str] = "your own files, from Amazon's product reviews"

    @classmethod
    def recognise(cls, path: Path) -> Mapping[str, Any] | None:
        """Returns the settings of a file of ratings or reviews, or None for other files."""
        lines = first_lines(path)
        if lines is None:
            return None
        if plain_suffix(path) in JSON_LINES:
            names = list(first_object(lines) or ())
            known = all(any(one in names for one in usual) for usual in (USERS, ITEMS, RATINGS, TIMES))
            return {"path": path} if known else None
        cells = lines[0].split(",")
        named = any(one in cells for one in USERS) and any(one in cells for one in ITEMS)
        unnamed = len(cells) == len(UNNAMED) and sum(ASIN.fullmatch(cell) is not None for cell in cells[:2]) == 1
        return {"path": path} if named or unnamed else None

    def fingerprint(self) -> str:
        """Returns the sha256 of the files that ``load`` reads."""
        return digest_of(path for path in (self.config.path, self.config.items) if path is not None)

    def load(self) -> Ratings:
        """Returns the ratings in the order of the file, with the described products."""
        return read_amazon(self.config.path, self.config.items, self.config.order)


def read_amazon(path: Path, metadata: Path | None, order: Order = "auto") -> Ratings:
    """Returns the ratings in a file, and the products that a metadata file describes.

    Args:
        path: a file of ratings or reviews.
        metadata: a file of metadata, or None.
        order: the order of the columns in a file of ratings without a header.

    Raises:
        DataError: if a file cannot be read as ratings, reviews or metadata.
    """
    table = _read_reviews(path) if plain_suffix(path) in JSON_LINES else _read_ratings(path, order)
    users, items = table.ids("user", "user"), table.ids("item", "product")
    times = read_times(table, "time")
    ratings = table.numbers("rating", "rating")
    catalogue, notes = ({}, ()) if metadata is None else _read_products(metadata, set(items.names))
    notes = (*times.notes, *notes)
    return Ratings(users, items, times.values, ratings, catalogue, ticks=times.ticks, notes=notes, scale=times.scale)


def _read_ratings(path: Path, order: Order) -> Table:
    """Reads the columns user, item, rating and time from a file of ratings.

    Raises:
        DataError: if the file cannot be read, if its columns are not those of ratings, or if their order cannot be
            recognised.
    """
    content = read_content(path)[:HEAD].removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n")
    if not content:
        raise DataError("the file is empty", where=str(path))
    head = re.split(rb"[\r\n]", content, maxsplit=1)[0]
    cells = head.decode("utf-8", "replace").replace('"', "").split(",")
    if any(name in cells for name in (*USERS, *ITEMS)):
        table = read_delimited(path, Delimited(",", ids=(*USERS, *ITEMS), whole=TIMES, real=RATINGS))
        usual = {"user": USERS, "item": ITEMS, "rating": RATINGS, "time": TIMES}
        return _with_names(
            table, {new: next((n for n in names if n in table), names[0]) for new, names in usual.items()}
        )
    if len(cells) != len(UNNAMED):
        problem = f"{len(cells)} columns, and no header with user_id and parent_asin"
        raise DataError(problem, where=f"{path}:1", hint="ratings have a user, a product, a rating and a time")
    table = read_delimited(path, Delimited(",", columns=UNNAMED, ids=UNNAMED[:2], real=UNNAMED[2:3], whole=UNNAMED[3:]))
    product_first = _is_product_first(table) if order == "auto" else order == "item-user"
    first, second, rating, time = UNNAMED
    user, item = (second, first) if product_first else (first, second)
    return _with_names(table, {"user": user, "item": item, "rating": rating, "time": time})


def _with_names(table: Table, names: Mapping[str, str]) -> Table:
    """Returns the chosen columns of a table under new names.

    Args:
        table: the table.
        names: the current name of each column, by its new name.

    Raises:
        DataError: if the table lacks a column.
    """
    for new, old in names.items():
        table.check(old, new)
    data = pa.table({new: table.data[old] for new, old in names.items()})
    return Table(table.path, data, table.line_of, table.header)


def _is_product_first(table: Table) -> bool:
    """Returns whether the first of two columns holds the products.

    Raises:
        DataError: if both columns hold ids of products, or neither does.
    """
    samples = [table.data[name].slice(0, SAMPLE).to_pylist() for name in UNNAMED[:2]]
    first, second = (2 * sum(ASIN.fullmatch(cell) is not None for cell in cells) > len(cells) for cells in samples)
    if first == second:
        hint = "set order: user-item or item-user"
        raise table.error("neither or both of the first two columns look like product ids", 0, hint)
    return first


def _read_reviews(path: Path) -> Table:
    """Reads the columns user, item, rating and time from a file of reviews.

    Raises:
        DataError: if the file cannot be read, or if one of these fields is missing, empty, null or nested.
    """
    columns: dict[str, list[str]] = {"user": [], "item": [], "rating": [], "time": []}
    lines: list[int] = []
    for line, row in json_objects(path, literals=True):
        for name, usual in (("user", USERS), ("item", ITEMS), ("rating", RATINGS), ("time", TIMES)):
            value = next((row[one] for one in usual if one in row), None)
            if not isinstance(value, str | bool) or value == "":
                raise DataError(f"no {' or '.join(usual)}", where=f"{path}:{line}")
            columns[name].append(str(value))
        lines.append(line)
    return table_of_lines(path, columns, lines)


def _read_products(path: Path, wanted: Container[str]) -> tuple[dict[str, Item], tuple[str, ...]]:
    """Returns the descriptions of the wanted products by id, and notes for the user.

    Raises:
        DataError: if the file cannot be read, or if a product has no id or is nested too deeply.
    """
    products: dict[str, Item] = {}
    names: dict[str, None] = {}
    repeated = 0
    for line, row in json_objects(path, literals=True):
        name = next((row[one] for one in ITEMS if one in row), None)
        if not isinstance(name, str):
            raise DataError(f"no {' or '.join(ITEMS)}", where=f"{path}:{line}")
        if name in products:
            repeated += 1
        elif name in wanted:
            try:
                products[name] = _product(row)
                names |= dict.fromkeys(row)
            except RecursionError:
                raise DataError("nested too deeply", where=f"{path}:{line}") from None
    note = f"{counted(repeated, 'repeated description')} of products: the first one is kept"
    missing = describe_missing(path.name, TEXTS, list(names)) if products else ()
    return products, ((note,) if repeated else ()) + missing


def _product(row: Mapping[str, Any]) -> Item:
    """Returns the description of a product."""
    categories = dict.fromkeys(_texts(row.get("categories") or row.get("category") or ()))
    title, description = " ".join(_texts(row.get("title"))), " ".join(_texts(row.get("description")))
    return Item(title, None, tuple(categories), description)


def _texts(value: Any) -> Iterable[str]:
    """Yields the strings in a value, which may be a string or a nested list."""
    if isinstance(value, str):
        if value.strip():
            yield value.strip()
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(one)
