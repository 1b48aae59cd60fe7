"""Writes the tables of a folder to disk: CSV, JSON, Markdown and the page."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from robench.api.codec import column_groups, columns, encode
from robench.api.escapes import csv_text
from robench.files.atomic import write_text
from robench.files.writing import naming
from robench.report.markdown import to_markdown
from robench.report.page import to_page
from robench.spec import TRIALS_FILE
from robench.store.plan_file import PlanFile
from robench.tables.build import Tables
from robench.tables.cells import TimingRow, ValueRow
from robench.tables.leaderboard import LeaderboardRow

FORMAT_VERSION = 1  # the version of leaderboard.json
TABLE_FILES = (
    *("cells.csv", "leaderboard.csv", "leaderboard.json", "leaderboard.md", "timings.csv"),
    "index.html",
)
PUBLISHED = ("suite.yaml", "plan.json", *TABLE_FILES)  # the published files that do not hold cells
DRAWERS = ("robench", "numpy", "altair", "jinja2", "vl-convert-python")  # the packages whose versions affect the page


def published_files(plan: PlanFile) -> list[str]:
    """Returns the names of a folder's published files, without those of the archive."""
    return [*PUBLISHED, *([TRIALS_FILE] if plan.tuned is not None else [])]


def write_tables(tables: Tables, folder: Path) -> None:
    """Writes every file of the leaderboard, each of them atomically.

    Raises:
        UserError: if the folder cannot be written.
    """
    with naming(folder):
        for name, text in build_texts(tables).items():
            write_text(folder / name, text)
        write_text(folder / "index.html", to_page(tables))  # last, because another program draws the pictures


def build_texts(tables: Tables) -> dict[str, str]:
    """Returns the text of every file except the page, by file name."""
    return {
        "cells.csv": to_csv(ValueRow, tables.values),
        "leaderboard.csv": to_csv(LeaderboardRow, tables.csv_rows()),
        "timings.csv": to_csv(TimingRow, tables.timings),
        "leaderboard.json": to_json(tables),
        "leaderboard.md": to_markdown(tables),
    }


def to_json(tables: Tables) -> str:
    """Returns the text of leaderboard.json."""
    content = {
        "format_version": FORMAT_VERSION,
        "suite": tables.suite,
        **({"published": tables.published} if tables.published else {}),
        **({"incomplete": tables.incomplete} if tables.incomplete else {}),
        "metric_versions": tables.metric_versions,
        "cells": tables.counts,
        "tables": tables.leaderboard,
        "poisoning": tables.poisoning,
        "radii": tables.radii,
        "ensembles": tables.ensembles,
        "curves": tables.curves,
        "clean": tables.clean,
        "defenses": tables.defences,
        "failures": tables.failures,
        "skipped": tables.skipped,
        **({"data": tables.data} if tables.data else {}),
        **({"inputs": tables.inputs} if tables.inputs else {}),
        **({"twins": tables.twins} if tables.twins else {}),
        **({"rewritten": tables.titles} if tables.titles else {}),
        **({"stages": tables.reranking} if tables.reranking else {}),
        **({"detection": tables.detection} if tables.detection else {}),
        **({"certificates": tables.certificates} if tables.certificates else {}),
        **({"privacy": tables.privacy} if tables.privacy else {}),
        **({"membership": tables.membership} if tables.membership else {}),
        **({"training_defenses": tables.training_defences} if tables.training_defences else {}),
        **({"slices": tables.slices} if tables.slices else {}),
        **({"transfer": tables.transfer} if tables.transfer else {}),
    }
    return json.dumps(round_numbers(encode(content)), indent=1, ensure_ascii=False) + "\n"


def to_csv(row: type, rows: Iterable[object]) -> str:
    """Returns rows as CSV text, with numbers rounded to 10 significant digits.

    A missing value, NaN or infinity is an empty field. Strings are escaped by ``csv_text``, so no spreadsheet executes
    them.

    Args:
        row: the dataclass of the rows. Its fields are the columns.
        rows: the instances of this dataclass.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    groups = column_groups(row)
    writer.writerow(columns(row))
    last: dict[str, tuple[object, list[str]]] = {}  # the rows of a cell share an inline part and its fields
    for one in rows:
        line: list[str] = []
        for attribute, inlined, names in groups:
            part = getattr(one, attribute)
            if not inlined:
                line.append(_field(encode(part)))
                continue
            if attribute not in last or last[attribute][0] is not part:
                plain = dict.fromkeys(names) if part is None else encode(part)
                last[attribute] = part, [_field(plain[name]) for name in names]
            line += last[attribute][1]
        writer.writerow(line)
    return buffer.getvalue()


def _field(value: object) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    if isinstance(value, float):
        return format(value, ".10g")
    return csv_text(value) if isinstance(value, str) else str(value)


def round_numbers(value: Any) -> Any:
    """Returns a JSON value with its floats rounded to 10 significant digits.

    NaN and infinity become null.
    """
    if isinstance(value, Mapping):
        return {key: round_numbers(part) for key, part in value.items()}
    if isinstance(value, list):
        return [round_numbers(part) for part in value]
    if isinstance(value, float):
        return float(format(value, ".10g")) if math.isfinite(value) else None
    return value
