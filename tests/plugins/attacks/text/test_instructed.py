"""Attacks with a language model in them: titles that give orders, and titles that one has written."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.tiny_decoder import tiny_decoder

from robench.api import Model, Rng
from robench.api.attacks.text import Exposure, edits_between
from robench.engine.surfaces.text.reader import PromotionGoal
from robench.plan.misfits import surface_misfit
from robench.pretrained.decoder import Decoder
from robench.spec import Part
from robench.testing import TextAttackTests
from robench.testing.text import exposure, host
from robench.testing.text_world import TASTES, promoted, text_victim
from robench_plugins.attacks.text.climb import Climb
from robench_plugins.attacks.text.hotflip import HotFlip
from robench_plugins.attacks.text.prefix import Prefix
from robench_plugins.attacks.text.prompt_injection import PAYLOADS, PromptInjection
from robench_plugins.attacks.text.rewrite import Rewrite
from robench_plugins.models.llm.model import Llm
from robench_plugins.models.text_bert import TextBert

PROMOTED = {"surface": "text", "goal": "promote"}
LIKED = TASTES[0].split()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(tiny_decoder(tmp_path_factory.mktemp("decoder")))


class Writer:
    """Answers what it is told to, whatever it is asked; notes the requests."""

    def __init__(self, replies):
        self.replies, self.asked = replies, []

    def answers(self, request, count, tokens, temperature):
        self.asked.append(request)
        return [self.replies[number % len(self.replies)] for number in range(count)]


class TestPromptInjection(TextAttackTests):
    attack = PromptInjection
    settings = {"payloads": [" ".join(LIKED[:count]) for count in range(1, 6)]}
    promotes_only = True


class TestRewrite(TextAttackTests):
    attack = Rewrite
    promotes_only = True

    @pytest.fixture(autouse=True)
    def seller(self, monkeypatch):
        monkeypatch.setattr(Decoder, "load", lambda weights: Seller())


class Seller:
    """Answers with words that half of the reference world's users like, alone or in front of the title."""

    def answers(self, request, count, tokens, temperature):
        title = re.findall(r"'([^']*)'", request)[-1]
        words = [LIKED[number % 6 :] + LIKED[: number % 6] for number in range(count)]
        return [" ".join(row[: 1 + number // 2]) + f" {title}" * (number % 2) for number, row in enumerate(words)]


def words_that_sell():
    """Words of the reference world that its most used items have."""
    bench = text_victim()
    best = int(np.argmax(bench.history.counts()))
    return bench.catalogue.items[best].title


def lifted(attack, epsilon=2.0):
    bench = text_victim()
    before = bench.clean(promoted()).arrays["target_ranks"]
    found = bench.attacked(attack, epsilon, "", promoted())
    return exposure(before), exposure(found.arrays["target_ranks"]), found


def test_for_each_item_the_instruction_that_reaches_most_users_is_taken_and_within_budget():
    payloads = (words_that_sell(), "zzz", "one two three four five six seven eight nine ten eleven twelve")
    attack = PromptInjection.make(payloads=payloads)
    before, after, found = lifted(attack)
    assert after > before
    (written,) = attack.rewrite(host(attack, 2.0), Rng(0))
    oracle = host(attack, 2.0)
    genuine = oracle.titles()
    forms = [[form.format(p, t) for t in genuine] for p in payloads[:2] for form in ("{0} {1}", "{1} {0}")]
    seen = [oracle.evaluate(titles) for titles in [genuine, *forms]]
    for at, title in enumerate(written):
        best = max(range(len(seen)), key=lambda number: (float(seen[number].reached[at]), float(seen[number].loss[at])))
        assert title == [genuine, *forms][best][at]
    assert all(row["edits"] == edits_between(row["before"], row["after"], "words") for row in found.titles)


def test_instructions_that_do_not_fit_are_left_out():
    attack = PromptInjection.make()
    oracle = host(attack, 0.01)  # one word
    short = [payload for payload in PAYLOADS if len(payload.split()) == 1]
    assert not short
    assert list(attack.rewrite(oracle, Rng(0))) == []


def test_what_no_budget_allows_is_not_asked_for(weights):
    for attack in (PromptInjection.make(), Rewrite.make(weights=weights)):
        oracle = host(attack, 0.0)
        assert list(attack.rewrite(oracle, Rng(0))) == []
        assert oracle.costs.queries == 0


def test_only_models_that_answer_a_prompt_are_instructed():
    part = Part("prompt-injection", {}, "prompt-injection")
    assert "nobody to instruct" in surface_misfit(part, PromptInjection, PROMOTED, "text-bert", TextBert)
    assert surface_misfit(part, PromptInjection, PROMOTED, "llm", Llm) == ""
    assert not Model.follows


def test_the_best_answer_is_taken_without_what_is_said_around_it(monkeypatch):
    writer = Writer(["Sure, here is a title: zzz", f"1. New title: - **{words_that_sell()}**", ""])
    monkeypatch.setattr(Decoder, "load", lambda weights: writer)
    before, after, found = lifted(Rewrite.make(proposals=3, rounds=1))
    assert after > before
    assert words_that_sell() in {row["after"] for row in found.titles}
    assert {row["after"] for row in found.titles} <= {words_that_sell(), "zzz"}
    assert len(writer.asked) == len(promoted())
    titles = host(Rewrite.make(), 1.0).titles()
    assert all(f"'{title}'" in request for title, request in zip(titles, writer.asked, strict=True))


def test_an_answer_over_budget_is_cut(monkeypatch):
    long = " ".join([words_that_sell()] * 9)
    monkeypatch.setattr(Decoder, "load", lambda weights: Writer([long]))
    attack = Rewrite.make(proposals=1)
    oracle = host(attack, 1.0)
    for titles in attack.rewrite(oracle, Rng(0)):
        assert titles != oracle.titles()
        for at, title in enumerate(titles):
            assert edits_between(oracle.titles()[at], title, "words") <= oracle.budget()[at]


def test_a_real_decoder_answers_the_same_for_the_same_seed(weights):
    titles = [list(Rewrite.make(weights=weights, tokens=8).rewrite(host(Rewrite.make(), 1.0), Rng(3))) for _ in "ab"]
    assert titles[0] == titles[1]
    decoder = Decoder.load(weights)
    with Rng(0).stream():
        one = decoder.answers("Heat", 3, 8)
    with Rng(1).stream():
        two = decoder.answers("Heat", 3, 8)
    assert len(one) == 3
    assert one != two
    assert not any("\n" in answer for answer in one)


@pytest.mark.parametrize("attack", [PromptInjection, Rewrite])
def test_settings_are_checked(attack):
    with pytest.raises(ValidationError):
        attack.make(goal="untargeted")


def test_flips_need_a_model_that_has_slopes_by_its_tokens():
    part = Part("hotflip", {}, "hotflip")
    fall = PROMOTED | {"goal": "untargeted"}
    blind = type("Blind", (Llm,), {"token_goals": ()})
    assert (
        surface_misfit(part, HotFlip, PROMOTED, "blind", blind) == "blind offers no gradient by its tokens for hotflip"
    )
    assert surface_misfit(part, HotFlip, fall, "llm", Llm).endswith("for hotflip but to promote")
    for threat, name, model in (
        (PROMOTED, "llm", Llm),
        (PROMOTED, "text-bert", TextBert),
        (fall, "text-bert", TextBert),
    ):
        assert surface_misfit(part, HotFlip, threat, name, model) == ""


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("- The Wizard", "The Wizard"),
        ("1. The Wizard", "The Wizard"),
        ("2) 'The Wizard'", "The Wizard"),
        ("Title: 3. The Wizard", "The Wizard"),
        ("12 Monkeys", "12 Monkeys"),
        ("101. Dalmatians", "101. Dalmatians"),
        ("-Wizard-", "-Wizard-"),
    ],
)
def test_marks_of_lists_are_no_part_of_a_title(answer, title):
    oracle = host(Rewrite.make(), 3.0)
    assert Rewrite._within(Climb(oracle), 0, answer) == title


def test_the_writer_is_shown_the_most_used_titles_and_then_what_reached_most_users_for_others(monkeypatch):
    class Better(Writer):
        """Nothing for the first item, for the others ever more words that users like."""

        def answers(self, request, count, tokens, temperature):
            self.asked.append(request)
            return [" ".join(LIKED[: (len(self.asked) - 1) % 3])]

    writer = Better([])
    monkeypatch.setattr(Decoder, "load", lambda weights: writer)
    oracle = host(Rewrite.make(), 3.0)
    list(Rewrite.make(proposals=1, rounds=2, examples=3).rewrite(oracle, Rng(0)))
    used = [oracle.catalogue.items[row].title for row in np.argsort(-oracle.counts, kind="stable")[:3]]
    shown = [re.findall(r"'([^']*)'", request)[:-1] for request in writer.asked]
    assert shown[:3] == [used] * 3
    two, one = " ".join(LIKED[:2]), LIKED[0]
    assert shown[3:] == [[two, one, used[0]], [two, *used[:2]], [one, *used[:2]]]
    writer = Writer([LIKED[0]])
    list(Rewrite.make(proposals=1, rounds=2, examples=3).rewrite(oracle, Rng(0)))
    shown = [re.findall(r"'([^']*)'", request)[:-1] for request in writer.asked]
    assert shown[3:] == [[LIKED[0], *used[:2]]] * 3, "the same title once"


def test_examples_are_ordered_by_the_users_that_they_reach_before_the_loss():
    oracle = host(Rewrite.make(), 3.0)
    climb = Climb(oracle)
    climb.titles = ["one", "two", "three"]
    climb.shown = Exposure(torch.tensor([3.0, 2.0, 1.0]), torch.tensor([0.1, 0.3, 0.2]))
    assert Rewrite.make(examples=2)._examples(climb) == [["two", "three"], ["three", "one"], ["two", "one"]]


@pytest.mark.parametrize(("limit", "title"), [(1, "a {}"), (2, "a b {}"), (3, "a b c"), (9, "a b c d")])
def test_with_fewer_edits_than_words_the_answer_stands_before_the_title(limit, title):
    climb = Climb(host(Rewrite.make(), 1.0))
    climb.genuine[0], climb.limit[0] = "one two three", limit
    assert Rewrite._within(climb, 0, "a b c d") == title.format(climb.genuine[0])
    climb.limit[0] = 0
    assert Rewrite._within(climb, 0, "a b c d") == climb.genuine[0]


class TestWhoClaimsToPromoteOnly:
    def test_and_does_not_is_told(self):
        claims = type("Claims", (TextAttackTests,), {"attack": Prefix, "promotes_only": True})()
        with pytest.raises((pytest.fail.Exception, pytest.skip.Exception)) as told:
            claims.can("untargeted")
        assert told.type is pytest.fail.Exception
        assert "its Config takes the goal untargeted" in str(told.value)
        claims.can("promote")

    def test_and_who_does_not_claim_it_is_told(self):
        silent = type("Silent", (TextAttackTests,), {"attack": PromptInjection})()
        with pytest.raises(pytest.fail.Exception, match="say promotes_only = True"):
            silent.made(goal="untargeted")
        with pytest.raises(ValidationError):
            silent.made(goal="promote", no_such_setting=1)


def test_an_item_is_not_an_example_for_itself(monkeypatch):
    writer = Writer([""])
    monkeypatch.setattr(Decoder, "load", lambda weights: writer)
    oracle = host(Rewrite.make(), 1.0)
    used = np.argsort(-oracle.counts, kind="stable")[:3]
    oracle = replace(oracle, goal=PromotionGoal(used[:1], 10))
    list(Rewrite.make(proposals=1, rounds=1, examples=2).rewrite(oracle, Rng(0)))
    one, two, three = (oracle.catalogue.items[row].title for row in used.tolist())
    assert re.findall(r"'([^']*)'", writer.asked[0]) == [two, three, one]


def test_the_answers_to_every_title_are_drawn_from_a_stream_of_its_own(monkeypatch):
    class Drawing(Writer):
        def answers(self, request, count, tokens, temperature):
            drawn.append(float(torch.rand(1)))
            return super().answers(request, count, tokens, temperature)

    drawn = []
    monkeypatch.setattr(Decoder, "load", lambda weights: Drawing(["zzz"]))
    list(Rewrite.make(proposals=1, rounds=2).rewrite(host(Rewrite.make(), 1.0), Rng(0)))
    assert len(set(drawn)) == len(drawn) == 2 * len(promoted())
