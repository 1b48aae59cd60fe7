"""Tests prompt injection, and attacks that let a language model write titles.

Prompt injection puts instructions to the victim into titles.
"""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tests.tiny_decoder import tiny_decoder

from robench.api import Model, Rng
from robench.api.attacks.text import Exposure, edits_between
from robench.api.threat import Threat
from robench.engine.surfaces.text.goal import PromotionGoal
from robench.plan.misfits import find_surface_misfit
from robench.plan.parts import Planned, PlannedAttack
from robench.pretrained.decoder import Decoder
from robench.spec import Part
from robench.testing import TextAttackTests
from robench.testing.text import exposure, title_oracle
from robench.testing.text_world import TASTES, promoted, text_victim
from robench_plugins.attacks.text.hotflip import HotFlip
from robench_plugins.attacks.text.prefix import Prefix
from robench_plugins.attacks.text.prompt_injection import PAYLOADS, PromptInjection
from robench_plugins.attacks.text.rewrite import Rewrite
from robench_plugins.attacks.text.title_search import TitleSearch
from robench_plugins.models.llm.model import Llm
from robench_plugins.models.text_bert import TextBert

LIKED = TASTES[0].split()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(tiny_decoder(tmp_path_factory.mktemp("decoder")))


class Writer:
    """A decoder that gives fixed answers and records the requests."""

    def __init__(self, replies):
        self.replies, self.requests = replies, []

    def answers(self, request, count, tokens, temperature):
        self.requests.append(request)
        return [self.replies[number % len(self.replies)] for number in range(count)]


class TestPromptInjection(TextAttackTests):
    attack = PromptInjection
    settings = {"payloads": [" ".join(LIKED[:count]) for count in range(1, 6)]}
    promotes_only = True


class TestRewrite(TextAttackTests):
    attack = Rewrite
    promotes_only = True

    @pytest.fixture(autouse=True)
    def persuasive_decoder(self, monkeypatch):
        monkeypatch.setattr(Decoder, "load", lambda weights: PersuasiveWriter())


