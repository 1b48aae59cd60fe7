"""Tests the sentences on what a board tested."""

from types import SimpleNamespace

import pytest

from robench.report.page.tested import list_commands, list_facts, write_citation, write_origin, write_tested
from robench.tables.origin import Origin


def cell(model, defence):
    key = SimpleNamespace(
        model=model, model_label=model, defense_label=defence, defended=defence != "none", place=("data", "split")
    )
    return SimpleNamespace(cell=SimpleNamespace(key=key, seed=0, threat=None, status="planned", baseline=False))


def tables_of(cells, **more):
    return SimpleNamespace(**{"values": cells, "certificates": (), "membership": (), "leaderboard": (0,)} | more)


@pytest.mark.parametrize(
    ("defended", "words"),
    [
        ({"one": ("apr", "vat"), "two": ("apr", "vat")}, "without a defence and with 2 defences (apr, vat)."),
        ({"one": ("apr", "vat"), "two": ("apr",)}, "without a defence and with some of 2 defences (apr, vat)."),
        ({"one": ("apr", "vat"), "two": ()}, "without a defence; some also with 2 defences (apr, vat)."),
        ({"one": (), "two": ("apr",)}, "without a defence; some also with apr."),
        ({"one": (), "two": ()}, "without any defence."),
    ],
)
def test_a_board_does_not_claim_that_every_model_had_every_defence(defended, words):
    cells = [cell(model, name) for model, names in defended.items() for name in ("none", *names)]
    sentence, *_ = write_tested(tables_of(cells))
    assert sentence.startswith("This board compares 2 models (one, two) on data, split: ")
    assert sentence.endswith(f"each was fitted with 1 seed, {words}")


def test_a_board_of_certificates_says_what_they_show():
    rows = [
        SimpleNamespace(key=SimpleNamespace(model_label=model), metric=metric, plain=plain, certified=(0.2, one, 0.0))
        for model, metric, plain, one in [("a", "p@10", 0.3, 0.1), ("b", "p@10", 0.4, 0.05), ("a", "r@10", 0.9, 0.8)]
    ]
    _, sentence, _ = write_tested(tables_of([cell("a", "none"), cell("b", "none")], certificates=rows))
    assert "whatever one fake user does, a keeps at least .1000 of the p@10 of .3000" in sentence


def test_a_board_of_membership_names_its_attacks_and_claims_no_other_robustness():
    rows = [SimpleNamespace(attack_label=name) for name in ("miars", "score", "miars")]
    told = write_tested(tables_of([cell("a", "none")], membership=rows, leaderboard=()))
    assert told[1:] == [
        "Attacks on membership asked which users are in the training data: 2 attacks (miars, score).",
        "No attack changed a list, so the board says nothing about other robustness.",
        "Every value is a mean over seeds and users with a 95% interval.",
    ]


def test_a_board_without_any_attack_says_so():
    told = write_tested(tables_of([cell("a", "none")]))
    assert told[1] == "No attack was made, so the board says nothing about robustness."
    assert told[2].startswith("A worst case is the worst outcome of a table's attacks within its ε, and every value is")


def board(suite="w", **origin):
    return SimpleNamespace(suite=suite, origin=Origin(**origin))


MEASURED = {
    "versions": {"robench": ("0.1.0",), "python": ("3.11.7", "3.12.1"), "torch": ()},
    "plugins": {"robench:builtin": ("0.1.0",), "theirs:main": ("2.0",)},
    "machines": ("linux x86_64, AMD EPYC, cpu, 1 thread", "linux x86_64, cuda, 1 thread"),
    "plan_sha256": "0123456789abcdef" * 4,
}
VERSIONS = "robench 0.1.0, python 3.11.7 and 3.12.1, theirs:main 2.0"
MACHINES = "linux x86_64, AMD EPYC, cpu, 1 thread; linux x86_64, cuda, 1 thread"


@pytest.mark.parametrize(
    ("dates", "said", "days"),
    [
        (
            ("2026-11-29", "2026-11-30"),
            f"Measured from 2026-11-29 to 2026-11-30 with {VERSIONS}.",
            "2026-11-29 to 2026-11-30",
        ),
        (("2026-11-30", "2026-11-30"), f"Measured on 2026-11-30 with {VERSIONS}.", "2026-11-30"),
        (
            (),
            f"Measured with {VERSIONS}; the records do not state the day.",
            "the records of this board do not state a day",
        ),
    ],
)
def test_the_top_says_when_with_what_and_where_a_board_was_measured(dates, said, days):
    one = board(**MEASURED, dates=dates, seconds=5400.0, memory=1536.0)
    assert write_origin(one) == f"{said} Hardware: {MACHINES}."
    assert list_facts(one) == [
        ("Measured", days),
        ("Versions", VERSIONS),
        ("Hardware", f"{MACHINES}; at most 1.5 GiB of memory per worker"),
        ("Cost", "1.5 hours of fits and measurements in all"),
    ]


def test_a_board_without_records_has_no_origin():
    assert write_origin(board()) == ""


def test_the_commands_can_be_pasted_into_a_shell():
    commands = [command for _, command in list_commands(board(suite="it's; rm -r"))]
    assert commands == [
        """robench run results/'it'"'"'s; rm -r'/suite.yaml --results again/'it'"'"'s; rm -r'""",
        """robench verify results/'it'"'"'s; rm -r'""",
    ]


def test_the_citation_names_the_board_its_version_its_day_and_its_plan():
    entry = write_citation(board(suite="50% & a_b", **MEASURED, dates=("2026-11-29", "2026-11-30")))
    assert entry == [
        "@misc{robench-50----a-b,",
        "  author = {{The robench developers}},",
        r"  title  = {robench: the board 50\% \& a\_b},",
        "  note   = {robench 0.1.0, measured 2026-11-30, plan sha256 0123456789abcdef}",
        "}",
    ]
