"""Tests how the reports format numbers."""

import math

import pytest

from robench.report.numbers import format_number


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
