"""Tests how the host counts title edits, measures damage and computes slopes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api import Member, PluginError, Rng, TextAttack, TextConfig
from robench.api.attacks.text import edits_allowed, edits_between, item_text, pieces, printable
from robench.api.models.wrapped import Wrapped
from robench.engine.attack.costs import Costs
from robench.engine.attack.ensemble import MemberLog
from robench.engine.surfaces.text.search import search_members, search_titles
from robench.engine.surfaces.text.slopes import word_numbers
from robench.testing.text import title_oracle
from robench.testing.text_world import TASTES, ReferenceText, promoted, text_victim

TITLES = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


class Fixed(TextAttack):
    """An attack that proposes given titles."""

    proposals = ()

    def rewrite(self, oracle, rng):
        yield from self.proposals


def fixed(*proposals, **more):
    attack = Fixed.make(**more)
    attack.proposals = proposals
    return attack


def oracle_of(epsilon=1.0, **more):
    return title_oracle(Fixed(TextConfig(**more)), epsilon)


@pytest.mark.parametrize(
    ("old", "new", "unit", "edits"),
    [
        ("Toy Story", "Toy Story", "words", 0),
        ("Toy Story", "  Toy \u2003 Story", "words", 0),
        ("Toy Story", "toy Story", "words", 1),
        ("Toy Story", "Story Toy", "words", 2),
        ("Toy Story", "Best Toy Story Ever", "words", 2),
        ("Toy Story", "", "words", 2),
        ("Toy Story", "Toy S\u200btory", "words", 1),
        ("Toy Story", "Toy Storys", "characters", 1),
        ("Toy Story", "Tyo Story", "characters", 2),
        ("Toy Story", "Toy  Story", "characters", 1),
        ("", "a b", "words", 2),
        ("a" * 25, "a" * 20 + " " + "a" * 5, "words", 1),
        ("a" * 25, "b", "words", 2),
        ("b", "a" * 100, "words", 5),
        ("b", "a" * 101, "words", 6),
    ],
)
def test_edits_by_hand(old, new, unit, edits):
    assert edits_between(old, new, unit) == edits == edits_between(new, old, unit)


@pytest.mark.parametrize(
    ("title", "epsilon", "unit", "edits"),
    [
        ("Toy Story", 0.0, "words", 0),
        ("Toy Story", 1e-6, "words", 1),
        ("Toy Story", 0.99, "words", 1),
        ("Toy Story", 1.0, "words", 2),
        ("Toy Story", 1.5, "words", 3),
        ("a b c d e f g h i j", 0.3, "words", 3),
        ("one two three", 1 / 3, "words", 1),
        ("Toy Story", 0.34, "characters", 3),
        ("", 1.0, "words", 0),
        ("   ", 1.0, "words", 0),
        ("   ", 1.0, "characters", 3),
        ("a" * 41, 1.0, "words", 3),
    ],
)
def test_budgets_by_hand(title, epsilon, unit, edits):
    assert edits_allowed(title, epsilon, unit) == edits


@given(TITLES, TITLES, st.sampled_from(["words", "characters"]))
@settings(max_examples=200, deadline=None)
def test_distances_are_distances(old, new, unit):
    one, two = pieces(old, unit), pieces(new, unit)
    table = np.zeros((len(one) + 1, len(two) + 1), dtype=int)
    table[:, 0], table[0] = np.arange(len(one) + 1), np.arange(len(two) + 1)
    for i, a in enumerate(one, 1):
        for j, b in enumerate(two, 1):
            table[i, j] = min(table[i - 1, j] + 1, table[i, j - 1] + 1, table[i - 1, j - 1] + (a != b))
    assert edits_between(old, new, unit) == table[-1, -1]


@given(TITLES)
@settings(max_examples=200, deadline=None)
def test_no_piece_is_long_and_pieces_tell_the_words(title):
    parts = pieces(title, "words")
    assert all(0 < len(part.removeprefix(" ")) <= 20 for part in parts)
    assert "\n".join(parts).replace("\n ", "").split() == title.split()
    assert "".join(pieces(title, "characters")) == title


@pytest.mark.parametrize("title", ["a\nb", "a\x00", "\ud800", "a\u2028b", "a\u2029"])
def test_what_cannot_be_printed(title):
    assert not printable(title)
    assert printable("Amélie \u200b\u0430 \U0001f600")


def plain_scores(titles):
    """Returns the victim's scores for the given titles: float64 [users, n_items].

    Items that a user knows have the score −inf.
    """
    bench, oracle = text_victim(), oracle_of()
    model = oracle.reader.victim(oracle.by_row(titles))
    scores = model.scores(bench.users, bench.history).astype(np.float64)
    for row, user in enumerate(bench.users):
        scores[row, bench.history.row(user)] = -np.inf
    return scores


def test_damage_loss_and_reach_of_promoted_items_are_what_plain_loops_give():
    bench, oracle, titles = text_victim(), oracle_of(k=5), ["Desert Canyon", "Galaxy", "Waltz Letter Story"]
    scores = plain_scores(titles)
    damage, loss, reached = oracle.judge(titles)
    for at, item in enumerate(promoted().tolist()):
        gains, logs, hits = [], [], []
        for user in bench.users.tolist():
            if item in bench.history.row(user) or item in bench.held.row(user):
                continue
            row = scores[user]
            rank = 1 + sum(score > row[item] for score in row)
            gains.append(1 / math.log2(1 + rank) if rank <= 5 else 0.0)
            logs.append(row[item] - math.log(sum(math.exp(score) for score in row)))
            hits.append(rank <= 5)
        assert float(damage[at]) == pytest.approx(np.mean(gains), abs=1e-12)
        assert float(loss[at]) == pytest.approx(np.mean(logs), abs=1e-5)
        assert float(reached[at]) == np.mean(hits)
    shown = oracle.evaluate(titles)
    assert torch.equal(shown.loss, loss)
    assert torch.equal(shown.reached, reached)


def test_where_held_out_items_shall_fall_every_item_has_the_mean_over_users():
    bench, oracle = text_victim(), oracle_of(goal="untargeted", k=5)
    titles = oracle.titles()
    damage, loss, reached = oracle.judge(titles)
    model = bench.model.scores(bench.users, bench.history).astype(np.float64)
    gains, logs, missed = [], [], []
    for user in bench.users.tolist():
        known, (held,) = set(bench.history.row(user).tolist()), bench.held.row(user).tolist()
        row = [score for item, score in enumerate(model[user]) if item not in known]
        rank = sum(score >= model[user][held] for score in row)
        gains.append(1 / math.log2(1 + rank) if rank <= 5 else 0.0)
        logs.append(math.log(sum(math.exp(score) for score in row)) - model[user][held])
        missed.append(rank > 5)
    assert len(damage) == len(oracle.items) == bench.history.n_items
    assert damage.tolist() == pytest.approx([-np.mean(gains)] * len(damage), abs=1e-12)
    assert loss.tolist() == pytest.approx([np.mean(logs)] * len(loss), abs=1e-5)
    assert reached.tolist() == pytest.approx([np.mean(missed)] * len(loss))


@pytest.mark.parametrize("goal", ["promote", "untargeted"])
def test_slopes_are_the_differences_of_an_items_own_loss(goal):
    oracle, model = oracle_of(goal=goal), text_victim().model
    titles = oracle.titles()
    slopes = oracle.slopes(titles)
    texts = [item_text(oracle.catalogue.items[row]) for row in oracle.items]
    tokens = model.tokens(texts)
    vectors = model.token_table()[tokens.ids]
    generator = torch.Generator().manual_seed(0)

    def loss_at(at, shift):
        moved = vectors.clone()
        moved[at] += shift
        texts_now = model.texts.index_copy(0, torch.from_numpy(oracle.items), model.encode(tokens, moved))
        victim = oracle.reader.victim({})
        victim._buffers["texts"] = texts_now
        sums = sum(oracle.goal.sums(oracle.reader.scores(victim, q), q) for q in oracle.reader.chunks)
        return float(sums[0, at] / sums[3, at])

    for at in range(3):
        direction = torch.randn(vectors[at].shape, generator=generator) * tokens.mask[at].unsqueeze(-1)
        step = 2e-2
        difference = (loss_at(at, step * direction) - loss_at(at, -step * direction)) / (2 * step)
        slope = float((slopes.gradient[at] * direction).sum())
        assert slope == pytest.approx(difference, rel=0.02, abs=2e-5)
        assert abs(difference) > 1e-5, "the loss does not depend on the tokens"
    assert not slopes.gradient[~tokens.mask].any()


def test_tokens_are_told_the_words_that_they_stand_in():
    title = " Don't  Look-Now \u0430\u200bx"
    start = [-1, 1, 4, 5, 8, 12, 13, 17, 19, 0, 7, 30]
    assert word_numbers(title, start) == [-1, 0, 0, 0, 1, 1, 1, 2, 2, -1, -1, -1]
    oracle = oracle_of()
    slopes = oracle.slopes(oracle.titles())
    back = {number: word for word, number in text_victim().model.vocabulary.items()}
    for title, ids, places in zip(slopes.titles, slopes.ids.tolist(), slopes.word.tolist(), strict=True):
        words = title.lower().split()
        assert [back[id_] for id_, place in zip(ids, places, strict=True) if place >= 0] == words
        assert [place for place in places if place >= 0] == list(range(len(words)))


@given(st.text(st.sampled_from("ab \u2003"), max_size=12))
def test_words_of_a_title_are_those_of_split(title):
    numbers = word_numbers(title, range(len(title)))
    for number, word in enumerate(title.split()):
        assert "".join(char for char, place in zip(title, numbers, strict=True) if place == number) == word
    assert all((place == -1) == char.isspace() for char, place in zip(title, numbers, strict=True))


def test_the_best_title_of_every_item_is_kept_whoever_proposed_it():
    genuine = oracle_of().titles()
    good = [f"Canyon Desert {title}" for title in genuine]
    mixed = [[good[0], genuine[1], genuine[2]], [genuine[0], good[1], good[2]]]
    oracle = oracle_of()
    worst = search_titles(fixed(*mixed), oracle, Rng(0))
    assert worst.titles == good
    assert oracle.allowed.edits(worst.titles) == [2, 2, 2]
    damage, loss, _ = oracle.judge(good)
    assert torch.equal(worst.damage, damage)
    assert torch.equal(worst.loss, loss)
    assert oracle.costs.queries == 3 * oracle.n_users, "two proposals and what came of them together"


def test_of_an_ensemble_the_best_title_of_every_item_is_kept_whichever_member_proposed_it():
    oracle, genuine = oracle_of(), oracle_of().titles()
    good = [f"Canyon Desert {title}" for title in genuine]
    mixed = [[good[0], genuine[1], genuine[2]], [genuine[0], good[1], good[2]]]
    member_log = MemberLog([Member(f"member {at}", fixed(titles)) for at, titles in enumerate(mixed)])
    worst = search_members(member_log, oracle, Rng(0))
    assert worst.titles == good
    assert oracle.allowed.edits(worst.titles) == [2, 2, 2]
    assert torch.equal(worst.damage, oracle_of().judge(good)[0])
    alone = [float(oracle_of().judge(titles)[0].mean()) for titles in mixed]
    assert list(member_log.damage.values()) == alone
    assert float(worst.damage.mean()) > max(alone)
    assert oracle.costs.queries == 3 * oracle.n_users, "a proposal of each member and what came of them together"


def test_untargeted_the_best_proposal_is_kept_as_a_whole():
    oracle = oracle_of(goal="untargeted")
    genuine = oracle.titles()
    half = [title if at % 2 else "House" for at, title in enumerate(genuine)]
    all_ = ["House" for _ in genuine]
    looks = [oracle.judge(titles) for titles in (genuine, half, all_)]
    best = max(range(3), key=lambda at: (float(looks[at][0][0]), float(looks[at][1][0])))
    worst = search_titles(fixed(half, all_), oracle_of(1.0, goal="untargeted"), Rng(0))
    allowed = [oracle.allowed.enforce(titles, oracle.costs) for titles in (genuine, half, all_)]
    assert worst.titles in allowed
    assert worst.titles == allowed[best]


def test_nothing_is_kept_that_does_not_help():
    oracle = oracle_of()
    genuine = oracle.judge(oracle.titles())
    tried = [[f"{word} {title}" for title in oracle.titles()] for word in TASTES[3].title().split()]
    looked = [(titles, zip(oracle.judge(titles), genuine, strict=True)) for titles in tried]
    worse = [titles for titles, pairs in looked if all((new < old).all() for new, old in pairs)]
    assert worse
    assert search_titles(fixed(*worse, oracle.titles()), oracle, Rng(0)).titles == oracle.titles()


@pytest.mark.parametrize("title", ["far too many words for any title of this world here", "Canyon\n", "Canyon \u2028"])
def test_what_is_not_allowed_is_undone_alone(title):
    oracle = oracle_of()
    genuine = oracle.titles()
    proposed = [title, "Canyon Desert", genuine[2]]
    assert oracle.allowed.enforce(proposed, oracle.costs) == [genuine[0], "Canyon Desert", genuine[2]]
    assert oracle.costs.overshoot > 1
    measured = text_victim().attacked(fixed(proposed), 1.0, "cheat", promoted())
    assert measured.achieved["overshoot"] > 1
    assert [row["row"] for row in measured.titles] == [promoted()[1]]


@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_other_blanks_are_no_edit(epsilon):
    oracle = oracle_of(epsilon)
    spaced = [f" {title.replace(' ', '   ')}" for title in oracle.titles()]
    assert oracle.allowed.enforce(spaced, oracle.costs) == oracle.titles()
    assert oracle.costs.overshoot == 0


@pytest.mark.parametrize("proposed", [["one"], "abc", [1, 2, 3], None, 3])
def test_what_is_no_title_per_item_is_an_error(proposed):
    with pytest.raises(PluginError, match="titles for 3 items"):
        oracle_of().allowed.enforce(proposed, Costs())


def test_a_title_reads_as_the_defence_reads_it():
    bench = text_victim()
    read = type(bench)(bench.model, bench.history, bench.held, bench.users, 0, bench.catalogue, str.lower)
    attack = fixed(["CANYON DESERT", "CANYON", "DESERT"])
    plain, cleaned = (b.attacked(attack, 1.0, "read", promoted()) for b in (bench, read))
    np.testing.assert_array_equal(plain.arrays["target_ranks"], cleaned.arrays["target_ranks"])
    broken = type(bench)(bench.model, bench.history, bench.held, bench.users, 0, bench.catalogue, lambda title: "House")
    measurement = broken.attacked(attack, 1.0, "read", promoted())
    assert (measurement.arrays["loss"] < plain.arrays["loss"]).any()


def test_slopes_go_through_wrappers():
    plain, bench = oracle_of(), text_victim()
    outer = Wrapped(Wrapped(bench.model))
    oracle = replace(plain, reader=replace(plain.reader, model=outer))
    titles = oracle.titles()
    expected, slopes = plain.slopes(titles), oracle.slopes(titles)
    torch.testing.assert_close(slopes.gradient, expected.gradient)
    assert float(slopes.gradient.abs().max()) > 0
    assert slopes.words == expected.words
    assert outer.innermost() is bench.model


def test_slopes_go_through_what_a_wrapper_does():
    class Halved(Wrapped):
        def score_from(self, batch, e):
            return 0.5 * self.inner.score_from(batch, e)

    plain = oracle_of(k=5)
    oracle = replace(plain, reader=replace(plain.reader, model=Halved(text_victim().model)))
    steep, half = plain.slopes(plain.titles()).gradient, oracle.slopes(oracle.titles()).gradient
    assert 0 < float(half.abs().max()) < float(steep.abs().max())


def test_only_a_title_that_changed_is_encoded_again(monkeypatch):
    oracle, read, encoded = oracle_of(), [], ReferenceText.encoded
    monkeypatch.setattr(ReferenceText, "encoded", lambda self, texts: read.append(list(texts)) or encoded(self, texts))
    genuine = oracle.titles()
    oracle.judge(genuine)
    assert not read
    oracle.judge([genuine[0], "Canyon Desert", genuine[2]])
    assert read == [[item_text(replace(oracle.catalogue.items[promoted()[1]], title="Canyon Desert"))]]
