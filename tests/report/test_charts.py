"""Tests the position and the label of every mark in the pictures of the page.

The tests read the marks from the SVG.
"""

import re
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.fakes import EMBEDDING, USERS, World, ranks, twin

from robench.report.blocks import DetectionChart, LeaderboardChart, Section, TwinsChart
from robench.report.charts import AFTER, BEFORE, PANEL, draw_charts
from robench.report.sections import build_sections
from robench.tables.detection import DetectionRow

CIRCLE, DIAMOND = "A", "L0,"  # each mark has this text in its SVG path


def numbers(text):
    return [float(part) for part in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)]


class Picture:
    """The contents of a picture, read from its SVG.

    ``points`` maps the label of a point to (x, y, fill, path). ``lines`` holds the straight lines, each as (x, y,
    width, height, stroke, dashes). ``paths`` holds the curves, each as (x, y, path, stroke, dashes). ``texts`` holds
    all texts. ``names`` maps the label of a text to its colour.
    """

    def __init__(self, svg):
        self.points, self.lines, self.paths, self.texts, self.names = {}, [], [], [], {}
        self._walk(ElementTree.fromstring(svg), "", (0.0, 0.0))

    def _walk(self, element, group, origin):
        group = element.get("class") or group
        at = numbers(element.get("transform", "translate(0,0)"))
        x, y = origin[0] + at[0], origin[1] + at[1]
        if element.get("aria-roledescription") == "point":
            self.points[element.get("aria-label")] = (x, y, element.get("fill"), element.get("d"))
        if element.get("aria-roledescription") == "text mark":
            self.names[element.get("aria-label")] = element.get("fill")
        if element.tag.endswith("line") and "layer_" in group:
            size = (float(element.get("x2", 0)), float(element.get("y2", 0)))
            self.lines.append((x, y, *size, element.get("stroke"), element.get("stroke-dasharray")))
        if element.tag.endswith("path") and "mark-line" in group and element.get("d"):
            self.paths.append((x, y, element.get("d"), element.get("stroke"), element.get("stroke-dasharray")))
        if element.text:
            self.texts.append(element.text)
        for part in element:
            self._walk(part, group, (x, y))

    def across(self):
        """Returns a linear function from values to x coordinates, fitted to the points."""
        values = [float(label.rpartition(": ")[2].split()[0]) for label in self.points]
        slope, start = np.polyfit(values, [point[0] for point in self.points.values()], 1)
        assert slope > 0
        return lambda value: start + slope * value


@pytest.fixture
def world(tmp_path):
    """Returns a folder of results in which no two values or intervals are equal.

    The values are clean values, attacked values, and values of popularity.
    """
    world = World(tmp_path / "w", [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(24, 99), model="popularity", seed=seed)
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(50, 99), seed=seed, attack="pgd", epsilon=0.05)
        world.cell(ranks(130, 99), seed=seed, weight=0.5)
        world.cell(ranks(110, 99), seed=seed, weight=0.5, attack="pgd", epsilon=0.05)
    return world


def test_bars_are_the_intervals_and_the_dashed_line_is_popularity_when_nobody_attacks(world):
    tables = world.build()
    (section,) = (section for section in build_sections(tables) if isinstance(section.chart, LeaderboardChart))
    ((caption, svg),) = draw_charts(section)
    picture = Picture(svg)
    where = picture.across()
    wanted = []
    for row in tables.rows():
        for interval, colour in ((row.clean_interval, BEFORE), (row.worst_interval, AFTER)):
            if interval is not None:
                wanted.append((where(interval.low), where(interval.high), colour))
    found = [(x, x + across, stroke) for x, _, across, down, stroke, _ in picture.lines if not down]
    assert len(found) == len(wanted) == 5
    for one, two in zip(sorted(found), sorted(wanted), strict=True):
        assert one[:2] == pytest.approx(two[:2], abs=0.2)
        assert one[2] == two[2]
    ((x, _, across, _, _, dashed),) = [line for line in picture.lines if line[3]]
    assert (x, across, bool(dashed)) == (pytest.approx(where(24 / USERS), abs=0.2), 0, True)
    assert "Dashed: popularity, clean." in caption
    for label, (_, _, fill, path) in picture.points.items():
        clean = ", clean: " in label
        assert fill == (BEFORE if clean else AFTER)
        assert (CIRCLE if clean else DIAMOND) in path


