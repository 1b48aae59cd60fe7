"""Tests the rules for titles that the host enforces.

A fake language model replaces the decoder.
"""

from zlib import crc32

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robench.api import Catalogue, Item, Member, PluginError, Rng, TextAttack
from robench.engine.attack.costs import Costs
from robench.engine.attack.ensemble import MemberLog
from robench.engine.surfaces.text import surface as text_surface
from robench.engine.surfaces.text.budget import TitleBudget
from robench.engine.surfaces.text.search import search_members
from robench.engine.surfaces.text.spelling import spelling_similarity
from robench.engine.surfaces.text.stealth import Stealth, normalised_title, words_allowed
from robench.engine.surfaces.text.surface import TextSurface
from robench.testing.text_world import promoted, text_victim

TITLES = ("Finding Nemo", "The Long Good Friday Night", "Heat", "Alien", "Aliens", "Heat Wave Town")
calls: list[str] = []


def likelihood(titles):
    """Returns −5 nats per token, and −9 for titles with the word "odd"."""
    calls.extend(titles)
    return np.array([-9.0 if "odd" in title.casefold().split() else -5.0 for title in titles])


def random_likelihood(titles):
    """Returns a value between −7 and −5 that looks random."""
    return np.array([-5 - crc32(title.encode()) % 2000 / 1000 for title in titles])


def alike(old, new):
    return np.ones(len(old))


def rules(floor=0.5, similarity=alike, judge=likelihood):
    catalogue = Catalogue(tuple(map(str, range(6))), tuple(Item(title) for title in TITLES))
    return Stealth.of(catalogue, TITLES[:3], floor, similarity, judge)


def test_each_rule_refuses_by_itself():
    assert rules().passes([(0, "Finding Memo"), (1, "The Long Bad Friday Night"), (2, "Hear")]) == [True] * 3
    assert rules().passes([(0, "Losing Memo"), (1, "A Long Bad Friday Night")]) == [False] * 2, "two words changed"
    assert rules().passes([(2, ""), (2, "?!"), (2, "\u200b")]) == [False] * 3, "an empty title"
    assert rules().passes([(2, "Alien"), (2, "alien!"), (2, "Al\u0456en"), (2, "ALIE\u200bN")]) == [False] * 4
    assert rules(similarity=lambda old, new: np.full(len(old), 0.4999)).passes([(2, "Hear")]) == [False]
    assert rules(similarity=lambda old, new: np.full(len(old), 0.5)).passes([(2, "Hear")]) == [True]
    assert rules().passes([(2, "Heat odd"), (2, "Heat fine")]) == [False, True]


@pytest.mark.parametrize(("value", "passes"), [(-6.0, True), (-6.0001, False), (-4.0, True)])
def test_the_likelihood_may_fall_by_one_nat(value, passes):
    def judge(titles):
        return np.array([-5.0 if title == "Heat" else value for title in titles])

    assert rules(judge=judge).passes([(2, "Hear")]) == [passes]


def test_a_genuine_title_always_passes():
    assert rules(1.0, lambda old, new: np.zeros(len(old))).passes([(0, TITLES[0]), (0, "Finding Memo")]) == [
        True,
        False,
    ]


def test_titles_of_one_normalised_form_are_one_title():
    forms = ["The Matrix", "Matrix, The", "matrix the"[7:] + " MATRIX", "The  Matr\u00edx!", "T\u200bhe M\u0430trix"]
    assert {normalised_title(title) for title in forms} == {"the matrix"}
    assert normalised_title("Matrix") != normalised_title("The Matrix")
    catalogue = Catalogue(("1", "2", "3"), (Item("Heat"), Item("Heat"), Item("Alien")))
    twins = Stealth.of(catalogue, ["Heat", "Heat", "Alien"], 0.5, alike, likelihood)
    assert twins.passes([(0, "HEAT"), (0, "Heat"), (2, "ALIEN")]) == [False, True, True], (
        "the other Heat has this title"
    )


