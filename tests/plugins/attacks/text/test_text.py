"""Attacks on titles: conformance, and what each of them writes."""

from string import ascii_lowercase

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from robench.api import PluginError, Rng
from robench.api.attacks.text import edits_between
from robench.testing import TextAttackTests
from robench.testing.text import host
from robench.testing.text_world import promoted, text_victim
from robench_plugins.attacks.text.climb import Climb, vocabulary
from robench_plugins.attacks.text.hotflip import HotFlip, Sloped
from robench_plugins.attacks.text.prefix import PRAISE, Prefix
from robench_plugins.attacks.text.random_rewrite import RandomRewrite, scrambled
from robench_plugins.attacks.text.typo import HOMOGLYPHS, TypoAttack, misspelt


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

    def test_a_kind_that_the_model_does_not_see_is_not_tried(self):
        oracle = host(TypoAttack.make(), 1.0)
        asked = []
        evaluate = oracle.evaluate

        def blind(titles):
            asked.append(list(titles))
            return evaluate([title.replace("\u200b", "") for title in titles])

        oracle.evaluate = blind
        list(TypoAttack.make(kinds=["zero-width", "drop"]).rewrite(oracle, Rng(0)))
        seen = [any("\u200b" in title for title in titles) for titles in asked]
        assert seen[:3] == [False, True, False], "genuine titles, then a look per kind"
        assert len(asked) > 50
        assert not any(seen[3:])
        asked.clear()
        assert not list(TypoAttack.make(kinds=["zero-width"]).rewrite(oracle, Rng(0)))
        assert len(asked) == 2


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


def proposals(attack, epsilon=1.0):
    oracle = host(attack, epsilon)
    return oracle.titles(), list(attack.rewrite(oracle, Rng(0)))


@pytest.mark.parametrize("epsilon", [0.34, 0.67, 1.0])
def test_hotflip_beats_random_rewriting_that_looks_more_often(epsilon):
    bench, targets = text_victim(), promoted()
    found = bench.attacked(HotFlip.make(), epsilon, "hotflip", targets)
    looks = int(found.achieved["queries"]) // len(bench.users) + 1
    random = bench.attacked(RandomRewrite.make(draws=looks), epsilon, "random", targets)
    assert random.achieved["queries"] >= found.achieved["queries"]
    assert (found.arrays["loss"] > random.arrays["loss"]).all()


def test_hotflip_ranks_flips_by_what_they_do_to_first_order():
    oracle = host(HotFlip.make(), 1.0)
    titles = oracle.titles()
    sloped = Sloped.at(oracle, titles)
    model = text_victim().model
    for at, title in enumerate(titles):
        places = title.lower().split()
        found = sloped.estimates(at, title)
        assert found.shape == (len(places), len(sloped.words))
        for place, old in enumerate(places):
            token = model.vocabulary[old]
            (where,) = (sloped.slopes.ids[at] == token).nonzero().flatten().tolist()
            for number, new in enumerate(sloped.words):
                if new.lower() in model.vocabulary:
                    shift = model.vectors[model.vocabulary[new.lower()]] - model.vectors[token]
                    expected = float(sloped.slopes.gradient[at, where] @ shift)
                    assert float(found[place, number]) == pytest.approx(expected, abs=1e-5)
        first = next(iter(sloped.substitutions(at, title)))
        place, word = divmod(int(found.argmax()), len(sloped.words))
        assert first.split()[place] == sloped.words[word]
        assert edits_between(title, first, "words") == 1


def test_a_word_gives_way_to_the_filler_where_it_is_deleted():
    oracle = host(HotFlip.make(), 1.0)
    sloped = Sloped.at(oracle, oracle.titles())
    filler = sloped.vectors[sloped.words.index(sloped.typical())]
    for at, title in enumerate(oracle.titles()):
        words, gains = title.split(), {}
        for place in range(len(words)):
            (where,) = (sloped.slopes.word[at] == place).nonzero().flatten().tolist()
            shift = filler - sloped.slopes.table[sloped.slopes.ids[at, where]]
            gains[place] = float(shift @ sloped.slopes.gradient[at, where])
        best = sorted(gains, key=gains.get, reverse=True) if len(words) > 1 else []
        assert list(sloped.deletions(at, title)) == [" ".join(words[:p] + words[p + 1 :]) for p in best]


def test_no_two_words_are_the_same_to_the_model():
    model = text_victim().model
    words = Sloped.at(host(HotFlip.make(), 1.0), host(HotFlip.make(), 1.0).titles()).words
    rows = [tuple(ids[start > 1].tolist()) for word in words for ids, start in [_read(model, word)]]
    assert len(set(rows)) == len(rows) > 20


