"""Builds the heat maps of the page: attacks by undefended models.

Each cell of a heat map has a number and a shade, so a heat map can be read without colours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from robench.report.numbers import format_number, format_unit
from robench.report.page.details import Point
from robench.spec import RowKey
from robench.tables.build import Tables
from robench.tables.leaderboard import LeaderboardTable
from robench.tables.results import grouped

SHADES = 9  # the darkest shade; 0 has no colour


@dataclass(frozen=True)
class Shade:
    """A cell of a heat map: its text, and its shade from 0 to ``SHADES``."""

    text: str
    shade: int


@dataclass(frozen=True)
class HeatMap:
    """A table of attacks by models.

    Args:
        caption: what the table shows.
        models: the columns.
        lines: the rows, each with the name of an attack.
    """

    caption: str
    models: Sequence[str]
    lines: Sequence[tuple[str, Sequence[Shade]]]


def build_heat_maps(tables: Tables, points: Mapping[RowKey, Sequence[Point]]) -> list[HeatMap]:
    """Returns a heat map per data set, split and metric.

    A heat map with only one model or only one attack is left out.

    Args:
        tables: the tables of the folder.
        points: the points of every row. See ``group_points``.
    """
    groups = grouped(tables.leaderboard, lambda table: (table.dataset, table.split, table.metric, table.rise))
    maps = [_heat_map(some, points) for some in groups.values()]
    return [one for one in maps if len(one.models) > 1 and len(one.lines) > 1]


def _heat_map(tables: Sequence[LeaderboardTable], points: Mapping[RowKey, Sequence[Point]]) -> HeatMap:
    first, threats = tables[0], {table.threat for table in tables}
    keys = list(dict.fromkeys(row.key for table in tables for row in table.rows if not row.key.defended))
    values: dict[tuple[str, float, str], dict[RowKey, float]] = {}
    clean: dict[RowKey, float] = {}
    for key in keys:
        for point in points.get(key, ()):
            value = point.values.get(first.metric)
            if value is None:
                continue
            if point.threat is None:
                clean[key] = value
            elif point.threat in threats:
                name = (point.attack_label, point.epsilon, format_unit(point.threat, point.epsilon))
                values.setdefault(name, {})[key] = value
    attacked = [key for key in keys if any(key in line for line in values.values())]
    most = max((value for line in values.values() for value in line.values()), default=0.0)
    lines = [
        (f"{label}, ε = {epsilon:g}{unit}", [_shade(first, line.get(key), clean.get(key), most) for key in attacked])
        for (label, epsilon, unit), line in values.items()
    ]
    place = f"{first.dataset}, {first.split}"
    what = (
        f"{first.metric} under each attack; a dark cell is a high value, which is what the attack wants"
        if first.rise
        else f"the share of the clean {first.metric} that is left under each attack; a dark cell is a great loss"
    )
    caption = f"{place}: {what}. Models are undefended, and values are means over seeds."
    return HeatMap(caption, [key.model_label for key in attacked], lines)


def _shade(table: LeaderboardTable, value: float | None, clean: float | None, most: float) -> Shade:
    if value is None or (not table.rise and not clean):
        return Shade("–", 0)
    if table.rise:
        return Shade(format_number(value), _bounded(value / most if most > 0 else 0.0))
    share = value / (clean or 1.0)
    return Shade(f"{100 * share:.0f}%", _bounded(1 - share))


def _bounded(strength: float) -> int:
    return round(SHADES * min(1.0, max(0.0, strength)))