def test_one_word_may_change_or_a_fifth_of_many():
    assert [words_allowed(" ".join(["word"] * count)) for count in (1, 2, 9, 10, 15)] == [1, 1, 1, 2, 3]


def test_a_title_is_judged_once_and_the_language_model_comes_last():
    calls.clear()
    stealth = rules()
    for _ in range(2):
        assert stealth.passes([(2, "Hear"), (2, "Alien"), (0, "Finding Memo"), (0, "Losing It")]) == [
            True, False, True, False,
        ]  # fmt: skip
    assert sorted(calls) == sorted(["Hear", "Heat", "Finding Memo", "Finding Nemo"])


def test_a_budget_in_words_is_never_above_the_rule():
    free, bound = TitleBudget(TITLES[:3], 1.0, "words"), TitleBudget(TITLES[:3], 1.0, "words", rules())
    assert free.limit == [2, 5, 1]
    assert bound.limit == [1, 1, 1]
    assert TitleBudget(TITLES[:3], 0.5, "characters", rules()).limit == [6, 13, 2]


def test_a_title_that_breaks_a_rule_is_over_budget():
    costs, budget = Costs(), TitleBudget(TITLES[:3], 1.0, "words", rules())
    assert budget.enforce(["Finding Memo", "The Long Bad Friday Night", "Hear"], costs) == [
        "Finding Memo", "The Long Bad Friday Night", "Hear",
    ]  # fmt: skip
    assert costs.overshoot == 1
    assert budget.enforce(["Finding Memo", TITLES[1], "Alien"], costs) == ["Finding Memo", TITLES[1], TITLES[2]]
    assert costs.overshoot == 2
    spent = budget.achieved(["Finding Memo", *TITLES[1:3]])
    assert (spent["words_changed_max"], spent["likelihood_fall_max"], spent["stealth_similarity_min"]) == (0.5, 0, 1)


def test_spelling_is_compared_by_pieces_of_words():
    def one(old, new):
        return float(spelling_similarity([old], [new])[0])

    assert one("Heat", "HEAT") == pytest.approx(1)
    assert one("Matrix, The", "The Matrix") > 0.8
    # "a" has the pieces " a", "a " and " a "; "ab" has " a", "ab", "b ", " ab", "ab " and " ab "
    assert one("a", "ab") == pytest.approx(1 / np.sqrt(3 * 6))
    assert one("Heat", "Alien") == one("Heat", "") == 0
    assert one("Heat", "Heat Wave") > one("Heat", "Cold Wave")
    assert spelling_similarity([], []).shape == (0,)


class Proposing(TextAttack):
    """An attack that proposes what ``make`` returns for an oracle."""

    propose = None

    def rewrite(self, oracle, rng):
        yield from type(self).propose(oracle)


def proposing(propose, **config):
    return type("Proposing", (Proposing,), {"propose": staticmethod(propose)}).make(**{"stealth": 0.6, **config})


@pytest.fixture
def judged(monkeypatch):
    monkeypatch.setattr(text_surface, "title_likelihood", random_likelihood)
    monkeypatch.setattr(text_surface, "title_similarity", lambda rows: {})
    monkeypatch.setattr(text_surface, "filter_reach", lambda rows, catalogue: {})


class Liar(str):
    """A title that claims to be another title."""

    __slots__ = ()
    claim = ""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return hash(self.claim)

    def __str__(self):
        return self.claim

    def split(self, *args):
        return self.claim.split(*args)


def one_letter(oracle):
    yield [f"{title[:-1]}{'x' if title[-1] != 'x' else 'y'}" for title in oracle.titles()]


def liar(title, claim):
    return type("Claims", (Liar,), {"claim": claim})(title)


def lying(oracle):
    (claims,) = one_letter(oracle)
    yield [liar("River Desert Saddle", claim) for claim in claims]