class PersuasiveWriter:
    """A decoder that answers with words that half of the users like.

    The answers consist of these words alone, or of these words before the title.
    """

    def answers(self, request, count, tokens, temperature):
        title = re.findall(r"'([^']*)'", request)[-1]
        words = [LIKED[number % 6 :] + LIKED[: number % 6] for number in range(count)]
        return [" ".join(row[: 1 + number // 2]) + f" {title}" * (number % 2) for number, row in enumerate(words)]


def most_used_title():
    """Returns the title of the item that most users of the text victim have."""
    victim = text_victim()
    best = int(np.argmax(victim.history.counts()))
    return victim.catalogue.items[best].title


def exposures(attack, epsilon=2.0):
    """Returns the exposure of promoted items before and after an attack.

    The third result is the measurement of the attack.
    """
    victim = text_victim()
    before = victim.clean(promoted()).arrays["target_ranks"]
    attacked = victim.attacked(attack, epsilon, "", promoted())
    return exposure(before), exposure(attacked.arrays["target_ranks"]), attacked


def test_each_item_takes_the_instruction_within_budget_that_reaches_most_users():
    payloads = (most_used_title(), "zzz", "one two three four five six seven eight nine ten eleven twelve")
    attack = PromptInjection.make(payloads=payloads)
    before, after, attacked = exposures(attack)
    assert after > before
    (written,) = attack.rewrite(title_oracle(attack, 2.0), Rng(0))
    oracle = title_oracle(attack, 2.0)
    genuine = oracle.titles()
    forms = [[form.format(p, t) for t in genuine] for p in payloads[:2] for form in ("{0} {1}", "{1} {0}")]
    outcomes = [oracle.evaluate(titles) for titles in [genuine, *forms]]
    for at, title in enumerate(written):
        best = max(range(len(outcomes)), key=lambda n: (float(outcomes[n].reached[at]), float(outcomes[n].loss[at])))
        assert title == [genuine, *forms][best][at]
    assert all(row["edits"] == edits_between(row["before"], row["after"], "words") for row in attacked.titles)


def test_instructions_over_budget_are_skipped():
    attack = PromptInjection.make()
    oracle = title_oracle(attack, 0.01)  # the budget is rounded up to one word
    short = [payload for payload in PAYLOADS if len(payload.split()) == 1]
    assert not short
    assert list(attack.rewrite(oracle, Rng(0))) == []


def test_without_a_budget_nothing_is_evaluated(weights):
    for attack in (PromptInjection.make(), Rewrite.make(weights=weights)):
        oracle = title_oracle(attack, 0.0)
        assert list(attack.rewrite(oracle, Rng(0))) == []
        assert oracle.costs.queries == 0


def misfit(attack, model, name, goal="promote"):
    """Returns the plan's reason why an attack on titles does not fit a model.

    The result is an empty string if the attack fits.
    """
    label = "prompt-injection" if attack is PromptInjection else "hotflip"
    threat = Threat("text", "test", "words", goal=goal)
    planned = PlannedAttack(Part(label, {}, label), attack.make(), own=True, threat=threat, epsilons=(0.1,))
    return find_surface_misfit(planned, Planned(Part(name, {}, name), model.make(), own=True))


def test_only_models_that_answer_a_prompt_are_instructed():
    assert "nobody to instruct" in misfit(PromptInjection, TextBert, "text-bert")
    assert misfit(PromptInjection, Llm, "llm") == ""
    assert not Model.follows


def test_the_best_answer_is_taken_without_its_introduction(monkeypatch):
    writer = Writer(["Sure, here is a title: zzz", f"1. New title: - **{most_used_title()}**", ""])
    monkeypatch.setattr(Decoder, "load", lambda weights: writer)
    before, after, attacked = exposures(Rewrite.make(proposals=3, rounds=1))
    assert after > before
    assert most_used_title() in {row["after"] for row in attacked.titles}
    assert {row["after"] for row in attacked.titles} <= {most_used_title(), "zzz"}
    assert len(writer.requests) == len(promoted())
    titles = title_oracle(Rewrite.make(), 1.0).titles()
    assert all(f"'{title}'" in request for title, request in zip(titles, writer.requests, strict=True))


def test_an_answer_over_budget_is_cut(monkeypatch):
    long = " ".join([most_used_title()] * 9)
    monkeypatch.setattr(Decoder, "load", lambda weights: Writer([long]))
    attack = Rewrite.make(proposals=1)
    oracle = title_oracle(attack, 1.0)
    for titles in attack.rewrite(oracle, Rng(0)):
        assert titles != oracle.titles()
        for at, title in enumerate(titles):
            assert edits_between(oracle.titles()[at], title, "words") <= oracle.budget()[at]


def test_a_real_decoder_answers_the_same_for_the_same_seed(weights):
    attack = Rewrite.make(weights=weights, tokens=8)
    titles = [list(attack.rewrite(title_oracle(Rewrite.make(), 1.0), Rng(3))) for _ in "ab"]
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


def test_flips_need_a_model_with_a_gradient_by_its_tokens():
    blind = type("Blind", (Llm,), {"token_goals": ()})
    assert misfit(HotFlip, blind, "blind") == "blind offers no gradient by its tokens for hotflip"
    assert misfit(HotFlip, Llm, "llm", "untargeted").endswith("for hotflip but to promote")
    for model, name, goal in (
        (Llm, "llm", "promote"),
        (TextBert, "text-bert", "promote"),
        (TextBert, "text-bert", "untargeted"),
    ):
        assert misfit(HotFlip, model, name, goal) == ""


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
def test_list_marks_are_not_part_of_a_title(answer, title):
    oracle = title_oracle(Rewrite.make(), 3.0)
    assert Rewrite._within_budget(TitleSearch(oracle), 0, answer) == title


def test_examples_are_the_most_used_titles_and_later_the_best_titles_of_other_items(monkeypatch):
    class Better(Writer):
        """A decoder that gives the first of three items an empty answer.

        The answers for the second and the third item are one and two words that users like.
        """

        def answers(self, request, count, tokens, temperature):
            self.requests.append(request)
            return [" ".join(LIKED[: (len(self.requests) - 1) % 3])]

    writer = Better([])
    monkeypatch.setattr(Decoder, "load", lambda weights: writer)
    oracle = title_oracle(Rewrite.make(), 3.0)
    list(Rewrite.make(proposals=1, rounds=2, examples=3).rewrite(oracle, Rng(0)))
    used = [oracle.catalogue.items[row].title for row in np.argsort(-oracle.counts, kind="stable")[:3]]
    shown = [re.findall(r"'([^']*)'", request)[:-1] for request in writer.requests]
    assert shown[:3] == [used] * 3
    two, one = " ".join(LIKED[:2]), LIKED[0]
    assert shown[3:] == [[two, one, used[0]], [two, *used[:2]], [one, *used[:2]]]
    writer = Writer([LIKED[0]])
    list(Rewrite.make(proposals=1, rounds=2, examples=3).rewrite(oracle, Rng(0)))
    shown = [re.findall(r"'([^']*)'", request)[:-1] for request in writer.requests]
    assert shown[3:] == [[LIKED[0], *used[:2]]] * 3, "equal titles are shown once"


def test_examples_are_ordered_by_the_users_that_they_reach_before_the_loss():
    oracle = title_oracle(Rewrite.make(), 3.0)
    search = TitleSearch(oracle)
    search.titles = ["one", "two", "three"]
    search.exposure = Exposure(torch.tensor([3.0, 2.0, 1.0]), torch.tensor([0.1, 0.3, 0.2]))
    assert Rewrite.make(examples=2)._examples(search) == [["two", "three"], ["three", "one"], ["two", "one"]]


@pytest.mark.parametrize(("budget", "title"), [(1, "a {}"), (2, "a b {}"), (3, "a b c"), (9, "a b c d")])
def test_with_fewer_edits_than_words_the_answer_precedes_the_title(budget, title, monkeypatch):
    search = TitleSearch(title_oracle(Rewrite.make(), 1.0))
    monkeypatch.setattr(search.oracle, "passes", lambda titles: [True] * len(titles))
    search.genuine[0], search.budget[0] = "one two three", budget
    assert Rewrite._within_budget(search, 0, "a b c d") == title.format(search.genuine[0])
    search.budget[0] = 0
    assert Rewrite._within_budget(search, 0, "a b c d") == search.genuine[0]


class TestPromotesOnly:
    def test_a_false_claim_fails(self):
        claims = type("Claims", (TextAttackTests,), {"attack": Prefix, "promotes_only": True})()
        with pytest.raises((pytest.fail.Exception, pytest.skip.Exception)) as failure:
            claims.skip_unless_offered("untargeted")
        assert failure.type is pytest.fail.Exception
        assert "its Config takes the goal untargeted" in str(failure.value)
        claims.skip_unless_offered("promote")

    def test_a_missing_claim_fails(self):
        silent = type("Silent", (TextAttackTests,), {"attack": PromptInjection})()
        with pytest.raises(pytest.fail.Exception, match="say promotes_only = True"):
            silent.make(goal="untargeted")
        with pytest.raises(ValidationError):
            silent.make(goal="promote", no_such_setting=1)


def test_an_item_is_not_an_example_for_itself(monkeypatch):
    writer = Writer([""])
    monkeypatch.setattr(Decoder, "load", lambda weights: writer)
    oracle = title_oracle(Rewrite.make(), 1.0)
    used = np.argsort(-oracle.counts, kind="stable")[:3]
    oracle = replace(oracle, goal=PromotionGoal(used[:1], 10))
    list(Rewrite.make(proposals=1, rounds=1, examples=2).rewrite(oracle, Rng(0)))
    one, two, three = (oracle.catalogue.items[row].title for row in used.tolist())
    assert re.findall(r"'([^']*)'", writer.requests[0]) == [two, three, one]


def test_the_answers_for_each_title_have_a_random_stream_of_their_own(monkeypatch):
    class Drawing(Writer):
        def answers(self, request, count, tokens, temperature):
            draws.append(float(torch.rand(1)))
            return super().answers(request, count, tokens, temperature)

    draws = []
    monkeypatch.setattr(Decoder, "load", lambda weights: Drawing(["zzz"]))
    list(Rewrite.make(proposals=1, rounds=2).rewrite(title_oracle(Rewrite.make(), 1.0), Rng(0)))
    assert len(set(draws)) == len(draws) == 2 * len(promoted())
