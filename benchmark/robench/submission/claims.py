"""Reads the claims of an author and compares claims with measured rows."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from robench.api.errors import UserError, counted, did_you_mean
from robench.files.reading import read_file
from robench.report.leaderboard import name_worst_case
from robench.report.numbers import format_interval, format_number
from robench.submission.details import LARGEST, Claim
from robench.submission.rows import describe_row, name_row, named_rows
from robench.suite.numerals import suggest_number
from robench.suite.yaml import parse
from robench.tables.build import Tables
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.results import Results

NEEDED = ("model", "value", "source")
FILTERS = ("dataset", "split", "surface", "norm", "goal", "epsilon", "metric", "model", "defence", "lambda")
COLUMN = "column"
KEYS = (*FILTERS, COLUMN, "value", "source")


def read_claims(path: Path, tables: Tables) -> list[Claim]:
    """Reads a file of claims and finds the row of each claim.

    Args:
        path: a CSV file with a header, or a YAML file with a list of mappings.
        tables: the tables that contain the rows.

    Raises:
        UserError: if the file is missing or cannot be read, if an entry of a claim is unknown, missing or invalid, or
            if a claim does not name exactly one row.
    """
    claims = []
    for number, entry in _entries(path):
        where = f"{path}:{number}"
        for key in entry:
            if key not in KEYS:
                raise UserError(f"unknown entry {key!r:.80}", where=where, hint=did_you_mean(str(key), KEYS))
        for key in NEEDED:
            if entry.get(key) in (None, ""):
                raise UserError(f"the claim has no {key}", where=where, hint=f"a claim needs {', '.join(NEEDED)}")
        claims.append(_find(entry, where, tables))
    return claims


def _entries(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yields the entries of each claim, preceded by a number.

    The number is the line of a CSV file, or the position in a YAML list, starting at 1.

    Raises:
        UserError: if the file is missing or cannot be read, or if a YAML file holds no list of mappings.
    """
    try:
        text = read_file(path, LARGEST).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError("no such file", where=str(path)) from None
    except UnicodeDecodeError:
        raise UserError("not UTF-8", where=str(path)) from None
    if path.suffix.lower() == ".csv":
        reader = csv.DictReader(io.StringIO(text))
        for row in reader:
            yield reader.line_num, {str(key): value for key, value in row.items() if value not in (None, "")}
        return
    content = parse(text, str(path)).data
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise UserError("a list of claims is needed, each of them a mapping", where=str(path))
    yield from enumerate(content, 1)


def _find(entry: Mapping[str, Any], where: str, tables: Tables) -> Claim:
    """Returns the claim for the only row that an entry names.

    Raises:
        UserError: if there is no such row, if there are several, if the row has no such value, or if the entry's column
            or value is invalid.
    """
    wanted = {name: str(entry[name]) for name in FILTERS if entry.get(name) is not None}
    rows = [
        (table, row)
        for table in tables.leaderboard
        for row in table.rows
        if all(_matches(_facts(table, row)[name], text) for name, text in wanted.items())
    ]
    if len(rows) != 1:
        hint = "name more of " + ", ".join(name for name in FILTERS if name not in wanted)
        known = ", ".join(dict.fromkeys(row.key.model_label for table in tables.leaderboard for row in table.rows))
        problem = f"the claim names {counted(len(rows), 'row')} instead of one"
        raise UserError(problem, where=where, hint=hint if rows else f"models: {known}")
    table, row = rows[0]
    column = str(entry.get(COLUMN, "worst"))
    if column not in ("clean", "worst"):
        raise UserError(f"a claim is about clean or worst, not {column!r:.80}", where=where)
    if (row.clean if column == "clean" else row.worst) is None:
        raise UserError(f"the row has no value {column}", where=where)
    try:
        value = float(entry["value"])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        hint = suggest_number(str(entry["value"]))
        raise UserError(f"a value is a number, not {entry['value']!r:.80}", where=where, hint=hint)
    named = {**name_row(table, row)._asdict(), "threat": list(name_row(table, row).threat)}
    source = " ".join(str(entry["source"]).split())[:200]
    return Claim(**named, column="clean" if column == "clean" else "worst", value=value, source=source)


def _facts(table: LeaderboardTable, row: LeaderboardRow) -> dict[str, str]:
    """Returns the values of a row that a claim can name."""
    threat, key = table.threat, row.key
    place = {"dataset": table.dataset, "split": table.split, "surface": threat.surface, "norm": threat.norm}
    rest = {"goal": threat.goal, "epsilon": f"{table.epsilon:g}", "metric": str(table.metric)}
    victim = {"model": key.model_label, "defence": key.defense_label, "lambda": f"{key.lambda_:g}"}
    return {**place, **rest, **victim}


def _matches(fact: str, text: str) -> bool:
    try:
        return fact == text or float(fact) == float(text)
    except ValueError:
        return False


def compare_claims(claims: Sequence[Claim], tables: Tables, results: Results) -> tuple[list[str], list[str]]:
    """Compares claims with the rows of tables.

    A claim is met if it is not better for the defender than the better end of the row's 95% interval.

    Args:
        claims: the claims.
        tables: the tables, computed from the arrays of the cells.
        results: the results of the folder, which contain the metrics.

    Returns:
        The lines about the claims that are met, and the lines about all other claims.
    """
    met: list[str] = []
    unmet: list[str] = []
    rows = named_rows(tables)
    for claim in claims:
        if claim.row not in rows:
            unmet.append(f"claim not met: no table has the row {claim.model}, {claim.defence} λ={claim.weight:g}")
            continue
        table, row = rows[claim.row]
        high = results.metric(table.metric).prefers_high(table.threat)
        interval = row.clean_interval if claim.column == "clean" else row.worst_interval
        column = "clean" if claim.column == "clean" else name_worst_case(table)
        values = f"{column} {format_number(claim.value)} reported, {format_interval(interval)} measured"
        line = f"{describe_row(table, row)}: {values} (source: {claim.source})"
        if interval is not None and (claim.value <= interval.high if high else claim.value >= interval.low):
            met.append(f"claim met: {line}")
        else:
            unmet.append(f"claim not met: {line}")
    return met, unmet
