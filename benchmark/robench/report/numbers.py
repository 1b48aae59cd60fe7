"""How numbers, intervals, ranks and defences are written in every report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from robench.api.threat import Threat
from robench.report.blocks import Grid
from robench.spec import RowKey
from robench.tables.leaderboard import LeaderboardRow
from robench.tables.stats import Interval
from robench.tables.twins import TwinRow


def number(value: float | None, digits: int = 4) -> str:
    """Writes ``.0432``, or a dash if there is no value."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    if not float(text):
        text = text.lstrip("-")  # a mean of −1e-17 is 0
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def bounded(interval: Interval | None) -> str:
    """Writes a mean with its bounds: ``.0432 [.0401, .0466]``."""
    if interval is None:
        return "–"
    return f"{number(interval.mean)} {bounds(interval)}"


def bounds(interval: Interval) -> str:
    """Writes ``[.0401, .0466]``."""
    return f"[{number(interval.low)}, {number(interval.high)}]"


def ranks(row: LeaderboardRow) -> str:
    """Writes ``2 (1–3)``: the rank, and the range of ranks that the data do not tell apart."""
    if row.rank is None:
        return ""
    low, high = row.rank_low, row.rank_high
    return f"{row.rank}" if low == high else f"{row.rank} ({low}–{high})"


def defense(key: RowKey, own_weights: Mapping[str, float] | None = None) -> str:
    """Writes ``adversarial-training λ=0.5``, if given also with λ in the defence's own terms."""
    if key.lambda_ == 1:
        return key.defense_label
    own = "".join(f", {name} {value:g}" for name, value in (own_weights or {}).items())
    return f"{key.defense_label} λ={key.lambda_:g}{own}"


def victim(key: RowKey, own_weights: Mapping[str, float] | None = None) -> str:
    """Writes ``lstm, adversarial-training λ=0.5``."""
    return f"{key.model_label}, {defense(key, own_weights)}"


def places(keys: Sequence[RowKey]) -> list[str]:
    """Writes the data set of every row, with its split if there are several; empty if all rows are of one."""
    splits = {key.split for key in keys}
    names = [", ".join(key.place) if len(splits) > 1 else key.dataset for key in keys]
    return names if len(set(names)) > 1 else [""] * len(keys)


def placed(keys: Sequence[RowKey], head: list[str], body: list[list[str]]) -> Grid:
    """Returns a table of rows, with the data set as its first column if there are several."""
    where = places(keys)
    if not any(where):
        return Grid(head, body)
    return Grid(["data", *head], [[place, *line] for place, line in zip(where, body, strict=True)])


def unit_of(threat: Threat) -> str:
    """Writes what stands behind an ε, with a blank before it: nothing if it is relative, as most are."""
    if threat.norm == "edits":
        return " of the history" if threat.scale == "relative" else " edits"
    return "" if threat.scale == "relative" else f" ({threat.scale})"


def twins_title(row: TwinRow) -> str:
    """Writes the data, the threat, the attack and its ε of a row about twins."""
    place = ", ".join((*row.key.place, row.threat.surface, row.threat.norm))
    return f"{place}: {row.attack_label} at ε = {row.epsilon:g}{unit_of(row.threat)}"