def _read(model, word):
    tokens = model.tokens([f"a {word}"])
    return tokens.ids[0], tokens.start[0]


def test_hotflip_says_what_it_needs(monkeypatch):
    attack = HotFlip.make()
    oracle = host(attack, 1.0)
    monkeypatch.setattr(type(oracle), "slopes", lambda self, titles: None)
    with pytest.raises(PluginError, match="gradient by the tokens"):
        list(attack.rewrite(oracle, Rng(0)))


def test_homoglyphs_change_the_bytes_and_look_the_same():
    genuine, found = proposals(TypoAttack.make(kinds=["homoglyph"]))
    back = {new: old for old, new in HOMOGLYPHS.items()}
    changed = [(old, new) for titles in found for old, new in zip(genuine, titles, strict=True) if old != new]
    assert changed
    for old, new in changed:
        assert old.encode() != new.encode()
        assert "".join(back.get(char, char) for char in new) == old
    assert all(not char.isascii() and char.isalpha() for char in back)
    assert len(back) == len(HOMOGLYPHS)


@pytest.mark.parametrize(
    ("word", "kind", "all_"),
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
def test_typos_by_hand(word, kind, all_):
    assert {misspelt(word, kind, share / 12) for share in range(12)} == all_


def test_typos_with_letters_are_of_all_places_and_letters():
    shares = [number / 1000 for number in range(1000)]
    inserted = {misspelt("ab", "insert", share) for share in shares}
    assert inserted == {f"a{new}b" for new in ascii_lowercase} | {f"ab{new}" for new in ascii_lowercase}
    replaced = {misspelt("aB", "replace", share) for share in shares}
    assert replaced == {f"{new}B" for new in ascii_lowercase[1:]} | {f"a{new}" for new in ascii_lowercase}


@pytest.mark.parametrize("kinds", [[], ["swap", "swap"], ["blank"]])
def test_kinds_of_typos_are_named_once(kinds):
    with pytest.raises(ValidationError):
        TypoAttack.make(kinds=kinds)


@pytest.mark.parametrize("place", ["front", "end"])
def test_words_of_popular_titles_are_put_before_or_behind_the_genuine_title(place):
    bench = text_victim()
    attack = Prefix.make(place=place, titles=5)
    genuine, found = proposals(attack)
    popular = np.argsort(-bench.history.counts(), kind="stable")[:5]
    words = {word for row in popular for word in bench.catalogue.items[row].title.split()}
    assert set(attack.words(host(attack, 1.0))) == words
    for titles in found:
        for old, new in zip(genuine, titles, strict=True):
            more = new.removesuffix(old) if place == "front" else new.removeprefix(old)
            assert (new == old) == (not more)
            assert set(more.split()) <= words


def test_keywords_are_taken_where_they_are_asked_for():
    attack = Prefix.make(source="keywords")
    assert attack.words(host(attack, 1.0)) == list(PRAISE)
    long = Prefix.make(source="keywords", keywords=["a" * 21, "Best", "best", "(new)"])
    assert long.words(host(long, 1.0)) == ["Best", "new"]


@given(
    title=st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=60),
    limit=st.integers(0, 8),
    unit=st.sampled_from(["words", "characters"]),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_random_edits_stay_within_any_budget(title, limit, unit, seed):
    pool = ["canyon", "moon"] if unit == "words" else list("xyz")
    generator = np.random.default_rng(seed)
    assert edits_between(title, scrambled(title, limit, unit, pool, generator), unit) <= limit


def test_random_words_come_from_the_catalogue():
    catalogue = text_victim().catalogue
    assert set(vocabulary(catalogue)) == {word for item in catalogue.items for word in item.title.split()}


def test_words_that_are_put_in_front_leave_the_whole_genuine_title_behind_them():
    attack = HotFlip.make(insert="front")
    climb = Climb(host(attack, 1.0))
    longer = [
        (old, new)
        for titles in attack._proposals(climb)
        for old, new in zip(climb.titles, titles, strict=True)
        if len(new.split()) > len(old.split())
    ]
    assert {old for old, _ in longer} == set(climb.titles)
    assert all(new.endswith(f" {old}") for old, new in longer)


def test_untargeted_flips_are_proposed_in_all_titles_and_in_at_most_half_of_them():
    attack = HotFlip.make(goal="untargeted")
    climb = Climb(host(attack, 1.0))
    everywhere, half = attack._everywhere(climb)
    changed = [(old != new, old != some) for old, new, some in zip(climb.titles, everywhere, half, strict=True)]
    assert 0 < sum(some for _, some in changed) <= len(changed) / 2 < sum(every for every, _ in changed)
    assert all(some in (old, new) for old, new, some in zip(climb.titles, everywhere, half, strict=True))
