"""How numbers, intervals, ranks and defences are written in every report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from robench.report.blocks import Grid


def number(value: Any, digits: int = 4) -> str:
    """``.0432``; a dash where there is no value."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    text = f"{value:.{digits}f}"
    if not float(text):
        text = text.lstrip("-")  # a mean of −1e-17 is 0
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def spread(row: Mapping[str, Any], name: str) -> str:
    """``.0432 [.0401, .0466]``."""
    if row[name] is None:
        return "–"
    return bounded((row[name], row[f"{name}_low"], row[f"{name}_high"]))


def bounded(interval: Sequence[Any] | None) -> str:
    """A mean, its lower and its upper bound."""
    return "–" if interval is None else f"{number(interval[0])} [{number(interval[1])}, {number(interval[2])}]"


def ranks(row: Mapping[str, Any]) -> str:
    """``2 (1–3)``: the rank, and the range of ranks that the data do not tell apart."""
    if row["rank"] is None:
        return ""
    low, high = row["rank_low"], row["rank_high"]
    return f"{row['rank']}" if low == high else f"{row['rank']} ({low}–{high})"


def defense(row: Mapping[str, Any]) -> str:
    """``adversarial-training λ=0.5``; in a leaderboard also λ in the defence's own terms."""
    if row["lambda"] == 1:
        return str(row["defense_label"])
    own = "".join(f", {name} {value:g}" for name, value in row.get("own_weights", {}).items())
    return f"{row['defense_label']} λ={row['lambda']:g}{own}"


def places(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The data set of every row, with its split where there are several; empty where all rows are of one."""
    splits = {row["split"] for row in rows}
    found = [", ".join((row["dataset"], row["split"])) if len(splits) > 1 else str(row["dataset"]) for row in rows]
    return found if len(set(found)) > 1 else [""] * len(rows)


def placed(rows: Sequence[Mapping[str, Any]], head: list[str], body: list[list[str]]) -> Grid:
    """A table of these rows, with the data set as its first column where there are several."""
    where = places(rows)
    if not any(where):
        return Grid(head, body)
    return Grid(["data", *head], [[place, *line] for place, line in zip(where, body, strict=True)])


def unit_of(row: Mapping[str, Any]) -> str:
    """What stands behind an ε: nothing where it is relative, as most are; else with a blank before it."""
    if row["norm"] == "edits":
        return " of the history" if row["scale"] == "relative" else " edits"
    return "" if row["scale"] == "relative" else f" ({row['scale']})"


def twins_title(row: Mapping[str, Any]) -> str:
    """The data, the threat, the attack and its ε of a row of ``twins``."""
    place = ", ".join((row["dataset"], row["split"], row["surface"], row["norm"]))
    return f"{place}: {row['attack_label']} at ε = {row['epsilon']:g}{unit_of(row)}"
