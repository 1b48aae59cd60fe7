"""Tests how the reports format numbers."""

import math

import pytest
from tests.fakes import L2

from robench.api.threat import Threat
from robench.report.numbers import format_count, format_number, format_unit
from robench.tables.verdicts import format_difference


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0432, ".0432"),
        (0.5, ".5000"),
        (-0.5, "-.5000"),
        (1.0, "1.0000"),
        (0.0, ".0000"),
        (-1e-9, ".0000"),
        (-1e-17, ".0000"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_a_number_has_four_digits_and_no_leading_zero(value, text):
    assert format_number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.012, "+.0120"), (-0.5, "-.5000"), (-1.25, "-1.2500"), (0.0, ".0000"), (4e-5, ".0000"), (-4e-5, ".0000")],
)
def test_a_difference_has_a_sign_unless_it_rounds_to_zero(value, text):
    assert format_difference(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.0, "0"), (12.54, "12.5"), (99.6, "99.6"), (100.4, "100"), (1900.2, "1,900"), (1.2e6, "1,200,000")],
)
def test_a_count_has_no_exponent(value, text):
    assert format_count(value) == text


@pytest.mark.parametrize(("epsilon", "unit"), [(1, " edit"), (2, " edits"), (None, " edits")])
def test_one_edit_is_in_the_singular(epsilon, unit):
    assert format_unit(Threat(**{**L2, "surface": "history", "scale": "absolute"}), epsilon) == unit
