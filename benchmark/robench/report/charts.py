"""Builds the charts of the page from the rows of tables.

The charts are drawn as SVG without scripts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import altair as alt

from robench.api.escapes import visible
from robench.report.blocks import DetectionChart, LeaderboardChart, Section, TwinsChart
from robench.report.drawing import draw_pictures
from robench.report.labels import place_labels
from robench.report.numbers import (
    format_interval,
    format_number,
    format_twins_title,
    format_victim,
)
from robench.tables.detection import DetectionRow
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.results import grouped
from robench.tables.twins import TwinRow

WIDTH, STEP, PANEL = 420, 15, 210  # in pixels: the width of a chart, half the height of its rows, the width of a panel
MOST_CURVES = 6  # the ROC curves in a panel
BEFORE, AFTER = "#8a8f98", "#c8442e"  # the colours of clean and of attacked values
Point = Mapping[str, str | float]  # a row of a chart's data
VegaLite = dict[str, Any]  # a chart as JSON types


def draw_charts(section: Section) -> list[tuple[str, str]]:
    """Returns the caption and the SVG of each chart in a section.

    Raises:
        DrawingError: if the drawing process fails.
    """
    charts = list(build_charts(section))
    pictures = draw_pictures([chart for _, chart in charts])
    return [(caption, svg) for (caption, _), svg in zip(charts, pictures, strict=True)]


def build_charts(section: Section) -> Iterator[tuple[str, VegaLite]]:
    """Yields each chart of a section as a caption and a Vega-Lite object."""
    chart = section.chart
    if isinstance(chart, LeaderboardChart):
        yield _leaderboard_chart(chart.table)
    elif isinstance(chart, TwinsChart):
        yield from _twins_charts(chart.rows)
    elif isinstance(chart, DetectionChart):
        yield from _roc_charts(chart.rows)


def _distinct(points: Sequence[Point], name: str) -> list[str]:
    """Returns the distinct values of one field, in the order of the points."""
    return list(dict.fromkeys(str(point[name]) for point in points))


def style_chart(chart: Any) -> VegaLite:
    """Returns a chart as JSON types, with the style of all pictures."""
    styled = chart.configure(background="transparent").configure_view(strokeOpacity=0.2)
    styled = styled.configure_axis(labelLimit=0).configure_header(labelLimit=PANEL).properties(padding=10)
    content: VegaLite = styled.to_dict()
    return content


def make_chart(values: Sequence[Point]) -> alt.Chart:
    """Returns a chart with its data, in which invisible characters are marked."""
    drawn = [
        {name: visible(value) if isinstance(value, str) else value for name, value in point.items()} for point in values
    ]
    return alt.Chart(alt.Data(values=drawn))  # type: ignore[no-untyped-call]


def _leaderboard_chart(table: LeaderboardTable) -> tuple[str, VegaLite]:
    """Returns the caption and the chart of a leaderboard table.

    The chart shows the clean and attacked values of every row, with intervals. A dashed line marks the baseline's clean
    value.
    """
    points = [point for row in table.rows for point in _points(row)]
    order = _distinct(points, "victim")
    base = make_chart(points).encode(
        y=alt.Y("victim:N", sort=order, title=None),
        yOffset=alt.YOffset("what:N", sort=["clean", "attacked"]),
        color=_color(),
    )
    bars = base.mark_rule(strokeWidth=2, opacity=0.55, aria=False).encode(
        x=alt.X("low:Q", title=str(table.metric), axis=alt.Axis(tickCount=8)), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=55, opacity=1).encode(x="value:Q", shape=_shape(), description="label:N")
    layers = [bars, dots]
    line = [row.clean for row in table.rows if row.is_baseline]
    if line:
        rule = make_chart([{"value": line[0]}]).mark_rule(strokeDash=[3, 3], color="#666", aria=False)
        layers.append(rule.encode(x="value:Q"))
    dashed = " Dashed: popularity, clean." if line else ""
    chart = alt.layer(*layers).properties(width=WIDTH, height=alt.Step(STEP))
    return f"Clean and attacked, means with 95% intervals.{dashed}", style_chart(chart)


def _points(row: LeaderboardRow) -> Iterator[Point]:
    """Yields the clean and attacked values of a row, with their intervals."""
    name = format_victim(row.key, row.own_weights)
    for what, interval in (("clean", row.clean_interval), ("attacked", row.worst_interval)):
        if interval is not None:
            label = f"{name}, {what}: {format_interval(interval)}"
            value = {"value": interval.mean, "low": interval.low, "high": interval.high}
            yield {"victim": name, "what": what, "label": label, **value}


def _color() -> alt.Color:
    scale = alt.Scale(domain=["clean", "attacked"], range=[BEFORE, AFTER])
    return alt.Color("what:N", title=None, scale=scale, legend=alt.Legend(orient="top"))


def _shape() -> alt.Shape:
    return alt.Shape("what:N", title=None, scale=alt.Scale(domain=["clean", "attacked"], range=["circle", "diamond"]))


def _many(count: int, few: Literal["tableau10", "category10"] = "tableau10") -> alt.Scale:
    """Returns a scale of 10 colours, or of 20 colours for more than 10 values.

    Args:
        count: the number of values.
        few: the scheme of 10 colours.
    """
    return alt.Scale(scheme=few if count <= 10 else "tableau20")


def _twins_charts(rows: Sequence[TwinRow]) -> Iterator[tuple[str, VegaLite]]:
    """Yields a caption and a chart for each data set, split, attack and ε.

    A chart has one panel per metric. In a panel, a line for each model and defence joins the clean and the attacked
    value.
    """
    for title, group in grouped(rows, format_twins_title).items():
        values, victims = _pairs(group)
        metrics = list(dict.fromkeys(str(row.metric) for row in group))
        base = make_chart(values).encode(y=alt.Y("victim:N", sort=victims, title=None))
        x = alt.X("value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4, labelOverlap=True))
        rule = base.mark_rule(color=BEFORE, aria=False).encode(x=x, x2="other:Q")
        dots = base.mark_point(filled=True, size=45, opacity=1).encode(
            x=x, color=_color(), shape=_shape(), description="label:N"
        )
        panel = alt.layer(rule, dots).properties(width=PANEL, height=alt.Step(STEP))
        chart = panel.facet(facet=alt.Facet("metric:N", sort=metrics, title=None), columns=2)
        yield f"{title}. Every axis has its own range.", style_chart(chart.resolve_scale(x="independent"))


def _pairs(rows: Sequence[TwinRow]) -> tuple[list[Point], list[str]]:
    """Returns the points of twins and defended models, and the names of these models.

    Each point also holds the other value of the same metric: attacked for a clean point, clean for an attacked point.
    """
    points: dict[tuple[str, str, str], Point] = {}
    for row in rows:
        twin = f"{row.key.model_label}, none", row.twin_clean.mean, row.twin_attacked.mean
        robust = format_victim(row.key), row.robust_clean.mean, row.robust_attacked.mean
        for name, clean, attacked in (twin, robust):
            for what, value, other in (("clean", clean, attacked), ("attacked", attacked, clean)):
                label = f"{name}, {row.metric}, {what}: {format_number(value)}"
                words = {"victim": name, "metric": str(row.metric), "what": what, "label": label}
                points[name, str(row.metric), what] = {**words, "value": value, "other": other}
    return list(points.values()), list(dict.fromkeys(name for name, _, _ in points))


def _roc_charts(rows: Sequence[DetectionRow]) -> Iterator[tuple[str, VegaLite]]:
    """Yields a caption and a chart for each data set and split.

    A chart has one panel per detector. In a panel, each attack has one ROC curve with its name beside it. If there are
    more than ``MOST_CURVES`` attacks, the panel shows those with the lowest AUROC.
    """
    for (dataset, split), group in grouped(rows, lambda row: (row.dataset, row.split)).items():
        several = len({row.epsilon for row in group}) > 1
        panels = grouped(group, lambda row: row.defense_label)
        values = [point for panel in panels.values() for point in _roc_points(panel, several)]
        attacks = [name for name in _distinct(values, "attack") if name]
        color = alt.Color("attack:N", sort=attacks, legend=None, scale=_many(len(attacks), "category10"))
        base = make_chart(values).encode(
            x=alt.X("false alarms:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=4)),
            y=alt.Y("recall:Q", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=4)),
        )
        chance = base.transform_filter("datum.kind == 'chance'").mark_line(strokeDash=[3, 3], color="#666", aria=False)
        line = base.transform_filter("datum.kind == 'roc'").mark_line(aria=False).encode(color=color)
        text = base.transform_filter("datum.kind == 'name'").mark_text(align="left", baseline="top", dx=4, dy=2)
        text = text.encode(text="attack:N", color=color, description="label:N")
        chart = alt.layer(chance, line, text).properties(width=PANEL, height=PANEL)
        most = max(map(len, panels.values()))
        few = f" A panel shows the {MOST_CURVES} attacks with the lowest AUROC." if most > MOST_CURVES else ""
        caption = f"{dataset}, {split}: ROC of each detector, one curve per attack. Dashed: chance.{few}"
        facet = alt.Facet("detector:N", sort=list(panels), title=None)
        yield caption, style_chart(chart.facet(facet=facet, columns=3))


def _roc_points(panel: Sequence[DetectionRow], several: bool) -> Iterator[Point]:
    """Yields the points of one detector's panel.

    These are the points of the chance line, the points of each curve, and one point for each curve's name. At most
    ``MOST_CURVES`` curves are shown, those with the lowest AUROC.

    Args:
        panel: the rows of the detector.
        several: whether the name of a curve includes the ε of its attack.
    """
    detector = panel[0].defense_label
    for place in (0.0, 1.0):
        yield {"detector": detector, "kind": "chance", "attack": "", "false alarms": place, "recall": place}
    shown = sorted(panel, key=lambda row: 2.0 if row.auroc is None else row.auroc)[:MOST_CURVES]
    shown = [row for row in panel if row in shown]
    names = [f"{row.attack_label} {row.epsilon:g}" if several else row.attack_label for row in shown]
    curves = [row.roc or () for row in shown]
    for row, name, curve, place in zip(shown, names, curves, place_labels(curves, names, PANEL), strict=True):
        words = {"detector": detector, "attack": name}
        points: list[dict[str, float]] = [
            {"false alarms": n / (len(curve) - 1), "recall": recall} for n, recall in enumerate(curve)
        ]
        for point in points:
            yield {**words, "kind": "roc", **point}
        label = f"{detector}, {row.attack_label}, ε = {row.epsilon:g}: AUROC {format_number(row.auroc)}"
        yield {**words, "kind": "name", "label": label, **points[place]}
