"""The page's pictures: rows of leaderboard.json -> SVG, drawn by altair; no script is left in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert

from robench.report.blocks import Section
from robench.report.numbers import defense, number, spread, twins_title, unit_of
from robench.tables.results import is_baseline

WIDTH, STEP, PANEL = 420, 15, 210  # pixels: a chart, half a row of it, a small chart
BEFORE, AFTER = "#8a8f98", "#c8442e"  # clean, attacked


def charts(section: Section) -> Iterator[tuple[str, str]]:
    """(what it shows, the SVG) of a section; none where there is nothing to be seen."""
    drawn: dict[str, Any] = {"leaderboard": _leaderboard, "curves": _curves, "twins": _twins}
    if section.chart is not None:
        for caption, chart in drawn[section.chart](section.source):
            yield caption, _svg(chart)


def _svg(chart: Any) -> str:
    styled = chart.configure(background="transparent").configure_view(strokeOpacity=0.2)
    svg: str = vl_convert.vegalite_to_svg(
        styled.configure_axis(labelLimit=0).configure_header(labelLimit=PANEL).properties(padding=10).to_dict()
    )
    return svg


def _chart(values: Sequence[Mapping[str, Any]]) -> alt.Chart:
    drawn = [{name: _printable(value) for name, value in row.items()} for row in values]
    return alt.Chart(alt.Data(values=drawn))  # type: ignore[no-untyped-call]


def _printable(value: Any) -> Any:
    """XML knows no control characters; records of other hands may have some."""
    if not isinstance(value, str):
        return value
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value)


def victim(row: Mapping[str, Any]) -> str:
    """``lstm, adversarial-training λ=0.5``."""
    return f"{row['model_label']}, {defense(row)}"


def _points(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Values with their intervals: ``clean`` and, where there is one, ``attacked``."""
    found = []
    for row in rows:
        for name, what in (("clean", "clean"), ("worst", "attacked")):
            if row[name] is not None:
                interval = {"value": row[name], "low": row[f"{name}_low"], "high": row[f"{name}_high"]}
                told = f"{victim(row)}, {what}: {spread(row, name)}"
                found.append({"victim": victim(row), "what": what, "told": told, **interval})
    return found


def _leaderboard(tables: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Every victim's value, clean and attacked, with intervals; popularity's clean value as a line."""
    for table in tables:
        points = _points(table["rows"])
        order = list(dict.fromkeys(point["victim"] for point in points))
        base = _chart(points).encode(
            y=alt.Y("victim:N", sort=order, title=None),
            yOffset=alt.YOffset("what:N", sort=["clean", "attacked"]),
            color=_color(),
        )
        bars = base.mark_rule(strokeWidth=2, opacity=0.55, aria=False).encode(
            x=alt.X("low:Q", title=table["metric"], axis=alt.Axis(tickCount=8)), x2="high:Q"
        )
        dots = base.mark_point(filled=True, size=55, opacity=1).encode(
            x="value:Q", shape=_shape(), description="told:N"
        )
        layers = [bars, dots]
        line = [row["clean"] for row in table["rows"] if is_baseline(row)]
        if line:
            rule = _chart([{"value": line[0]}]).mark_rule(strokeDash=[3, 3], color="#666", aria=False)
            layers.append(rule.encode(x="value:Q"))
        told = " Dashed: popularity, clean." if line else ""
        yield (
            f"Clean and attacked, means with 95% intervals.{told}",
            alt.layer(*layers).properties(width=WIDTH, height=alt.Step(STEP)),
        )


def _color() -> alt.Color:
    scale = alt.Scale(domain=["clean", "attacked"], range=[BEFORE, AFTER])
    return alt.Color("what:N", title=None, scale=scale, legend=alt.Legend(orient="top"))


def _shape() -> alt.Shape:
    return alt.Shape("what:N", title=None, scale=alt.Scale(domain=["clean", "attacked"], range=["circle", "diamond"]))


def _curves(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Along ε, a panel per model; per threat model a chart."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        place = ", ".join(dict.fromkeys(row[n] for n in ("dataset", "split", "surface", "norm", "goal")))
        groups.setdefault(place + (f": ε{unit_of(row)}" if unit_of(row) else ""), []).append(row)
    for title, lines in groups.items():
        values = [
            {
                "model": row["model_label"],
                "defence": defense(row),
                "attack": row["attack_label"],
                "ε": e,
                "value": v,
                "told": f"{victim(row)}, {row['attack_label']}, ε = {e:g}: {number(v)}",
            }
            for row in lines
            for e, v in zip(row["epsilon"], row["value"], strict=True)
        ]
        defences, attacks = (list(dict.fromkeys(v[name] for v in values)) for name in ("defence", "attack"))
        models = list(dict.fromkeys(value["model"] for value in values))
        color = "defence" if len(defences) > 1 else "attack"
        legend = alt.Legend(labelLimit=0)
        base = _chart(values).encode(
            x=alt.X("ε:Q", axis=alt.Axis(tickCount=5)),
            y=alt.Y("value:Q", title=lines[0]["metric"]),
            color=alt.Color(f"{color}:N", sort=None, legend=legend, scale=_many(max(len(defences), len(attacks)))),
        )
        line = base.mark_line(aria=False)
        if len(defences) > 1 and len(attacks) > 1:
            line = line.encode(strokeDash=alt.StrokeDash("attack:N", sort=attacks, legend=legend))
        dots = base.mark_point(filled=True, size=25, opacity=1).encode(description="told:N")
        chart = alt.layer(line, dots).properties(width=PANEL, height=150)
        yield title, chart.facet(facet=alt.Facet("model:N", sort=models, title=None), columns=3)


def _many(count: int) -> alt.Scale:
    """Ten colours are told apart best; beyond them twenty are."""
    return alt.Scale(scheme="tableau10" if count <= 10 else "tableau20")


def _twins(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    """A panel per metric: every victim from its clean value to the one that the attack leaves."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(twins_title(row), []).append(row)
    for title, of in groups.items():
        values, victims = _pairs(of)
        metrics = list(dict.fromkeys(row["metric"] for row in of))
        base = _chart(values).encode(y=alt.Y("victim:N", sort=victims, title=None))
        x = alt.X("value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4, labelOverlap=True))
        rule = base.mark_rule(color=BEFORE, aria=False).encode(x=x, x2="other:Q")
        dots = base.mark_point(filled=True, size=45, opacity=1).encode(
            x=x, color=_color(), shape=_shape(), description="told:N"
        )
        panel = alt.layer(rule, dots).properties(width=PANEL, height=alt.Step(STEP))
        chart = panel.facet(facet=alt.Facet("metric:N", sort=metrics, title=None), columns=2)
        yield f"{title}. Every axis has its own range.", chart.resolve_scale(x="independent")


def _pairs(rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """(a value of every victim, metric, and clean or attacked, with the other one; undefended twins first)."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        for who, name in ((f"{row['model_label']}, none", "twin"), (victim(row), "robust")):
            clean, attacked = row[f"{name}_clean"][0], row[f"{name}_attacked"][0]
            for what, value, other in (("clean", clean, attacked), ("attacked", attacked, clean)):
                told = f"{who}, {row['metric']}, {what}: {number(value)}"
                point = {"victim": who, "metric": row["metric"], "what": what, "value": value, "other": other}
                found[who, row["metric"], what] = {**point, "told": told}
    return list(found.values()), list(dict.fromkeys(who for who, _, _ in found))
