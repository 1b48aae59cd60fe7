"""Writes the tables of a folder to disk: CSV, JSON, Markdown and the page."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from robench.api.errors import UserError
from robench.files.atomic import write_text
from robench.report.markdown import to_markdown
from robench.report.page import to_page
from robench.tables.build import FORMAT_VERSION, Tables
from robench.tables.columns import CELLS, LEADERBOARD, TIMINGS


def write_tables(tables: Tables, folder: Path) -> None:
    """cells.csv, leaderboard.csv, .json and .md, timings.csv, index.html; each whole or not at all, the page last.

    Raises:
        UserError: the folder cannot be written.
    """
    for name, text in _texts(tables).items():
        _write(folder / name, text)
    _write(folder / "index.html", to_page(tables))  # pictures are another program's: the tables are safe by then


def _write(path: Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}", where=str(path)) from None


def _texts(tables: Tables) -> dict[str, str]:
    content = {
        "format_version": FORMAT_VERSION,
        "suite": tables.suite,
        "metric_versions": tables.metric_versions,
        "cells": tables.counts,
        "tables": tables.tables,
        "poisoning": tables.poisoning,
        "radii": tables.radii,
        "ensembles": tables.ensembles,
        "curves": tables.curves,
        "clean": tables.clean,
        "defenses": tables.defenses,
        "failures": tables.failures,
        "skipped": tables.skipped,
        **({"twins": tables.twins} if tables.twins else {}),
        **({"rewritten": tables.rewritten} if tables.rewritten else {}),
        **({"stages": tables.stages} if tables.stages else {}),
    }
    return {
        "cells.csv": to_csv(CELLS, tables.cells),
        "leaderboard.csv": to_csv(LEADERBOARD, tables.rows()),
        "timings.csv": to_csv(TIMINGS, tables.timings),
        "leaderboard.json": json.dumps(plain(content), indent=1, ensure_ascii=False) + "\n",
        "leaderboard.md": to_markdown(tables),
    }


def to_csv(columns: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """CSV text; numbers to 10 digits, empty where there is no value."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = list(columns)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(row.get(name)) for name in names])
    return buffer.getvalue()


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return format(value, ".10g") if isinstance(value, float) else str(value)


def plain(value: Any) -> Any:
    """JSON types without NaN or infinity (null), numbers to 10 digits."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return float(format(value, ".10g")) if math.isfinite(value) else None
    return value
