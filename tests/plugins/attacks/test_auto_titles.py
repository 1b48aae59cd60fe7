"""Tests the members of ``auto`` on titles.

Each member finds one set of new titles for all users.
"""

import numpy as np
import pytest

from robench.api import Member, Model, PluginError
from robench.api.attacks.text import edits_allowed, edits_between
from robench.testing.text_world import promoted, text_victim
from robench_plugins.attacks.auto import Auto
from robench_plugins.attacks.text.hotflip import HotFlip
from robench_plugins.attacks.text.prefix import PRAISE, Prefix
from robench_plugins.attacks.text.prompt_injection import PAYLOADS, PromptInjection
from robench_plugins.attacks.text.typo import TypoAttack

# If a list below changes, raise the version of the surface in auto.py, test_auto_members.py and the docs.
PREFIX = {"source": "popular", "place": "front", "keywords": list(PRAISE), "titles": 20, "pool": 30, "looks": 20}
WORDS = [
    ("random-words", "RandomRewrite", {"draws": 300}),
    ("prefix", "Prefix", PREFIX),
    ("hotflip", "HotFlip", {"verify": 25, "words": "catalogue", "insert": "end", "rounds": 3}),
    ("prompt-injection", "PromptInjection", {"payloads": list(PAYLOADS), "place": "both"}),
]
KINDS = ["swap", "drop", "insert", "replace", "homoglyph", "zero-width"]
LETTERS = [
    ("random-letters", "RandomRewrite", {"draws": 210}),
    ("typo", "TypoAttack", {"kinds": KINDS, "draws": 50, "rounds": 150, "looks": 20}),
]
THREAT = {"unit", "goal", "k"}


def listed(auto, *, gradients=True):
    """Returns a tuple of three values for each member of ``auto``.

    The values are the name, the class, and the settings beyond the threat model.
    """
    return [
        (m.name, type(m.attack).__name__, {n: v for n, v in m.attack.config.resolved().items() if n not in THREAT})
        for m in auto.members(gradients=gradients, stochastic=False)
    ]


@pytest.mark.parametrize(("unit", "pinned"), [("words", WORDS), ("characters", LETTERS)])
def test_the_members_and_all_their_settings_are_those_of_the_version(unit, pinned):
    auto = Auto.make(surface="text", unit=unit)
    assert auto.config.version == 2
    assert listed(auto) == pinned
    for member in auto.members(gradients=True, stochastic=False):
        assert member.attack.threat() == auto.threat(), member.name
    without = [name for name, _, _ in listed(auto, gradients=False)]
    assert without == [name for name, _, _ in pinned if name != "hotflip"]


def test_an_untargeted_list_holds_no_instructions():
    names = [name for name, _, _ in listed(Auto.make(surface="text", goal="untargeted"))]
    assert names == ["random-words", "prefix", "hotflip"]


@pytest.mark.parametrize("given", [{"unit": "characters"}, {"norm": "characters"}, {}])
def test_the_unit_is_the_norm_and_the_default_goal_is_promote(given):
    threat = Auto.make(surface="text", **given).threat()
    assert (threat.norm, threat.scale, threat.goal) == ("characters" if given else "words", "relative", "promote")
    assert Auto.make(surface="text", goal="untargeted", **given).threat().goal == "untargeted"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"surface": "text", "norm": "l2"}, "norm can only be words"),
        ({"surface": "text", "unit": "words", "norm": "characters"}, "norm can only be words"),
        ({"surface": "text", "scale": "absolute"}, "scale can only be relative"),
        ({"surface": "text", "unit": "edits"}, "unit edits belongs to the surface history, not to text"),
        ({"surface": "history", "unit": "words"}, "unit words belongs to the surface text, not to history"),
        ({"unit": "characters"}, "unit characters belongs to the surface text, not to embedding"),
        ({"norm": "words"}, "the norm is l2 or linf, not words"),
    ],
)
def test_settings_of_another_surface_are_refused(given, problem):
    with pytest.raises(ValueError, match=problem):
        Auto.make(**given)


@pytest.mark.parametrize(
    ("unit", "epsilon", "others"),
    [("words", 1.0, (Prefix.make(), HotFlip.make())), ("characters", 0.34, (TypoAttack.make(),))],
)
def test_it_promotes_no_less_than_any_attack_alone_and_stays_in_budget(unit, epsilon, others):
    victim = text_victim()
    attacked = victim.attacked(Auto.make(surface="text", unit=unit), epsilon, "", promoted())
    best = max(row["damage"] for row in attacked.members)
    for other in others:
        alone = victim.attacked(other, epsilon, "", promoted())
        assert ndcg(attacked) >= ndcg(alone) - 1e-9, other
    assert ndcg(attacked) >= best - 1e-9
    assert ndcg(attacked) > ndcg(victim.clean(promoted()))
    for row in attacked.titles:
        assert 0 < edits_between(row["before"], row["after"], unit) <= edits_allowed(row["before"], epsilon, unit)
    assert attacked.achieved["overshoot"] <= 1


def ndcg(attacked):
    """Returns NDCG@10 of the promoted items, averaged over users and then over items.

    The host compares candidate titles by this value.
    """
    ranks = attacked.arrays["target_ranks"]
    gain = np.where((ranks > 0) & (ranks <= 10), 1 / np.log2(1 + ranks.clip(1)), 0.0)
    return float((gain.sum(1) / (ranks > 0).sum(1)).mean())


def test_the_rows_of_its_members_hold_their_damage_and_cost():
    victim = text_victim()
    attacked = victim.attacked(Auto.make(surface="text"), 1.0, "", promoted())
    assert [row["name"] for row in attacked.members] == ["random-words", "prefix", "hotflip"]
    assert sum(row["queries"] for row in attacked.members) <= attacked.achieved["queries"]
    assert sum(row["queries"] for row in attacked.members) >= attacked.achieved["queries"] - len(victim.users)
    assert [row["gradients"] > 0 for row in attacked.members] == [False, False, True]
    alone = victim.attacked(Prefix.make(), 1.0, "", promoted())
    (prefix,) = [row for row in attacked.members if row["name"] == "prefix"]
    assert prefix["queries"] == alone.achieved["queries"]


def test_instructions_are_tried_where_the_model_follows_them(monkeypatch):
    victim = text_victim()
    assert not Model.follows
    monkeypatch.setattr(type(victim.model), "follows", True)
    attacked = victim.attacked(Auto.make(surface="text"), 1.0, "", promoted())
    assert [row["name"] for row in attacked.members] == [name for name, _, _ in WORDS]


def test_a_list_of_instructions_alone_needs_a_model_that_follows_them(monkeypatch):
    def instructions(self, gradients):
        return [Member("instruction", PromptInjection.make())]

    monkeypatch.setattr(Auto, "_for_text", instructions)
    with pytest.raises(PluginError, match="all of them write instructions, and the victim answers no prompt"):
        text_victim().attacked(Auto.make(surface="text"), 1.0, "", promoted())


def test_at_epsilon_zero_nothing_is_rewritten():
    victim = text_victim()
    attacked = victim.attacked(Auto.make(surface="text"), 0.0, "", promoted())
    assert attacked.titles == []
    np.testing.assert_array_equal(attacked.arrays["target_ranks"], victim.clean(promoted()).arrays["target_ranks"])


def test_untargeted_it_does_no_less_than_its_members():
    victim = text_victim()
    attacked = victim.attacked(Auto.make(surface="text", goal="untargeted"), 1.0, "")
    ranks = attacked.arrays["ranks"]
    left = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0).mean()
    assert -left == pytest.approx(max(row["damage"] for row in attacked.members))
