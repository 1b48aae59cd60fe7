"""Reads times of any common form without losing their order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from robench.api import FloatArray, IntArray
from robench_plugins.datasets.reading.table import Table, is_text, shortened, to_whole

LARGEST = 2**63 - 1
DECIMALS = 9
# If at least half of the whole numbers reach one of these limits, all of them count as nanoseconds, microseconds or
# milliseconds since 1970. Each entry is a limit, the ticks per second, and the unit.
UNITS = ((10**17, 10**9, "nanoseconds"), (10**14, 10**6, "microseconds"), (10**11, 10**3, "milliseconds"))
DATED = 10**8  # in seconds; if most times are smaller, they do not count as times since 1970
TICKS = 10**DECIMALS
MICRO = 10**6
NANO = pa.scalar(Decimal(TICKS), pa.decimal128(10, 0))
SECONDS = pa.decimal128(27, DECIMALS)  # 27 + 10 + 1 digits of a product are the most that pyarrow allows
RANKED = "of the times, only the order is kept"
NEGATIVE = "if it stands for a missing time, remove the row; times before 1970 are read as dates"
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
DAY_OR_MONTH_FIRST = re.compile(r"\s*[0-9]{1,2}[./-][0-9]{1,2}[./-]([0-9]{2}|[0-9]{4})\b", re.ASCII)
ISO = (
    r"^(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<clock>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:[.,](?P<fraction>[0-9]{1,9}))?"
    r"\s*(?P<zone>Z|UTC|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$"
)


@dataclass(frozen=True, eq=False)
class Times:
    """The times of events.

    Args:
        values: the times, int64 [n], in ticks since 1970 or as numbers of which only the order counts. None if the
            source has no times.
        ticks: the number of ticks per second, or None if only the order of the values counts.
        notes: lines for the user.
        scale: the number of ticks per unit of the source, if only the order of the values counts.
    """

    values: IntArray | None
    ticks: int | None = 1
    notes: tuple[str, ...] = ()
    scale: int = 1


def read_times(table: Table, name: str, key: str = "time", decimal: str = ".") -> Times:
    """Returns a column of times in a unit that keeps their order.

    Numbers are seconds, with or without fractions. If at least half of the whole numbers are 10¹¹ or more, all of them
    are milliseconds, microseconds or nanoseconds. Other cells are dates such as ``2019-12-31`` or
    ``2019-12-31T23:59:59.5+01:00``. A date without a zone is in UTC.

    Raises:
        DataError: if there is no such column, if a cell is empty, is a negative number or is neither a number nor such
            a date, or if numbers and dates are mixed.
    """
    column = table.column(name, key)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _from_stamps(column)
    if pa.types.is_floating(kind):
        return _from_floats(table, np.asarray(column.to_numpy(), dtype=np.float64), key)
    if pa.types.is_signed_integer(kind):
        return _from_whole(table, to_whole(column), key)
    if not (is_text(kind) or pa.types.is_decimal(kind) or pa.types.is_integer(kind)):
        raise table.error(f"the column of {key}s holds {kind}, which are not times")
    column = pc.ascii_trim_whitespace(column.cast(pa.large_string()))
    if pc.all(pc.match_substring_regex(column, "^[0-9]{1,18}$")).as_py():
        return _from_whole(table, np.asarray(column.cast(pa.int64()).to_numpy()), key)
    plain = column if decimal == "." else pc.replace_substring(column, decimal, ".")
    numeric = pc.match_substring_regex(plain, NUMBER)
    if decimal != ".":  # 1.500 may be 1500
        numeric = pc.and_not(numeric, pc.match_substring(column, "."))
    if pc.all(numeric).as_py():
        return _from_decimals(table, plain, key)
    if pc.any(numeric).as_py():
        row = int(pc.index(numeric, False).as_py())
        raise table.error(f"{key} {shortened(column[row].as_py())} must be a number, as the others are", row)
    return _from_dates(table, column, key)


def _refuse_negative(table: Table, values: IntArray | FloatArray, key: str) -> None:
    if (values < 0).any():
        row = int(np.flatnonzero(values < 0)[0])
        raise table.error(f"{key} {values[row]:.17g} is negative", row, NEGATIVE)


def _from_whole(table: Table, values: IntArray, key: str) -> Times:
    """Returns times from whole numbers, in the unit that their size suggests.

    If most numbers are too small for times since 1970, only their order counts.

    Raises:
        DataError: if a time is negative.
    """
    values = values.astype(np.int64, copy=False)
    _refuse_negative(table, values, key)
    most: int | None = None  # the largest time of the next smaller unit
    for least, ticks, unit in (*UNITS, (DATED, 1, "seconds")):
        if _mostly_from(values, least):
            said = () if ticks == 1 else (f"times are read as {unit}",)
            return Times(values, ticks, (*said, *_other_units(values, least, most, unit)))
        most = least
    return Times(values, None)


def _other_units(values: IntArray, least: int, end: int | None, unit: str) -> tuple[str, ...]:
    """Returns a line about times that seem to have another unit than the others.

    The result is empty if there are no such times. Numbers below ``DATED`` have no apparent unit.

    Args:
        values: the times.
        least: the smallest number that seems to have the unit.
        end: the smallest number that seems to have a finer unit, or None if there is no finer unit.
        unit: the name of the unit.
    """
    other = (values >= DATED) & (values < least)
    if end is not None:
        other |= values >= end
    if not (count := int(np.count_nonzero(other))):
        return ()
    example = int(values[np.flatnonzero(other)[0]])
    return (f"{count} of {len(values)} times, such as {example}, do not seem to be {unit}: mixed units have no order",)


def _mostly_from(values: IntArray | FloatArray, least: int) -> bool:
    """Returns whether at least half of the values reach a limit."""
    return 2 * int(np.count_nonzero(values >= least)) >= len(values)


def _from_floats(table: Table, values: FloatArray, key: str) -> Times:
    """Returns the times in a float64 column.

    If all numbers are whole, ``_from_whole`` reads them. Otherwise they become millionths if these are exact, which are
    microseconds in the case of times since 1970. In all other cases they become ranks.

    Raises:
        DataError: if a time is negative or not finite.
    """
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise table.error(f"{key} {values[row]} is not a time", row)
    _refuse_negative(table, values, key)
    if (values == np.floor(values)).all() and values.max() < 2.0**63:
        return _from_whole(table, values.astype(np.int64), key)
    micros = np.round(values * MICRO)
    if micros.max() < 2.0**53 and (micros / MICRO == values).all():
        return _from_parts(micros.astype(np.int64), MICRO)
    return Times(np.unique(values, return_inverse=True)[1].astype(np.int64), None, (RANKED,))


def _from_decimals(table: Table, column: pa.ChunkedArray, key: str) -> Times:
    """Returns the times in a column of decimal numbers.

    If all numbers are whole, ``_from_whole`` reads them. Otherwise they become nanoseconds. If nanoseconds would not
    fit into 64 bits, or would lose digits, ``_from_exact`` reads the numbers.

    Raises:
        DataError: if a time is negative.
    """
    try:
        exact = column.cast(SECONDS)
        values = np.asarray(pc.multiply(exact, NANO).cast(pa.int64()).to_numpy())
    except pa.ArrowInvalid:
        return _from_exact(table, [Decimal(cell) for cell in column.to_pylist()], key)
    if (values < 0).any():
        row = int(np.flatnonzero(values < 0)[0])
        raise table.error(f"{key} {column[row].as_py()} is negative", row, NEGATIVE)
    if (values % TICKS == 0).all():
        return _from_whole(table, values // TICKS, key)
    return _from_parts(values, TICKS)


def _from_parts(values: IntArray, scale: int) -> Times:
    """Returns times from numbers of parts of a unit.

    If most of them are large enough for times since 1970, the unit is a second. Otherwise only their order counts.

    Args:
        values: the numbers of parts.
        scale: the number of parts per unit.
    """
    dated = _mostly_from(values, DATED * scale)
    return Times(values, scale) if dated else Times(values, None, scale=scale)


def _from_exact(table: Table, numbers: list[Decimal], key: str) -> Times:
    """Returns times that 64 bits cannot hold exactly as nanoseconds.

    Whole numbers stay unchanged if 64 bits hold them. Otherwise each number is replaced by its position in the
    order of all numbers.

    Raises:
        DataError: if a time is negative.
    """
    bad = next((row for row, number in enumerate(numbers) if number < 0), None)
    if bad is not None:
        raise table.error(f"{key} {numbers[bad]} is negative", bad, NEGATIVE)
    whole = all(number == number.to_integral_value() for number in numbers)
    if whole and max(numbers) <= LARGEST:
        return _from_whole(table, np.array([int(number) for number in numbers], dtype=np.int64), key)
    ranks = {number: rank for rank, number in enumerate(sorted(set(numbers)))}
    return Times(np.array([ranks[number] for number in numbers], dtype=np.int64), None, (RANKED,))


def _from_stamps(column: pa.ChunkedArray) -> Times:
    """Returns the times in a column of timestamps or dates."""
    kind = column.type
    unit = kind.unit if pa.types.is_timestamp(kind) else "s"
    ticks = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    stamps = column if pa.types.is_timestamp(kind) else column.cast(pa.timestamp("s"))
    return Times(np.asarray(stamps.cast(pa.int64()).to_numpy()), ticks)


def _from_dates(table: Table, column: pa.ChunkedArray, key: str) -> Times:
    """Returns the times in a column of ISO dates, in UTC.

    Raises:
        DataError: if a cell is not a date.
    """
    cells = column.combine_chunks().dictionary_encode()
    encoded = cells.chunk(0) if isinstance(cells, pa.ChunkedArray) else cells
    distinct, codes = encoded.dictionary, encoded.indices.to_numpy()
    wrong = pc.invert(pc.match_substring_regex(distinct, ISO))
    stamps = None if pc.any(wrong).as_py() else _parse_dates(distinct)
    if stamps is None:
        names = distinct.to_pylist()
        bad = next(i for i, name in enumerate(names) if wrong[i].as_py() or _parse_dates(distinct[i : i + 1]) is None)
        hint = "seconds since 1970, or dates such as 2019-12-31 and 2019-12-31T23:59:59+01:00"
        if DAY_OR_MONTH_FIRST.match(names[bad]):
            hint += "; the year comes first"
        problem = f"{key} {shortened(names[bad])} is neither a number nor a date"
        raise table.error(problem, int(np.flatnonzero(codes == bad)[0]), hint)
    values, ticks = stamps
    return Times(values[codes], ticks, (*(() if ticks else (RANKED,)), *_describe_zones(distinct, codes)))


def _describe_zones(distinct: pa.Array, codes: IntArray) -> tuple[str, ...]:
    """Returns a line about dates of which only some state a time zone.

    Args:
        distinct: the distinct dates.
        codes: the index of the date of each row.
    """
    zoned = pc.not_equal(pc.extract_regex(distinct, ISO).field(3), "").to_numpy(zero_copy_only=False)
    if zoned.all() or not zoned.any():
        return ()
    count = int(np.count_nonzero(zoned[codes]))
    return (f"{count} of {len(codes)} times state a time zone, and the others are read as UTC",)


def _text(text: str) -> pa.Scalar:
    return pa.scalar(text, pa.large_string())


def _parse_dates(texts: pa.Array) -> tuple[IntArray, int | None] | None:
    """Returns the ticks of ISO dates, and the number of ticks per second.

    The times are in nanoseconds if any of them has a fraction, and otherwise in seconds. If the nanoseconds do not fit
    into int64, the ticks are ranks and their number per second is None. The result is None if a text names a day, a
    time or an offset that does not exist.
    """
    parts = pc.extract_regex(texts, ISO)
    day, clock, fraction, zone = (parts.field(place) for place in range(4))
    whole = pc.binary_join_element_wise(day, pc.if_else(pc.equal(clock, ""), "00:00:00", clock), _text("T"))
    whole = pc.if_else(
        pc.equal(pc.utf8_length(whole), 16), pc.binary_join_element_wise(whole, _text(":00"), _text("")), whole
    )
    try:
        seconds = np.asarray(whole.cast(pa.timestamp("s")).cast(pa.int64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        return None
    digits = pc.replace_substring_regex(zone, "UTC|[Z:]", "")
    shift = pc.if_else(pc.equal(digits, ""), "+0000", pc.utf8_rpad(digits, 5, "0"))
    hours, minutes = (
        np.asarray(pc.utf8_slice_codeunits(shift, start, start + 2).cast(pa.int64()).to_numpy()) for start in (1, 3)
    )
    if (hours > 23).any() or (minutes > 59).any():
        return None
    west = pc.equal(pc.utf8_slice_codeunits(shift, 0, 1), "-").to_numpy(zero_copy_only=False)
    seconds = seconds + np.where(west, 1, -1) * (hours * 3600 + minutes * 60)
    nanos = pc.utf8_slice_codeunits(pc.utf8_rpad(fraction, DECIMALS, "0"), 0, DECIMALS).cast(pa.int64()).to_numpy()
    if not nanos.any():
        return seconds, 1
    if np.abs(seconds).max() > LARGEST // TICKS - 1:
        return np.unique(np.stack([seconds, nanos], axis=1), axis=0, return_inverse=True)[1].astype(np.int64), None
    return seconds * TICKS + nanos, TICKS
