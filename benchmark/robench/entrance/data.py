"""Returns the summaries of data sets as a pandas frame."""

from __future__ import annotations

from typing import Any

import pandas as pd

from robench.api.summary import QUANTILES, DataSummary
from robench.tables.data import DataRow, build_data_rows
from robench.tables.results import Results

COUNTS = ("rows", "low_ratings", "repeats", "outside_core", "interactions", "users", "items")
PARTS = ("train", "validation", "test")
TEXTS = ("dataset", "split", "first", "last")
FIELDS = ("title", "year", "genres", "description")


def data_frame_of(results: Results) -> pd.DataFrame:
    """Returns a frame with one row per data set and split.

    Columns of strings have the dtype ``string``, and counts have ``Int64``. ``equal_times`` has float64. ``notes``
    holds tuples of strings.
    """
    rows = [_columns(row) for row in build_data_rows(results)]
    names = _columns(DataRow("", "", DataSummary()))
    return pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=_dtype(name)) for name in names})


def _columns(row: DataRow) -> dict[str, Any]:
    """Returns the values of a row by column name."""
    summary = row.summary
    return {
        "dataset": row.dataset,
        "split": row.split,
        **{name: getattr(summary, name) for name in COUNTS},
        **dict(zip(PARTS, summary.parts, strict=True)),
        "known": summary.known,
        "evaluated": summary.evaluated,
        "first": summary.first or None,
        "last": summary.last or None,
        "equal_times": summary.equal_times,
        **{f"per_user_{name}": value for name, value in zip(QUANTILES, summary.per_user, strict=True)},
        **{f"per_item_{name}": value for name, value in zip(QUANTILES, summary.per_item, strict=True)},
        **{f"with_{name}": summary.described.get(name, 0) for name in FIELDS},
        "profiles": summary.profiles,
        "notes": summary.notes,
    }


def _dtype(name: str) -> str:
    if name in TEXTS:
        return "string"
    return "object" if name == "notes" else "float64" if name == "equal_times" else "Int64"
