"""Formats numbers, intervals, ranks and defences for all reports."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from robench.api.threat import Threat
from robench.report.blocks import Grid
from robench.spec import RowKey
from robench.tables.leaderboard import LeaderboardRow
from robench.tables.rows import Flag
from robench.tables.stats import Interval
from robench.tables.twins import TwinRow


def format_number(value: float | None, digits: int = 4) -> str:
    """Returns a number such as ``.0432``, or a dash for None, NaN and infinity."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:z.{digits}f}"  # z avoids the output -.0000 for a mean of −1e-17
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def format_count(value: float | None) -> str:
    """Returns a mean count such as ``1,900``, or a dash for None.

    A count below 100 has three digits.
    """
    if value is None:
        return "–"
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"


def format_interval(interval: Interval | None) -> str:
    """Returns a mean with its bounds, such as ``.0432 [.0401, .0466]``, or a dash."""
    if interval is None:
        return "–"
    return f"{format_number(interval.mean)} {format_bounds(interval)}"


def format_bounds(interval: Interval) -> str:
    """Returns the bounds of an interval, such as ``[.0401, .0466]``."""
    return f"[{format_number(interval.low)}, {format_number(interval.high)}]"


def format_rank(row: LeaderboardRow) -> str:
    """Returns a rank and the ranks that the data allow, such as ``2 (1–3)``.

    The string is empty if the row has no rank.
    """
    if row.rank is None:
        return ""
    low, high = row.rank_low, row.rank_high
    return f"{row.rank}" if low == high else f"{row.rank} ({low}–{high})"


def format_defense(key: RowKey, own_weights: Mapping[str, float] | None = None) -> str:
    """Returns a defence with its λ, such as ``adversarial-training λ=0.5``.

    If λ = 1, only the defence is named. Otherwise, ``own_weights`` are added if they are given. These are the weights
    by which the defence's own paper expresses λ.
    """
    if key.lambda_ == 1:
        return key.defense_label
    own = "".join(f", {name} {value:g}" for name, value in (own_weights or {}).items())
    return f"{key.defense_label} λ={key.lambda_:g}{own}"


def format_attack(label: str, epsilon: float) -> list[str]:
    """Returns an attack's label and its ε, or two dashes if there is no attack."""
    return ["–", "–"] if label == "none" else [label, f"{epsilon:g}"]


def format_victim(key: RowKey, own_weights: Mapping[str, float] | None = None) -> str:
    """Returns a model with its defence, such as ``lstm, adversarial-training λ=0.5``."""
    return f"{key.model_label}, {format_defense(key, own_weights)}"


def format_flag(flag: Flag) -> str:
    """Returns a flag in bold, with its reason and its numbers."""
    return f"**{flag.flag}**: {flag.why} ({_numbers(flag)})."


def format_flag_numbers(flag: Flag) -> str:
    """Returns a flag in bold with its numbers."""
    return f"**{flag.flag}**: {_numbers(flag)}"


def _numbers(flag: Flag) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in flag.numbers.items())


def name_places(keys: Sequence[RowKey]) -> list[str]:
    """Returns the data set of every row, with the split if there are several splits.

    The names are empty if all rows have the same data set and split.
    """
    splits = {key.split for key in keys}
    names = [", ".join(key.place) if len(splits) > 1 else key.dataset for key in keys]
    return names if len(set(names)) > 1 else [""] * len(keys)


def build_grid(keys: Sequence[RowKey], head: list[str], body: list[list[str]]) -> Grid:
    """Returns a grid with the given header and body.

    If the rows belong to several data sets or splits, the first column shows them.
    """
    where = name_places(keys)
    if not any(where):
        return Grid(head, body)
    return Grid(["data", *head], [[place, *line] for place, line in zip(where, body, strict=True)])


def format_unit(threat: Threat, epsilon: float | None = None) -> str:
    """Returns the unit of ε after a space, or an empty string if ε has no unit.

    The unit is in the singular if ``epsilon`` is 1.
    """
    if threat.surface == "history":
        return " of the history" if threat.scale == "relative" else " edit" if epsilon == 1 else " edits"
    return "" if threat.scale == "relative" else f" ({threat.scale})"


def format_twins_title(row: TwinRow) -> str:
    """Returns the title of a row about twins: data, surface, norm, attack and ε."""
    place = ", ".join((*row.key.place, row.threat.surface, row.threat.norm))
    return f"{place}: {row.attack_label} at ε = {row.epsilon:g}{format_unit(row.threat, row.epsilon)}"
