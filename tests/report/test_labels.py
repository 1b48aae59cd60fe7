"""Tests where the names of curves are placed."""

import pytest

from robench.report.labels import LETTER, LINE, place_labels

SIDE = 200


def boxes(curves, names):
    for curve, name, place in zip(curves, names, place_labels(curves, names, SIDE), strict=True):
        x, y = place / (len(curve) - 1) * SIDE, (1 - curve[place]) * SIDE
        yield x, y, x + 4 + LETTER * len(name), y + 2 + LINE


def test_names_of_equal_curves_stand_side_by_side():
    curve = (1.0,) * 101
    places = list(boxes([curve, curve], ["bandwagon", "segment"]))
    assert places[0][2] <= places[1][0] + 4


@pytest.mark.parametrize("heights", [(0.9, 0.8, 0.6), (0.99, 0.95, 0.2), (0.5, 0.5, 0.5)])
def test_names_do_not_overlap_and_stay_within_the_chart(heights):
    curves = [(*[height] * 100, 1.0) for height in heights]
    names = ["near", "copy-profile", "random-profiles"]
    found = list(boxes(curves, names))
    for number, (left, top, right, bottom) in enumerate(found):
        assert right <= SIDE + 1
        assert bottom <= SIDE + 1
        for a, b, c, d in found[:number]:
            assert left + 4 >= c or a + 4 >= right or top + 2 >= d or b + 2 >= bottom


def test_a_name_avoids_a_curve_that_rises_steeply_through_its_first_place():
    flat, steep = (0.5,) * 101, (*[0.1] * 4, *[1.0] * 97)
    first, _ = place_labels([flat, steep], ["bandwagon", "x"], SIDE)
    assert first >= 2
    assert place_labels([flat], ["bandwagon"], SIDE) == [0]
