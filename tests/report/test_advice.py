"""Tests what the page says to somebody who must choose a defence."""

from html import unescape

import pytest
from tests.fakes import EMBEDDING, L2, World, ranks

from robench.api.threat import Threat
from robench.report.page import to_page
from robench.report.page.advice import write_advice
from robench.report.page.attacker import describe_attacker
from robench.report.page.headlines import build_headlines
from robench.report.page.tested import write_citation


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Returns the tables of five models.

    A defence helps the first model, none helps the second one, and the third one has no ranked defence. Two further
    models have no defence.
    """
    world = World(tmp_path_factory.mktemp("w") / "w", [EMBEDDING])
    for seed in (0, 1, 2):
        world.cell(ranks(5, 99), model="popularity", seed=seed)
        for model in ("bare", "plain"):
            world.cell(ranks(150, 99), model=model, seed=seed)
            world.cell(ranks(60, 99), model=model, seed=seed, attack="pgd", epsilon=0.05)
        for model, weight, clean, left in (
            ("helped", 1.0, 150, 50),
            ("helped", 0.5, 140, 90),
            ("same", 1.0, 150, 50),
            ("same", 0.5, 130, 49 + seed),
            ("alone", 1.0, 150, 60),
            ("alone", 0.5, 4, 3),
        ):
            world.cell(ranks(clean, 99), model=model, weight=weight, seed=seed)
            world.cell(ranks(left, 99), model=model, weight=weight, seed=seed, attack="pgd", epsilon=0.05)
    return world.build()


def test_each_model_has_a_recommendation_with_its_gain_and_its_cost(tables):
    helped, same, alone, untested = write_advice(tables.leaderboard[0], tables.page_values[0])
    assert helped.startswith("**helped**: at λ=0.5 helps. With at λ=0.5 the worst case is .4500 instead of .2500.")
    assert "The clean ndcg@10 is .7000 instead of .7500, a difference of -.0500 [" in helped
    assert same.startswith("**same**: of 1 defence, none is shown to help.")
    assert "(undecided " in same
    assert "The clean ndcg@10 is .6500 instead of .7500" in same
    assert alone.startswith("**alone**: of 1 defence, none has a rank")
    assert "Do not believe at λ=0.5 (not above popularity" in alone
    assert untested == "No defence was tested for bare and plain."


def test_the_verdict_names_who_survives_and_what_weakens_the_evidence(tables):
    (headline,) = build_headlines(tables)
    text = " ".join(headline.sentences)
    assert "**At ε = 0.05, 1 of 7 ranked rows keeps half** of its clean ndcg@10: helped, at λ=0.5." in text
    assert "**Do not believe 1 unranked row**: alone, at λ=0.5. The flags are" in text
    assert "**A stronger attack may exist**: this suite chose the attacks (pgd)" in text
    page = to_page(tables, drawn=False)
    assert unescape(page).count(headline.attacker) == 2, "in the verdict and above the table"


def test_a_board_without_defences_gives_no_advice_and_names_models_alone(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for model, left in (("one", 100), ("two", 30)):
        world.cell(ranks(150, 99), model=model)
        world.cell(ranks(left, 99), model=model, attack="pgd", epsilon=0.05)
    tables = world.build()
    (headline,) = build_headlines(tables)
    assert headline.advice == []
    text = " ".join(headline.sentences)
    assert "keeps half** of its clean ndcg@10: one. two without a defence keeps least, 20%." in text
    assert "**One fit per row**" in text
    ((_, grid),) = headline.grids
    assert [list(line) for line in grid.body] == [
        ["one", ".7500", ".5000", "33.3%"],
        ["two", ".7500", ".1500", "80.0%"],
    ]


def test_a_row_without_all_attacks_within_an_epsilon_does_not_survive_it(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    common = (("pgd", 0.05, 100), ("pgd", 0.1, 90))
    for weight, attacks in ((1.0, (*common, ("fgsm", 0.1, 80))), (0.5, common)):
        world.cell(ranks(150, 99), weight=weight)
        for attack, epsilon, left in attacks:
            world.cell(ranks(left, 99), weight=weight, attack=attack, epsilon=epsilon)
    (headline,) = build_headlines(world.build())
    text = " ".join(headline.sentences)
    assert "**At ε = 0.1, 1 of 1 ranked row keeps half**" in text
    assert "mf without a defence keeps least, 53%." in text


@pytest.mark.parametrize(
    ("changes", "epsilon", "words"),
    [
        ({}, 0.05, "the length of this shift is at most 0.05 times the size of the model's own inputs"),
        ({"norm": "linf", "scale": "absolute"}, 0.1, "each entry of this shift is at most 0.1 in the units"),
        ({"surface": "parameters"}, 0.02, "which all users share, and each row moves by at most 0.02, relative"),
        ({"surface": "history", "norm": "edits", "scale": "absolute"}, 1, "substitutes up to 1 item in the history"),
        ({"surface": "history", "norm": "edits"}, 0.1, "up to 10% of the items in the history"),
        (
            {"surface": "history", "norm": "edits-at-end-plausible-0.1", "scale": "absolute"},
            2,
            "appends up to 2 items to the history of each user. An inserted item must co-occur with the history as "
            "often as the 0.1 quantile",
        ),
        ({"surface": "history", "norm": "edits-white-box"}, 1, "The attacker may use gradients of the model."),
        ({"surface": "text", "norm": "words"}, 0.5, "changes up to 50% of the words of a title"),
        (
            {"surface": "interactions", "stage": "train", "norm": "users-seen-0.2-surrogate", "goal": "promote"},
            0.01,
            "up to 1% of the number of real users. The attacker sees the training items of 20% of the real "
            "users. The attacker may fit the victim's model and defence, with other random numbers. The attacker "
            "wants the target items high in the lists of all users.",
        ),
        (
            {"surface": "interactions", "norm": "users", "goal": "demote"},
            0.01,
            "target items low in the lists of all users.",
        ),
        ({"surface": "text", "norm": "words", "goal": "promote"}, 0.5, "the target items in the top 10 of all users."),
    ],
)
def test_the_attacker_is_described_in_words(changes, epsilon, words):
    text = describe_attacker(Threat(**{**L2, **changes}), epsilon)
    assert words in text
    assert ("held-out item" in text) == (changes.get("goal") is None)


def test_fake_users_without_targets_spoil_the_lists_of_others():
    threat = Threat(**{**L2, "surface": "interactions", "stage": "train", "norm": "users"})
    assert describe_attacker(threat, 0.01).endswith(" The attacker wants the lists of real users to get worse.")


def test_changed_interactions_have_no_attacker():
    threat = Threat(**{**L2, "surface": "interactions", "stage": "train", "norm": "share"})
    assert describe_attacker(threat, 0.3) == ("Up to 30% of the training data is changed before the model is fitted.")


def test_the_citation_has_a_line_for_each_field(tables):
    lines = write_citation(tables)
    assert lines[0].startswith("@misc{robench-")
    assert lines[-1] == "}"
    page = to_page(tables, drawn=False)
    assert "\n".join(lines[1:3]) in page
    assert "U+000A" not in page
