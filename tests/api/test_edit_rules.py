"""Tests that different rules for edits give different threat models."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.api import Threat
from robench.api.attacks.history import RulesConfig
from robench.api.edit_rules import EditRules
from robench.api.threat import NORMS

RULES = st.builds(
    EditRules,
    st.sampled_from(["anywhere", "end"]),
    st.none() | st.floats(0.001, 0.999),
    st.booleans(),
)


@given(RULES)
def test_a_norm_states_the_rules(rules):
    assert EditRules.of(rules.norm) == rules
    assert re.fullmatch(NORMS, rules.norm)


def test_the_norms_of_the_documentation():
    assert EditRules().norm == "edits"
    assert EditRules("end").norm == "edits-at-end"
    assert EditRules("end", 0.1).norm == "edits-at-end-plausible-0.1"
    assert EditRules(white_box=True).norm == "edits-white-box"
    assert EditRules.of("words") is None


@pytest.mark.parametrize("norm", ["edits-", "edits-plausible-1", "edits-white-box-at-end", "EDITS", "edits-at-endx"])
def test_other_norms_are_refused(norm):
    assert EditRules.of(norm) is None
    assert not re.fullmatch(NORMS, norm)


def test_only_threat_models_without_gradients_rank_models():
    def ranks(norm, surface="history"):
        return Threat(surface, "test", norm, "absolute").ranks_models

    assert ranks("edits")
    assert ranks("edits-at-end-plausible-0.1")
    assert not ranks("edits-white-box")
    assert not ranks("l2", "embedding")
    assert ranks("words", "text")


def test_settings_at_their_default_change_no_id():
    assert RulesConfig().resolved() == {}
    assert RulesConfig(place="end", plausible=0.1).resolved() == {"place": "end", "plausible": 0.1}
