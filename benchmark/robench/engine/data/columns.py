"""Checks that the columns of a raw log are consistent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.dataset import PARTS, Ids, Ratings
from robench.api.errors import DataError


def check_columns(ratings: Ratings) -> None:
    """Checks that a log is not empty, and that its columns are consistent.

    Without these checks, a faulty log could silently lose rows, mix up users, or lose the order of events.

    Raises:
        DataError: if the log has no rows, if a column has the wrong type, shape or length, if an id is missing, or if
            ``Ids`` has an invalid code or a repeated name. The error is also raised if a rating is not finite, if a
            time does not fit into int64, or if a part is not 0, 1 or 2.
    """
    n = len(ratings.users)
    if n == 0:
        raise DataError("the data set has no rows")
    for name in ("items", "times", "ratings", "parts"):
        column = getattr(ratings, name)
        if column is not None and len(column) != n:
            raise DataError(f"{n} users but {len(column)} {name}")
    for kind in ("users", "items"):
        _check_ids(kind, getattr(ratings, kind))
    for name in ("times", "ratings", "parts"):
        column = getattr(ratings, name)
        if column is not None and (not isinstance(column, np.ndarray) or column.ndim != 1):
            raise DataError(f"{name} must be an array of one dimension")
    if ratings.ratings is not None:
        _check_ratings(ratings.ratings)
    if ratings.times is not None:
        _check_times(ratings.times)
    if (parts := ratings.parts) is not None and (
        parts.dtype.kind not in "iu" or not 0 <= parts.min() <= parts.max() < len(PARTS)
    ):
        raise DataError("parts must be 0 for training, 1 for validation or 2 for test")


def _check_ids(kind: str, ids: object) -> None:
    """Checks a column of ids.

    Args:
        kind: ``users`` or ``items``.
        ids: the column.

    Raises:
        DataError: if the column is neither ``Ids`` nor an array of one dimension, if ``Ids`` has an invalid code or a
            repeated name, or if an id is missing.
    """
    if isinstance(ids, Ids):
        codes = ids.codes
        if not isinstance(codes, np.ndarray) or codes.ndim != 1 or codes.dtype.kind not in "iu":
            raise DataError(f"the codes of {kind} must be an array of whole numbers")
        if not 0 <= codes.min() <= codes.max() < len(ids.names):
            raise DataError(f"the codes of {kind} must be from 0 to {len(ids.names) - 1}")
        if len(set(ids.names)) < len(ids.names):
            raise DataError(f"the names of {kind} must be distinct")
        return
    if not isinstance(ids, np.ndarray) or ids.ndim != 1:
        raise DataError(f"{kind} must be an array of one dimension")
    missing: list[int] = []
    if ids.dtype.kind == "f":
        missing = np.flatnonzero(np.isnan(ids)).tolist()
    elif ids.dtype.kind == "O":
        missing = [row for row, one in enumerate(ids.tolist()) if _is_missing(one)]
    if missing:
        raise DataError(f"row {missing[0] + 1} of {kind} has no id")


def _is_missing(one: object) -> bool:
    """Returns whether a value is None or NaN."""
    return one is None or (isinstance(one, float) and math.isnan(one))


def _check_ratings(ratings: NDArray[Any]) -> None:
    """Checks that ratings are finite numbers.

    Raises:
        DataError: if a rating is not a finite number.
    """
    if ratings.dtype.kind not in "iuf":
        raise DataError(f"ratings must be numbers, not {ratings.dtype}")
    finite = np.isfinite(ratings)
    if not finite.all():
        raise DataError(f"the rating of row {int(np.flatnonzero(~finite)[0]) + 1} is not a number")


def _check_times(times: NDArray[Any]) -> None:
    """Checks that times are whole numbers that fit into int64.

    Raises:
        DataError: if the times are not integers, or if a time is 2⁶³ or more.
    """
    if times.dtype.kind not in "iu":
        raise DataError(f"times must be whole numbers of ticks, not {times.dtype}")
    if times.dtype.kind == "u" and times.max() > np.iinfo(np.int64).max:
        raise DataError(f"the time of row {int(times.argmax()) + 1} does not fit into int64")