def test_without_popularity_there_is_no_dashed_line(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed)
        world.cell(ranks(50, 99), seed=seed, attack="pgd", epsilon=0.05)
    (section,) = (section for section in build_sections(world.build()) if isinstance(section.chart, LeaderboardChart))
    ((caption, svg),) = draw_charts(section)
    assert not [line for line in Picture(svg).lines if line[3]]
    assert "popularity" not in caption


def test_a_twin_s_line_leads_from_its_clean_value_to_the_attacked_one():
    row = twin("at", "like-f1", 0.7, 0.3, 0.6, 0.5)
    ((_, svg),) = draw_charts(Section("Twins", [], TwinsChart([row])))
    picture = Picture(svg)
    where = picture.across()
    found = {tuple(sorted((round(x, 1), round(x + across, 1)))) for x, _, across, *_ in picture.lines}
    assert found == {tuple(round(where(v), 1) for v in pair) for pair in ((0.3, 0.7), (0.5, 0.6))}


def roc(attack, auroc, recall, *, detector="fap", epsilon=0.01, dataset="d"):
    numbers = (auroc, None, None, None, None, False, (*[recall] * 100, 1.0))
    return DetectionRow(dataset, "s", detector, attack, epsilon, ("mf",), 1, *numbers)


def drawn_curves(*rows):
    return dict(draw_charts(Section("Detection", [], DetectionChart(rows))))


def test_each_attack_has_a_named_curve_in_the_panel_of_its_detector():
    rows = [roc("random", 0.25, 0.25), roc("bandwagon", 0.75, 0.75), roc("random", 0.5, 0.5, detector="pca")]
    ((caption, svg),) = drawn_curves(*rows).items()
    assert caption == "d, s: ROC of each detector, one curve per attack. Dashed: chance."
    picture = Picture(svg)
    curves = [path for path in picture.paths if not path[4]]
    assert len(curves) == 3
    assert len([path for path in picture.paths if path[4]]) == 2, "a line of chance per panel"
    heights = sorted(numbers(path)[1] for _, _, path, _, _ in curves)
    assert heights == pytest.approx([PANEL * share for share in (0.25, 0.5, 0.75)])
    names = picture.names
    assert set(names) == {
        "fap, random, ε = 0.01: AUROC .2500",
        "fap, bandwagon, ε = 0.01: AUROC .7500",
        "pca, random, ε = 0.01: AUROC .5000",
    }
    colours = {round(numbers(path)[1] / PANEL, 2): stroke for _, _, path, stroke, _ in curves}
    for label, fill in names.items():
        assert fill == colours[round(1 - float(label[-5:]), 2)], "a name has the colour of its curve"


def test_a_panel_shows_the_attacks_that_are_found_least():
    rows = [roc(f"attack-{n}", n / 10, n / 10) for n in (7, 1, 2, 3, 4, 5, 6)]
    ((caption, svg),) = drawn_curves(*rows).items()
    assert caption.endswith("A panel shows the 6 attacks with the lowest AUROC.")
    assert {text for text in Picture(svg).texts if "attack-" in text} == {f"attack-{n}" for n in range(1, 7)}


def test_budgets_are_named_if_there_are_several_and_data_sets_have_pictures_of_their_own():
    pictures = drawn_curves(roc("a", 0.5, 0.5), roc("a", 0.6, 0.6, epsilon=0.05), roc("b", 0.5, 0.5, dataset="e"))
    one, two = (Picture(svg).texts for svg in pictures.values())
    assert {"a 0.01", "a 0.05"} <= set(one)
    assert "b" in two
