"""Builds the charts below a ranking table.

They show the worst cases along ε, and the Pareto front.

Each chart is a panel of one model, so the panels fit a phone and a printed page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import altair as alt

from robench.report.charts import Point, VegaLite, make_chart, style_chart
from robench.report.leaderboard import name_worst_case
from robench.report.numbers import format_defense, format_interval, format_number, format_unit, format_victim
from robench.spec import RowKey
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.page_values import Curve, PageValues
from robench.tables.results import grouped

MOST_LINES = 6  # the most lines in a panel
MOST_PANELS = 12  # the most panels of a picture
LETTERS = 24  # the most letters of a name beside a line
COLOURS = ("#7a7f87", "#2f7fd1", "#c9601a", "#1f8f5f", "#b04fa0", "#8f7d12")  # visible on white and on black paper
WIDE, HIGH, LINE = 170, 160, 12  # the size of a plot, and the height of a name, in pixels


def letter_of(number: int) -> str:
    """Returns the letters of a number, such as ``A`` for 0 and ``AA`` for 26."""
    return (letter_of(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)


def build_curve_panels(table: LeaderboardTable, more: PageValues) -> tuple[str, list[VegaLite]]:
    """Returns a caption, and one chart per model with the worst cases along ε.

    A panel has at most ``MOST_LINES`` lines: the undefended twin, and the ranked defended rows with the best worst
    cases. Models that are not ranked against each other have separate axes. At most ``MOST_PANELS`` models have a
    panel.

    There are no panels if the attacks have fewer than two values of ε above 0.
    """
    rows = [row for row in table.rows if row.key in more.curves and (row.rank is not None or not row.key.defended)]
    groups = grouped(rows, lambda row: row.key.model_key)
    budgets = {epsilon for curve in more.curves.values() for epsilon, _ in curve}
    if len(budgets) < 3:
        return "", []
    chosen = [_choose(some, rise=table.rise) for some in [*groups.values()][:MOST_PANELS]]
    tops = [max(value.high for row in some for _, value in more.curves[row.key]) for some in chosen]
    if table.threat.ranks_models:
        tops = [max(tops)] * len(tops)
    panels = [_curve_panel(table, some, more.curves, max(budgets), top) for some, top in zip(chosen, tops, strict=True)]
    cut = any(len(some) < len(of) for some, of in zip(chosen, groups.values(), strict=False))
    few = (
        f" A panel shows the undefended twin and the {MOST_LINES - 1} best ranked rows; the table has the others."
        if cut
        else ""
    )
    caption = (
        f"{table.metric} under the worst case within ε, one panel per model and one line per defence, with 95% "
        f"intervals. Points are moved sideways so that intervals do not hide each other.{few}{_rest(len(groups))}"
    )
    return caption, panels


def _rest(models: int) -> str:
    """Returns a sentence if a picture leaves out models, or an empty string."""
    return f" The picture shows the first {MOST_PANELS} of {models} models." if models > MOST_PANELS else ""


def _choose(rows: Sequence[LeaderboardRow], *, rise: bool) -> list[LeaderboardRow]:
    """Returns at most ``MOST_LINES`` rows: the twin, then the best defended rows."""
    twins = [row for row in rows if not row.key.defended]
    defended = [row for row in rows if row.key.defended and row.worst is not None]
    defended.sort(key=lambda row: row.worst or 0.0, reverse=not rise)
    return [*twins[:MOST_LINES], *defended][:MOST_LINES]


def _curve_panel(
    table: LeaderboardTable,
    rows: Sequence[LeaderboardRow],
    curves: Mapping[RowKey, Curve],
    most: float,
    top: float,
) -> VegaLite:
    points: list[dict[str, str | float]] = []
    same = len({row.key.lambda_ for row in rows if row.key.defended}) <= 1
    for place, row in enumerate(rows):
        name = row.key.defense_label if same else format_defense(row.key)
        shift = (place - (len(rows) - 1) / 2) * most * 0.012
        for epsilon, value in curves[row.key]:
            label = f"{format_victim(row.key, row.own_weights)}, ε = {epsilon:g}: {format_interval(value)}"
            points.append(
                {
                    "line": name,
                    "ε": epsilon + (shift if epsilon else 0.0),
                    "value": value.mean,
                    "low": value.low,
                    "high": value.high,
                    "label": label,
                }
            )
    names = list(dict.fromkeys(str(point["line"]) for point in points))
    ends = {str(point["line"]): float(point["value"]) for point in points}
    y = alt.Y("value:Q", title=str(table.metric), scale=alt.Scale(domain=[0, top], nice=False), axis=_axis())
    x = alt.X("ε:Q", title=f"ε{format_unit(table.threat)}", scale=alt.Scale(domain=[0, most * 1.05], nice=False))
    color = alt.Color("line:N", sort=names, legend=None, scale=alt.Scale(domain=names, range=list(COLOURS)))
    base = make_chart(points).encode(x=x, color=color)
    bars = base.mark_rule(opacity=0.5, aria=False).encode(y=alt.Y("low:Q", title=str(table.metric)), y2="high:Q")
    line = base.mark_line(aria=False, strokeWidth=1.5).encode(y=y)
    dots = base.mark_point(filled=True, size=20, opacity=1).encode(y=y, description="label:N")
    layers = [bars, line, dots, *_names(ends, most, top, color)]
    model = rows[0].key.model_label
    return style_chart(alt.layer(*layers).properties(width=WIDE, height=HIGH, title=_title(model)))


def _names(ends: Mapping[str, float], most: float, top: float, color: alt.Color) -> Iterator[alt.Chart]:
    """Yields the names beside the ends of the lines, and the strokes that join them."""
    spread = _spread([HIGH * (1 - value / top) for value in ends.values()])
    names: list[Point] = [
        {"line": name, "short": _shortened(name), "x": most * 1.05, "end": value, "y": top * (1 - pixel / HIGH)}
        for (name, value), pixel in zip(ends.items(), spread, strict=True)
    ]
    chart = make_chart(names)
    yield chart.mark_rule(opacity=0.5, aria=False, clip=False, xOffset=4, x2Offset=10).encode(
        x="x:Q", x2="x:Q", y="end:Q", y2="y:Q", color=color
    )
    yield chart.mark_text(align="left", dx=14, fontSize=10, aria=False).encode(x="x:Q", y="y:Q", text="short:N")


def _spread(pixels: Sequence[float]) -> list[float]:
    """Returns positions close to the given ones, at least about ``LINE`` apart."""
    order = sorted(range(len(pixels)), key=pixels.__getitem__)
    places = [pixels[n] for n in order]
    for _ in range(50):
        for n, (above, below) in enumerate(pairwise(places)):
            if below - above < LINE - 1e-6:
                middle = (above + below) / 2
                places[n], places[n + 1] = middle - LINE / 2, middle + LINE / 2
    spread = [0.0] * len(pixels)
    for place, n in zip(places, order, strict=True):
        spread[n] = place
    return spread


def _shortened(name: str) -> str:
    return name if len(name) <= LETTERS else f"{name[: LETTERS - 1]}…"


def _title(text: str) -> Any:
    return alt.TitleParams(_shortened(text), anchor="start", fontSize=12)


def _axis() -> alt.Axis:
    return alt.Axis(tickCount=4, format=".4~g", labelOverlap="greedy", labelSeparation=4)


def build_front_panels(table: LeaderboardTable) -> tuple[str, list[VegaLite]]:
    """Returns a caption, and one chart per model with clean values and worst cases.

    Models with fewer than three attacked rows are left out, and at most ``MOST_PANELS`` models have a chart. In a
    chart, a line joins the rows that ``find_front`` returns, unless the metric is about targets.
    """
    rows = [row for row in table.rows if row.worst is not None]
    names = list(dict.fromkeys(format_defense(row.key) for row in rows))
    letters = {name: letter_of(number) for number, name in enumerate(names)}
    groups = [some for some in grouped(rows, lambda row: row.key.model_key).values() if len(some) > 2]
    panels = [_front_panel(table, some, letters) for some in groups[:MOST_PANELS]]
    key = "; ".join(f"{letter} {name}" for name, letter in letters.items())
    caption = (
        f"Clean {table.metric} against the {_name_attacked(table)}, one panel per model with at least three attacked "
        f"rows. {_say_what_is_better(table)} Hollow: unranked. {key}.{_rest(len(groups))}"
    )
    return (caption, panels) if panels else ("", [])


def _is_about_targets(table: LeaderboardTable) -> bool:
    """Returns whether the metric says where the targets stand.

    No clean value of such a metric is better than another.
    """
    return table.rise or table.threat.goal == "demote"


def _name_attacked(table: LeaderboardTable) -> str:
    name = name_worst_case(table)
    return f"{name} value" if name == "attacked" else name


def _say_what_is_better(table: LeaderboardTable) -> str:
    """Returns sentences on the places of a chart that are better, and on its line."""
    if not _is_about_targets(table):
        return "The right and the top are better; the line joins the rows that no other row beats in both."
    if table.targets is not None:
        return "Ranks compare the attacked value less the clean one, so no place alone is better."
    side = "left" if table.rise else "right"
    return f"The {side} is better. The height is neither good nor bad: it shows the targets without an attack."


def _front_panel(table: LeaderboardTable, rows: Sequence[LeaderboardRow], letters: Mapping[str, str]) -> VegaLite:
    front = [] if _is_about_targets(table) else find_front(rows)
    across, up = _domain([row.worst or 0.0 for row in rows]), _domain([row.clean for row in rows])
    pixels = [(WIDE * _share(row.worst or 0.0, across), HIGH * (1 - _share(row.clean, up))) for row in rows]
    points: list[Point] = [
        {
            "letter": letters[format_defense(row.key)],
            "worst": row.worst or 0.0,
            "clean": row.clean,
            "ranked": "yes" if row.rank is not None else "no",
            "label": f"{format_victim(row.key, row.own_weights)}: clean {format_number(row.clean)}, "
            f"{name_worst_case(table)} {format_number(row.worst)}",
            "at": across[0] + (across[1] - across[0]) * x / WIDE,
            "above": up[0] + (up[1] - up[0]) * (1 - y / HIGH),
        }
        for row, (x, y) in zip(rows, _place_letters(pixels), strict=True)
    ]
    x = alt.X(
        "worst:Q",
        title=f"{name_worst_case(table)} {table.metric}",
        scale=alt.Scale(domain=across, nice=False),
        axis=_axis(),
    )
    y = alt.Y("clean:Q", title=f"clean {table.metric}", scale=alt.Scale(domain=up, nice=False), axis=_axis())
    base = make_chart(points).encode(x=x, y=y)
    filled = alt.condition("datum.ranked == 'yes'", alt.value(COLOURS[1]), alt.value("transparent"))
    dots = base.mark_point(size=40, opacity=1, stroke=COLOURS[1]).encode(fill=filled, description="label:N")
    text = make_chart(points).mark_text(fontSize=10, aria=False).encode(x="at:Q", y="above:Q", text="letter:N")
    layers = [dots, text]
    if len(front) > 1:
        path = make_chart([{"worst": row.worst or 0.0, "clean": row.clean} for row in front])
        line = path.mark_line(color=COLOURS[2], strokeWidth=1.5, aria=False)
        layers.insert(0, line.encode(x=x, y=y, order=alt.Order("worst:Q")))
    model = rows[0].key.model_label
    return style_chart(alt.layer(*layers).properties(width=WIDE, height=HIGH, title=_title(model)))


def _domain(values: Sequence[float]) -> list[float]:
    """Returns the ends of an axis, with some room on both sides of the values."""
    room = 0.12 * (max(values) - min(values)) or 0.1 * abs(max(values)) or 1.0
    return [min(values) - room, max(values) + room]


def _share(value: float, domain: Sequence[float]) -> float:
    return (value - domain[0]) / (domain[1] - domain[0])


def _place_letters(pixels: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Returns a place for each point's letter, away from points and other letters.

    Places and points are in pixels. A letter that fits nowhere is put in the first place that was tried.
    """
    near = [(10, -7), (-10, -7), (10, 8), (-10, 8), (0, -12), (0, 12), (18, 0), (-18, 0), (20, -13), (-20, 13)]
    taken = list(pixels)
    places = []
    for x, y in pixels:
        tried = [(x + across, y + down) for across, down in near]
        free = (place for place in tried if all(max(abs(place[0] - a), abs(place[1] - b)) > 8 for a, b in taken))
        places.append(next(free, tried[0]))
        taken.append(places[-1])
    return places


def find_front(rows: Sequence[LeaderboardRow]) -> list[LeaderboardRow]:
    """Returns the ranked rows that no other ranked row beats.

    A row beats another one if it is better in one value, clean or worst case, and not worse in the other.

    Args:
        rows: rows with a worst case, in a metric of which a high value is good.
    """
    ranked = [row for row in rows if row.rank is not None]

    def beats(one: LeaderboardRow, other: LeaderboardRow) -> bool:
        mine, theirs = ((row.clean, row.worst or 0.0) for row in (one, other))
        return mine != theirs and mine[0] >= theirs[0] and mine[1] >= theirs[1]

    return [row for row in ranked if not any(beats(other, row) for other in ranked)]
