"""auto on titles: its list, pinned to its version, and one rewriting for all users out of what its members find."""

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

# Whoever must edit a list below raises the version of the surface in auto.py, test_auto_members.py and the docs.
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


def test_untargeted_nobody_is_instructed():
    names = [name for name, _, _ in listed(Auto.make(surface="text", goal="untargeted"))]
    assert names == ["random-words", "prefix", "hotflip"]


@pytest.mark.parametrize("given", [{"unit": "characters"}, {"norm": "characters"}, {}])
def test_the_unit_is_the_threat_s_norm_and_items_are_promoted_unless_told_otherwise(given):
    threat = Auto.make(surface="text", **given).threat()
    assert (threat.norm, threat.scale, threat.goal) == ("characters" if given else "words", "relative", "promote")
    assert Auto.make(surface="text", goal="untargeted", **given).threat().goal == "untargeted"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"surface": "text", "norm": "l2"}, "norm can only be words"),
        ({"surface": "text", "unit": "words", "norm": "characters"}, "norm can only be words"),
        ({"surface": "text", "scale": "absolute"}, "scale can only be relative"),
        ({"surface": "text", "unit": "edits"}, "unit edits is of the surface history, not of text"),
        ({"surface": "history", "unit": "words"}, "unit words is of the surface text, not of history"),
        ({"unit": "characters"}, "unit characters is of the surface text, not of embedding"),
        ({"norm": "words"}, "the norm is l2 or linf, not words"),
    ],
)
def test_what_is_not_of_titles_is_refused(given, problem):
    with pytest.raises(ValueError, match=problem):
        Auto.make(**given)


@pytest.mark.parametrize(
    ("unit", "epsilon", "others"),
    [("words", 1.0, (Prefix.make(), HotFlip.make())), ("characters", 0.34, (TypoAttack.make(),))],
)
def test_it_promotes_no_less_than_any_attack_alone_and_stays_in_budget(unit, epsilon, others):
    bench = text_victim()
    found = bench.attacked(Auto.make(surface="text", unit=unit), epsilon, "", promoted())
    best = max(row["damage"] for row in found.members)
    for other in others:
        alone = bench.attacked(other, epsilon, "", promoted())
        assert ndcg(found) >= ndcg(alone) - 1e-9, other
    assert ndcg(found) >= best - 1e-9
    assert ndcg(found) > ndcg(bench.clean(promoted()))
    for row in found.titles:
        assert 0 < edits_between(row["before"], row["after"], unit) <= edits_allowed(row["before"], epsilon, unit)
    assert found.achieved["overshoot"] <= 1


def ndcg(found):
    """What the host compares titles by: the mean over items of the mean over users of their NDCG@10."""
    ranks = found.arrays["target_ranks"]
    gain = np.where((ranks > 0) & (ranks <= 10), 1 / np.log2(1 + ranks.clip(1)), 0.0)
    return float((gain.sum(1) / (ranks > 0).sum(1)).mean())


def test_the_rows_of_its_members_say_what_each_did_and_cost():
    bench = text_victim()
    found = bench.attacked(Auto.make(surface="text"), 1.0, "", promoted())
    assert [row["name"] for row in found.members] == ["random-words", "prefix", "hotflip"]
    assert sum(row["queries"] for row in found.members) <= found.achieved["queries"]
    assert sum(row["queries"] for row in found.members) >= found.achieved["queries"] - len(bench.users)
    assert [row["gradients"] > 0 for row in found.members] == [False, False, True]
    alone = bench.attacked(Prefix.make(), 1.0, "", promoted())
    (prefix,) = [row for row in found.members if row["name"] == "prefix"]
    assert prefix["queries"] == alone.achieved["queries"]


def test_instructions_are_tried_where_the_model_follows_them(monkeypatch):
    bench = text_victim()
    assert not Model.follows
    monkeypatch.setattr(type(bench.model), "follows", True)
    found = bench.attacked(Auto.make(surface="text"), 1.0, "", promoted())
    assert [row["name"] for row in found.members] == [name for name, _, _ in WORDS]


def test_where_only_instructions_are_listed_a_model_that_follows_none_is_told(monkeypatch):
    def orders(self, gradients):
        return [Member("order", PromptInjection.make())]

    monkeypatch.setattr(Auto, "_titles", orders)
    with pytest.raises(PluginError, match="all of them give orders, and the victim answers no prompt"):
        text_victim().attacked(Auto.make(surface="text"), 1.0, "", promoted())


def test_at_epsilon_zero_nothing_is_rewritten():
    bench = text_victim()
    found = bench.attacked(Auto.make(surface="text"), 0.0, "", promoted())
    assert found.titles == []
    np.testing.assert_array_equal(found.arrays["target_ranks"], bench.clean(promoted()).arrays["target_ranks"])


def test_untargeted_it_does_no_less_than_its_members():
    bench = text_victim()
    found = bench.attacked(Auto.make(surface="text", goal="untargeted"), 1.0, "")
    ranks = found.arrays["ranks"]
    left = np.where(ranks <= 10, 1 / np.log2(1 + ranks), 0.0).mean()
    assert -left == pytest.approx(max(row["damage"] for row in found.members))
