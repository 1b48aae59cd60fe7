"""Tests that different rules for titles give different threat models."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from robench.api import Threat
from robench.api.attacks.text import StealthConfig
from robench.api.threat import NORMS
from robench.api.title_rules import TitleRules

RULES = st.builds(TitleRules, st.sampled_from(["words", "characters"]), st.none() | st.floats(0.001, 0.999))


@given(RULES)
def test_a_norm_states_the_rules(rules):
    assert TitleRules.of(rules.norm) == rules
    assert re.fullmatch(NORMS, rules.norm)
    assert Threat("text", "test", rules.norm).title_rules == rules


def test_the_norms_of_the_documentation():
    assert TitleRules().norm == "words"
    assert TitleRules("words", 0.8).norm == "words-stealth-0.8"
    assert TitleRules("characters", 0.6).norm == "characters-stealth-0.6"
    assert TitleRules.of("edits") is None
    assert Threat("history", "test", "edits").title_rules is None


@pytest.mark.parametrize("norm", ["words-", "words-stealth", "words-stealth-1", "stealth-0.8", "words-stealth-.8"])
def test_other_norms_are_refused(norm):
    assert TitleRules.of(norm) is None
    assert not re.fullmatch(NORMS, norm)


def test_models_are_ranked_under_the_rules():
    assert Threat("text", "test", "words-stealth-0.8").ranks_models


def test_true_is_the_default_floor_and_the_default_changes_no_id():
    assert StealthConfig().resolved() == StealthConfig(stealth=False).resolved() == {}
    assert StealthConfig(stealth=True).resolved() == {"stealth": 0.8}
    assert StealthConfig(stealth=0.6).resolved() == {"stealth": 0.6}


@pytest.mark.parametrize("floor", [0, 1, -0.5, "much"])
def test_a_floor_that_is_no_share_is_refused(floor):
    with pytest.raises(ValidationError):
        StealthConfig(stealth=floor)
