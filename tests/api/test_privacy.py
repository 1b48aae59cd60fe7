"""Tests which claims are guarantees of differential privacy."""

import math

import pytest

from robench.api.privacy import Guarantee

GOOD = {"eps_dp": 1.0, "delta": 1e-5, "covers": "all scores"}


@pytest.mark.parametrize("claim", [GOOD, GOOD | {"delta": 0.0}, {"eps_dp": "inf", "delta": 0.0, "covers": "nothing"}])
def test_a_sound_claim_has_no_mistake(claim):
    assert Guarantee(**claim).find_mistake() == ""


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"eps_dp": 0.0}, "its eps_dp is 0.0"),
        ({"eps_dp": -1.0}, "its eps_dp is -1.0"),
        ({"eps_dp": math.nan}, "its eps_dp is nan"),
        ({"eps_dp": math.inf}, "its eps_dp is inf"),
        ({"eps_dp": "1"}, "its eps_dp is '1'"),
        ({"delta": 1.0}, "its delta is 1.0"),
        ({"delta": -0.1}, "its delta is -0.1"),
        ({"covers": " "}, "it does not say in words what it covers"),
        ({"covers": "nothing"}, "it does not say in words what it covers"),
        ({"unit": "interaction"}, "its unit is 'interaction'"),
        ({"eps_dp": "inf"}, "without noise, it claims 'all scores'"),
    ],
)
def test_a_claim_that_guarantees_nothing_is_a_mistake(changes, words):
    assert words in Guarantee(**(GOOD | changes)).find_mistake()
