"""Collects the pictures of the page and draws all of them together."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from robench.api.escapes import describe_error
from robench.report.blocks import Section
from robench.report.board_charts import build_curve_panels, build_front_panels
from robench.report.charts import VegaLite, build_charts
from robench.report.drawing import DrawingError, draw_pictures
from robench.tables.build import Tables

log = logging.getLogger("robench")


@dataclass(frozen=True)
class Picture:
    """A picture of one or several panels, each of them an SVG.

    Args:
        caption: what the picture shows.
        panels: the SVGs.
    """

    caption: str
    panels: Sequence[Markup]


@dataclass(frozen=True)
class Pictures:
    """The pictures of a page.

    Args:
        boards: the pictures of each ranking table, in the order of the tables.
        sections: the pictures of each further section, in the order of the sections.
        drawn: whether the pictures were drawn. If not, there are none.
    """

    boards: Sequence[Sequence[Picture]]
    sections: Sequence[Sequence[Picture]]
    drawn: bool


Charts = list[tuple[str, list[VegaLite]]]  # the caption and the panels of each picture


def make_pictures(tables: Tables, sections: Sequence[Section], *, drawn: bool) -> Pictures:
    """Draws the pictures of the ranking tables and of the further sections.

    If drawing fails, the log says why, and the result has no pictures.

    Args:
        tables: the tables of the folder.
        sections: the sections after the ranking tables.
        drawn: whether to draw.
    """
    nothing: Sequence[Sequence[Picture]] = [[] for _ in tables.leaderboard]
    without = Pictures(nothing, [[] for _ in sections], drawn=False)
    if not drawn:
        return without
    try:
        groups = [*_board_charts(tables), *(_section_charts(section) for section in sections)]
        svgs = iter(draw_pictures([panel for charts in groups for _, panels in charts for panel in panels]))
        pictures = [
            [Picture(caption, [Markup(next(svgs)) for _ in panels]) for caption, panels in charts] for charts in groups
        ]  # vega escapes text
    except DrawingError as error:
        problem = str(error)
    except Exception as error:  # altair may fail in any way, for example for lack of memory
        problem = describe_error(error)
    else:
        count = len(tables.leaderboard)
        return Pictures(pictures[:count], pictures[count:], drawn=True)
    log.warning("the page is written without pictures: %s", problem)
    return without


def _board_charts(tables: Tables) -> Iterator[Charts]:
    for table, more in tables.with_page_values():
        yield [one for one in (build_curve_panels(table, more), build_front_panels(table)) if one[1]]


def _section_charts(section: Section) -> Charts:
    """Returns the charts of a section, with the panels of a facet as single charts."""
    return [(caption, split_panels(chart)) for caption, chart in build_charts(section)]


def split_panels(chart: VegaLite) -> list[VegaLite]:
    """Returns the panels of a chart as charts that fit a narrow screen.

    A chart without a facet is returned unchanged. Panels must not share a scale that depends on the data.
    """
    facet = chart.get("facet")
    if facet is None:
        return [chart]
    rest = {name: part for name, part in chart.items() if name not in ("facet", "spec", "data", "columns", "resolve")}
    values, field = chart["data"]["values"], facet["field"]
    panels = []
    for name in facet["sort"]:
        own = {"values": [value for value in values if value[field] == name]}
        title = {"text": name, "anchor": "start", "fontSize": 12}
        panels.append({**rest, **chart["spec"], "data": own, "title": title})
    return panels
