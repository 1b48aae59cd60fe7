"""Reads times of any common form without losing their order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from robench.api import FloatArray, IntArray
from robench_plugins.datasets.reading.table import Table, is_text, shortened

LARGEST = 2**63 - 1
DECIMALS = 9
# The smallest absolute median that makes whole numbers count as milliseconds, microseconds or nanoseconds since 1970.
UNITS = ((10**17, 10**9, "nanoseconds"), (10**14, 10**6, "microseconds"), (10**11, 10**3, "milliseconds"))
DATED = 10**8  # seconds; smaller times are no times since 1970
TICKS = 10**DECIMALS
NANO = pa.scalar(Decimal(TICKS), pa.decimal128(10, 0))
RANKED = "of the times, only the order is kept"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
ISO = re.compile(r"\s*\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?\s*(Z|[+-]\d{2}:?\d{2})?)?\s*", re.ASCII)


@dataclass(frozen=True, eq=False)
class Times:
    """The times of events.

    Args:
        values: int64 [n], in ``ticks`` per second, or None if the source has no times.
        ticks: the number of ticks per second since 1970, or None if only the order is known.
        notes: lines for the user.
    """

    values: IntArray | None
    ticks: int | None = 1
    notes: tuple[str, ...] = ()


def read_times(table: Table, name: str, key: str = "time") -> Times:
    """Returns a column of times in a unit that keeps their order.

    Numbers are seconds, with or without fractions. Whole numbers that are too large for seconds of the years until 2286
    are milliseconds, microseconds or nanoseconds. Other cells are dates such as ``2019-12-31`` or
    ``2019-12-31T23:59:59.5+01:00``. A date without a zone is in UTC.

    Raises:
        DataError: if there is no such column, or if a cell is empty, negative or neither a number nor such a date.
    """
    column = table.column(name, key)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _from_stamps(column)
    if not is_text(column.type):
        if pa.types.is_floating(column.type):
            return _from_floats(table, np.asarray(column.to_numpy(), dtype=np.float64), key)
        return _from_whole(table, np.asarray(column.cast(pa.int64()).to_numpy()), key)
    column = pc.ascii_trim_whitespace(column)
    if pc.all(pc.match_substring_regex(column, "^[0-9]{1,18}$")).as_py():
        return _from_whole(table, np.asarray(column.cast(pa.int64()).to_numpy()), key)
    numeric = pc.match_substring_regex(column, NUMBER)
    if pc.all(numeric).as_py():
        return _from_decimals(table, column, key)
    if pc.any(numeric).as_py():
        row = int(pc.index(numeric, False).as_py())
        raise table.error(f"{key} {shortened(column[row].as_py())} must be a number, as the others are", row)
    return _from_dates(table, column.to_pylist(), key)


def _refuse_negative(table: Table, values: IntArray | FloatArray, key: str) -> None:
    if (values < 0).any():
        row = int(np.flatnonzero(values < 0)[0])
        raise table.error(f"{key} {values[row]:.17g} is negative", row)


def _from_whole(table: Table, values: IntArray, key: str) -> Times:
    """Returns times of whole numbers, in the unit that their size suggests."""
    values = values.astype(np.int64)
    _refuse_negative(table, values, key)
    middle = int(np.median(values))
    for least, ticks, unit in UNITS:
        if middle >= least:
            return Times(values, ticks, (f"times are read as {unit}",))
    return Times(values, 1 if middle >= DATED else None)


def _from_floats(table: Table, values: FloatArray, key: str) -> Times:
    """Returns times of float64, as whole numbers or as ranks."""
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise table.error(f"{key} {values[row]} is not a time", row)
    _refuse_negative(table, values, key)
    if (values == np.floor(values)).all() and values.max() < 2.0**63:
        return _from_whole(table, values.astype(np.int64), key)
    return _ranked(values)


def _ranked(values: FloatArray) -> Times:
    return Times(np.unique(values, return_inverse=True)[1].astype(np.int64), None, (RANKED,))


def _from_decimals(table: Table, column: pa.ChunkedArray, key: str) -> Times:
    """Returns times of decimal numbers, in nanoseconds or as ranks.

    Ranks are used if nanoseconds would lose the order.
    """
    try:
        exact = column.cast(pa.decimal128(38, DECIMALS))
        values = np.asarray(pc.multiply(exact, NANO).cast(pa.int64()).to_numpy())
    except pa.ArrowInvalid:
        return _from_exact(table, [Decimal(cell) for cell in column.to_pylist()], key)
    _refuse_negative(table, values, key)
    if (values % TICKS == 0).all():
        return _from_whole(table, values // TICKS, key)
    return Times(values, TICKS if int(np.median(values)) >= DATED * TICKS else None)


def _from_exact(table: Table, numbers: list[Decimal], key: str) -> Times:
    """Returns times of decimal numbers that have many digits."""
    bad = next((row for row, number in enumerate(numbers) if number < 0), None)
    if bad is not None:
        raise table.error(f"{key} {numbers[bad]} is negative", bad)
    whole = all(number == number.to_integral_value() for number in numbers)
    if whole and max(numbers) <= LARGEST:
        return _from_whole(table, np.array([int(number) for number in numbers], dtype=np.int64), key)
    ranks = {number: rank for rank, number in enumerate(sorted(set(numbers)))}
    return Times(np.array([ranks[number] for number in numbers], dtype=np.int64), None, (RANKED,))


def _from_stamps(column: pa.ChunkedArray) -> Times:
    """Returns times of a column of timestamps or dates."""
    kind = column.type
    unit = kind.unit if pa.types.is_timestamp(kind) else "s"
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    stamps = column if pa.types.is_timestamp(kind) else column.cast(pa.timestamp("s"))
    return Times(np.asarray(stamps.cast(pa.int64()).to_numpy()), ticks)


def _from_dates(table: Table, cells: list[str], key: str) -> Times:
    """Returns times of ISO dates, in UTC."""
    distinct = {cell: number for number, cell in enumerate(dict.fromkeys(cells))}
    values = []
    for cell in distinct:
        stamp = None
        if ISO.fullmatch(cell):
            try:
                stamp = pd.Timestamp(cell.strip().replace(",", ".")).as_unit("ns")
            except ValueError:  # no such day, or a year that nanoseconds do not reach
                stamp = None
        if stamp is None:
            hint = "seconds since 1970, or dates such as 2019-12-31 and 2019-12-31T23:59:59+01:00"
            raise table.error(f"{key} {shortened(cell)} is neither a number nor a date", cells.index(cell), hint)
        stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp.tz_convert("UTC")
        values.append(stamp.value)
    codes = np.fromiter((distinct[cell] for cell in cells), np.int64, len(cells))
    nanoseconds = np.array(values, dtype=np.int64)
    ticks = 1 if (nanoseconds % 10**9 == 0).all() else 10**9
    return Times((nanoseconds // (10**9 // ticks))[codes], ticks)