def emptying(oracle):
    oracle.stealth.floor = 0.001
    oracle.stealth.similarity = alike
    oracle.stealth.likelihood = lambda titles: np.zeros(len(titles))
    oracle.stealth.catalogue = {}
    yield [" ".join(["Desert", *title.split()[1:]]) for title in oracle.titles()]


def test_titles_that_lie_about_themselves_do_not_pass(judged):
    allowed = text_victim().attacked(proposing(one_letter, stealth=0.3), 2.0, "x", promoted())
    assert allowed.titles, "else nothing shows that the rules let anything pass"
    refused = text_victim().attacked(proposing(lying), 2.0, "x", promoted())
    assert not refused.titles
    assert refused.achieved["overshoot"] > 1


def test_the_host_reads_what_a_title_is_and_not_what_it_says():
    budget = TitleBudget(TITLES[:3], 1.0, "words", rules())
    assert budget.passes([(2, liar("Alien", "Hear")), (2, liar("Hear", "Alien"))]) == [False, True]
    titles = budget.enforce([*TITLES[:2], liar("Hear", "Alien")], Costs())
    assert type(titles[2]) is str
    assert titles[2] == "Hear"


def test_an_attack_that_changes_the_rules_is_an_error(judged):
    with pytest.raises(PluginError, match="has changed the rules"):
        text_victim().attacked(proposing(emptying, stealth=0.95), 2.0, "x", promoted())


def test_checks_are_counted_and_cost_no_query(judged):
    def checking(oracle):
        assert oracle.passes([(0, "Galaxy"), (1, oracle.titles()[1])]) == [oracle.stealth is None, True]
        oracle.passes([(0, "Galaxy")])
        yield oracle.titles()

    achieved = text_victim().attacked(proposing(checking), 2.0, "x", promoted()).achieved
    assert achieved["checks"] == 3
    assert achieved["queries"] == len(text_victim().users)
    free = text_victim().attacked(proposing(checking, stealth=None), 2.0, "x", promoted()).achieved
    assert "checks" not in free


def test_the_members_of_an_ensemble_share_the_rules(judged):
    attack = proposing(one_letter)
    oracle = TextSurface(text_victim()).oracle(attack, 1.0, promoted())
    search_members(MemberLog([Member("one", attack), Member("two", attack)]), oracle, Rng(0))
    assert oracle.stealth is not None
    assert len(oracle.stealth._passes) >= len(promoted())


WORDS = st.sampled_from(["Galaxy", "odd", "Saddle", "x", "", "\u200b", "\n", "the"])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from([0.3, 0.6, 0.8]), st.sampled_from(["words", "characters"]))
def test_whatever_an_attack_returns_every_scored_title_passes(judged, data, floor, unit):
    def anything(oracle):
        titles = oracle.titles()
        others = [item.title for item in oracle.catalogue.items]
        for _ in range(2):
            yield [
                data.draw(
                    st.sampled_from(others)
                    | st.text(max_size=12)
                    | WORDS.map(lambda word, old=old: f"{old} {word}")
                    | st.integers(0, len(old) - 1).map(lambda at, old=old: old[:at] + old[at + 1 :])
                )
                for old in titles
            ]

    victim = text_victim()
    scored = victim.attacked(proposing(anything, stealth=floor, unit=unit), 1.0, "x", promoted()).titles
    others = [normalised_title(item.title) for item in victim.catalogue.items]
    for row in scored:
        old, new = row["before"], row["after"]
        assert spelling_similarity([old], [new])[0] >= floor
        assert random_likelihood([new])[0] >= random_likelihood([old])[0] - 1
        assert normalised_title(new)
        assert normalised_title(new) not in [*others[: row["row"]], *others[row["row"] + 1 :]]
        kept = len(set(old.split()) & set(new.split()))
        assert len(set(old.split())) - kept <= max(1, len(old.split()) // 5)
