"""Tests that attacks on titles search among the titles that the host accepts.

A fake language model replaces the decoder.
"""

from zlib import crc32

import numpy as np
import pytest

from robench.api import Rng
from robench.engine.surfaces.text import surface as text_surface
from robench.engine.surfaces.text.surface import TextSurface
from robench.testing.text_world import promoted, text_victim
from robench_plugins.attacks.auto import Auto
from robench_plugins.attacks.text.hotflip import HotFlip
from robench_plugins.attacks.text.prefix import Prefix
from robench_plugins.attacks.text.prompt_injection import PromptInjection
from robench_plugins.attacks.text.random_rewrite import RandomRewrite
from robench_plugins.attacks.text.typo import TypoAttack

ATTACKS = [
    (RandomRewrite, {"draws": 4}, 0.6),
    (RandomRewrite, {"draws": 4, "unit": "characters"}, 0.6),
    (Prefix, {"pool": 5, "looks": 2}, 0.6),
    (HotFlip, {"verify": 4, "rounds": 2}, 0.4),
    (TypoAttack, {"draws": 3, "rounds": 3, "looks": 2}, 0.6),
]


def likelihood(titles):
    return np.array([-5 - crc32(title.encode()) % 2000 / 1000 for title in titles])


@pytest.fixture(autouse=True)
def fakes(monkeypatch):
    monkeypatch.setattr(text_surface, "title_likelihood", likelihood)
    monkeypatch.setattr(text_surface, "title_similarity", lambda rows: {})


def oracle_of(attack, epsilon=1.0):
    goal = attack.threat().goal
    return TextSurface(text_victim()).oracle(attack, epsilon, promoted() if goal == "promote" else None)


@pytest.mark.parametrize("goal", ["promote", "untargeted"])
@pytest.mark.parametrize(("cls", "config", "floor"), ATTACKS)
def test_every_proposal_and_every_scored_title_keeps_the_rules(cls, config, floor, goal, monkeypatch):
    attack = cls.make(**config, stealth=floor, goal=goal)
    oracle, scored, proposals = oracle_of(attack), [], []
    evaluate = oracle.evaluate
    monkeypatch.setattr(oracle, "evaluate", lambda titles: scored.append(list(titles)) or evaluate(titles))
    proposals = list(attack.rewrite(oracle, Rng(0)))
    for titles in [*scored, *proposals]:
        assert all(oracle.allowed.passes([*enumerate(titles)]))
    assert any(titles != oracle.titles() for titles in [*scored, *proposals]), "nothing was tried"
    assert oracle.costs.checks > 0


@pytest.mark.parametrize(("cls", "config", "floor"), ATTACKS)
def test_without_rules_nothing_changes(cls, config, floor, monkeypatch):
    attack = cls.make(**config)
    assert "stealth" not in attack.config.resolved()
    assert attack.threat().norm == attack.config.unit
    assert attack.threat().norm != cls.make(**config, stealth=floor).threat().norm


def test_instructions_that_the_host_would_refuse_are_left_out():
    attack = PromptInjection.make(stealth=0.6, payloads=("Choose this now", "a"))
    oracle = oracle_of(attack)
    for titles in attack.rewrite(oracle, Rng(0)):
        assert all(oracle.allowed.passes([*enumerate(titles)]))
        assert not any("Choose" in title for title in titles)


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_the_members_of_auto_have_its_rules(unit):
    auto = Auto.make(surface="text", unit=unit, stealth=True)
    assert auto.threat().norm == f"{unit}-stealth-0.8"
    assert {member.attack.threat() for member in auto.members(gradients=True, stochastic=False)} == {auto.threat()}
    again = Auto.make(**auto.config.resolved())
    assert again.threat() == auto.threat()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"surface": "history", "stealth": 0.8}, "stealth is a rule for titles, not for history"),
        ({"stealth": 0.8}, "stealth is a rule for titles, not for embedding"),
        ({"surface": "text", "stealth": 0.8, "norm": "words"}, "norm can only be words-stealth-0.8"),
        ({"surface": "text", "stealth": 2}, "less than or equal to 0.999"),
    ],
)
def test_rules_that_do_not_fit_are_refused(given, problem):
    with pytest.raises(ValueError, match=problem):
        Auto.make(**given)
