"""Chooses where the name of each curve is placed in a chart."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

LETTER, LINE = 6.0, 12.0  # the width of a letter and the height of a line of text, in pixels
Box = tuple[float, float, float, float]  # left, top, right and bottom, in pixels from the upper left corner


def place_labels(curves: Sequence[Sequence[float]], names: Sequence[str], side: float) -> list[int]:
    """Returns the point of each curve beside which its name is placed.

    A name is placed below its point and to the right of it. Names are placed one after another. Each of them gets the
    point at which it overlaps least with earlier names, with the edge of the chart and with all other curves. If
    several points are equally good, the first one is used.

    Args:
        curves: the values of each curve between 0 and 1, at equal distances from 0 to 1.
        names: the name of each curve.
        side: the width and the height of the chart, in pixels.
    """
    places: list[int] = []
    taken: list[Box] = []
    lines = [_line(curve, side) for curve in curves]
    for number, (curve, name) in enumerate(zip(curves, names, strict=True)):
        others = [line for place, line in enumerate(lines) if place != number and curves[place] != curve]
        boxes = [(x, y, x + LETTER * len(name), y + LINE) for x, y in ((x + 4, y + 2) for x, y in _pixels(curve, side))]
        costs = [_cost(box, taken, others, side) for box in boxes]
        places.append(min(range(len(costs)), key=costs.__getitem__))
        taken.append(boxes[places[-1]])
    return places


def _pixels(curve: Sequence[float], side: float) -> list[tuple[float, float]]:
    """Returns the points of a curve, in pixels from the upper left corner."""
    last = max(len(curve) - 1, 1)
    return [(number / last * side, (1 - value) * side) for number, value in enumerate(curve)]


def _line(curve: Sequence[float], side: float) -> list[tuple[float, float]]:
    """Returns the points of a curve, and further ones along its steep parts."""
    points = _pixels(curve, side)
    line = points[:1]
    for (x, y), (after, below) in pairwise(points):
        parts = math.ceil(abs(below - y) / LINE * 2) or 1
        line += [(x + (after - x) * part / parts, y + (below - y) * part / parts) for part in range(1, parts + 1)]
    return line


def _cost(box: Box, taken: Sequence[Box], others: Sequence[Sequence[tuple[float, float]]], side: float) -> float:
    """Returns the cost of a name in this box, which is at best 0.

    The cost grows with the overlap with other names, with the part outside the chart, and with the number of points of
    other curves in the box.
    """
    left, top, right, bottom = box
    outside = max(0.0, right - side) + max(0.0, bottom - side)
    hidden = sum(_overlap(box, one) for one in taken)
    crossed = sum(left <= x <= right and top <= y <= bottom for other in others for x, y in other)
    return 100 * hidden + 10 * outside + crossed


def _overlap(one: Box, two: Box) -> float:
    """Returns the common area of two boxes, in square pixels."""
    width = min(one[2], two[2]) - max(one[0], two[0])
    height = min(one[3], two[3]) - max(one[1], two[1])
    return max(0.0, width) * max(0.0, height)
