"""Tests the conformance of attacks on titles, and the titles that they write."""

from string import ascii_lowercase

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from robench.api import PluginError, Rng
from robench.api.attacks.text import edits_between
from robench.testing import TextAttackTests
from robench.testing.text import title_oracle
from robench.testing.text_world import promoted, text_victim
from robench_plugins.attacks.text.hotflip import HotFlip
from robench_plugins.attacks.text.misspelling import HOMOGLYPHS, misspell
from robench_plugins.attacks.text.prefix import PRAISE, Prefix
from robench_plugins.attacks.text.random_rewrite import RandomRewrite, randomly_edited
from robench_plugins.attacks.text.title_search import TitleSearch
from robench_plugins.attacks.text.typo import TypoAttack
from robench_plugins.attacks.text.vocabulary import vocabulary
from robench_plugins.attacks.text.word_flips import WordFlips


class TestRandomRewrite(TextAttackTests):
    attack = RandomRewrite
    settings = {"draws": 30}


class TestRandomLetters(TextAttackTests):
    attack = RandomRewrite
    settings = {"draws": 30, "unit": "characters"}


class TestTypo(TextAttackTests):
    attack = TypoAttack
    settings = {"looks": 5, "draws": 25, "rounds": 75}


class TestHomoglyphs(TextAttackTests):
    attack = TypoAttack
    settings = {"kinds": ["homoglyph"], "looks": 5, "draws": 25, "rounds": 75}

    def test_a_kind_that_the_model_does_not_read_is_tried_once(self):
        oracle = title_oracle(TypoAttack.make(), 1.0)
        proposals = []
        evaluate = oracle.evaluate

        def evaluate_visible(titles):
            proposals.append(list(titles))
            return evaluate([title.replace("\u200b", "") for title in titles])

        oracle.evaluate = evaluate_visible
        list(TypoAttack.make(kinds=["zero-width", "drop"]).rewrite(oracle, Rng(0)))
        invisible = [any("\u200b" in title for title in titles) for titles in proposals]
        assert invisible[:3] == [False, True, False], "the genuine titles, then one evaluation per kind"
        assert len(proposals) > 50
        assert not any(invisible[3:])
        proposals.clear()
        assert not list(TypoAttack.make(kinds=["zero-width"]).rewrite(oracle, Rng(0)))
        assert len(proposals) == 2


class TestPrefix(TextAttackTests):
    attack = Prefix
    settings = {"looks": 5}


class TestKeywordsBehind(TextAttackTests):
    attack = Prefix
    settings = {"source": "keywords", "keywords": ["canyon", "desert", "galaxy"], "place": "end", "looks": 5}


class TestHotFlip(TextAttackTests):
    attack = HotFlip


class TestHotFlipInFront(TextAttackTests):
    attack = HotFlip
    settings = {"insert": "front", "verify": 3, "rounds": 2}


def proposals_of(attack, epsilon=1.0):
    """Returns the genuine titles, and all candidates that an attack proposes."""
    oracle = title_oracle(attack, epsilon)
    return oracle.titles(), list(attack.rewrite(oracle, Rng(0)))


@pytest.mark.parametrize("epsilon", [0.34, 0.67, 1.0])
def test_hotflip_beats_random_rewriting_with_more_evaluations(epsilon):
    victim, targets = text_victim(), promoted()
    hotflip = victim.attacked(HotFlip.make(), epsilon, "hotflip", targets)
    draws = int(hotflip.achieved["queries"]) // len(victim.users) + 1
    random = victim.attacked(RandomRewrite.make(draws=draws), epsilon, "random", targets)
    assert random.achieved["queries"] >= hotflip.achieved["queries"]
    assert (hotflip.arrays["loss"] > random.arrays["loss"]).all()


def test_estimates_are_the_first_order_change_of_the_loss():
    oracle = title_oracle(HotFlip.make(), 1.0)
    titles = oracle.titles()
    flips = WordFlips.at(oracle, titles)
    model = text_victim().model
    for index, title in enumerate(titles):
        words = title.lower().split()
        estimates = flips.estimates(index, title)
        assert estimates.shape == (len(words), len(flips.words))
        for position, old in enumerate(words):
            token = model.vocabulary[old]
            (place,) = (flips.slopes.ids[index] == token).nonzero().flatten().tolist()
            for number, new in enumerate(flips.words):
                if new.lower() in model.vocabulary:
                    shift = model.vectors[model.vocabulary[new.lower()]] - model.vectors[token]
                    expected = float(flips.slopes.gradient[index, place] @ shift)
                    assert float(estimates[position, number]) == pytest.approx(expected, abs=1e-5)
        first = next(iter(flips.substitutions(index, title)))
        position, word = divmod(int(estimates.argmax()), len(flips.words))
        assert first.split()[position] == flips.words[word]
        assert edits_between(title, first, "words") == 1


def test_a_deletion_is_estimated_as_a_flip_to_the_typical_word():
    oracle = title_oracle(HotFlip.make(), 1.0)
    flips = WordFlips.at(oracle, oracle.titles())
    filler = flips.vectors[flips.words.index(flips.typical_word())]
    for index, title in enumerate(oracle.titles()):
        words, gains = title.split(), {}
        for position in range(len(words)):
            (place,) = (flips.slopes.word[index] == position).nonzero().flatten().tolist()
            shift = filler - flips.slopes.table[flips.slopes.ids[index, place]]
            gains[position] = float(shift @ flips.slopes.gradient[index, place])
        best = sorted(gains, key=gains.get, reverse=True) if len(words) > 1 else []
        assert list(flips.deletions(index, title)) == [" ".join(words[:p] + words[p + 1 :]) for p in best]


def test_the_model_reads_no_two_words_as_the_same_tokens():
    model = text_victim().model
    words = WordFlips.at(title_oracle(HotFlip.make(), 1.0), title_oracle(HotFlip.make(), 1.0).titles()).words
    rows = [_tokens_of(model, word) for word in words]
    assert len(set(rows)) == len(rows) > 20


def _tokens_of(model, word):
    """Returns the token ids of a word that follows another word."""
    tokens = model.tokens([f"a {word}"])
    return tuple(tokens.ids[0][tokens.start[0] > 1].tolist())


def test_hotflip_needs_a_gradient(monkeypatch):
    attack = HotFlip.make()
    oracle = title_oracle(attack, 1.0)
    monkeypatch.setattr(type(oracle), "slopes", lambda self, titles: None)
    with pytest.raises(PluginError, match="gradients with respect to the tokens"):
        list(attack.rewrite(oracle, Rng(0)))


def test_homoglyphs_change_the_bytes_and_look_the_same():
    genuine, candidates = proposals_of(TypoAttack.make(kinds=["homoglyph"]))
    back = {new: old for old, new in HOMOGLYPHS.items()}
    changed = [(old, new) for titles in candidates for old, new in zip(genuine, titles, strict=True) if old != new]
    assert changed
    for old, new in changed:
        assert old.encode() != new.encode()
        assert "".join(back.get(char, char) for char in new) == old
    assert all(not char.isascii() and char.isalpha() for char in back)
    assert len(back) == len(HOMOGLYPHS)


@pytest.mark.parametrize(
    ("word", "kind", "expected"),
    [
        ("abb", "swap", {"bab"}),
        ("abc", "drop", {"bc", "ac", "ab"}),
        ("a", "drop", {"a"}),
        ("aaa", "swap", {"aaa"}),
        ("ab", "zero-width", {"a\u200bb"}),
        ("bad", "homoglyph", {"b\u0430d"}),
        ("", "homoglyph", {""}),
        ("", "insert", {""}),
    ],
)
def test_typos_by_hand(word, kind, expected):
    assert {misspell(word, kind, share / 12) for share in range(12)} == expected


def test_inserted_and_replaced_letters_cover_all_positions_and_letters():
    shares = [number / 1000 for number in range(1000)]
    inserted = {misspell("ab", "insert", share) for share in shares}
    assert inserted == {f"a{new}b" for new in ascii_lowercase} | {f"ab{new}" for new in ascii_lowercase}
    replaced = {misspell("aB", "replace", share) for share in shares}
    assert replaced == {f"{new}B" for new in ascii_lowercase[1:]} | {f"a{new}" for new in ascii_lowercase}


@pytest.mark.parametrize("kinds", [[], ["swap", "swap"], ["blank"]])
def test_kinds_of_typos_must_be_known_and_distinct(kinds):
    with pytest.raises(ValidationError):
        TypoAttack.make(kinds=kinds)


@pytest.mark.parametrize("place", ["front", "end"])
def test_words_of_popular_titles_are_added_before_or_after_the_genuine_title(place):
    victim = text_victim()
    attack = Prefix.make(place=place, titles=5)
    genuine, candidates = proposals_of(attack)
    popular = np.argsort(-victim.history.counts(), kind="stable")[:5]
    words = {word for row in popular for word in victim.catalogue.items[row].title.split()}
    assert set(attack.words(title_oracle(attack, 1.0))) == words
    for titles in candidates:
        for old, new in zip(genuine, titles, strict=True):
            more = new.removesuffix(old) if place == "front" else new.removeprefix(old)
            assert (new == old) == (not more)
            assert set(more.split()) <= words


def test_keywords_take_the_place_of_popular_words():
    attack = Prefix.make(source="keywords")
    assert attack.words(title_oracle(attack, 1.0)) == list(PRAISE)
    long = Prefix.make(source="keywords", keywords=["a" * 21, "Best", "best", "(new)"])
    assert long.words(title_oracle(long, 1.0)) == ["Best", "new"]


@given(
    title=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=60),
    budget=st.integers(0, 8),
    unit=st.sampled_from(["words", "characters"]),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_random_edits_stay_within_any_budget(title, budget, unit, seed):
    pool = ["canyon", "moon"] if unit == "words" else list("xyz")
    generator = np.random.default_rng(seed)
    assert edits_between(title, randomly_edited(title, budget, unit, pool, generator), unit) <= budget


def test_random_words_come_from_the_catalogue():
    catalogue = text_victim().catalogue
    assert set(vocabulary(catalogue)) == {word for item in catalogue.items for word in item.title.split()}


def test_words_that_are_added_in_front_keep_the_whole_genuine_title():
    attack = HotFlip.make(insert="front")
    search = TitleSearch(title_oracle(attack, 1.0))
    longer = [
        (old, new)
        for titles in attack._proposals(search)
        for old, new in zip(search.titles, titles, strict=True)
        if len(new.split()) > len(old.split())
    ]
    assert {old for old, _ in longer} == set(search.titles)
    assert all(new.endswith(f" {old}") for old, new in longer)


def test_untargeted_flips_are_proposed_in_all_titles_and_in_at_most_half_of_them():
    attack = HotFlip.make(goal="untargeted")
    search = TitleSearch(title_oracle(attack, 1.0))
    all_titles, half = attack._joint_proposals(search)
    changed = [(old != new, old != some) for old, new, some in zip(search.titles, all_titles, half, strict=True)]
    assert 0 < sum(some for _, some in changed) <= len(changed) / 2 < sum(every for every, _ in changed)
    assert all(some in (old, new) for old, new, some in zip(search.titles, all_titles, half, strict=True))
