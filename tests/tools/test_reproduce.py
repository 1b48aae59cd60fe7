"""Tests the verdicts on published effects, with made-up results.

The made-up folders contain the cells of the real suites.
"""

import json
import random
import re
import runpy
import sys

import pytest
from tests.fakes import USERS, World, ranks
from tools.perf import reproduce
from tools.perf.reproduce import SUITES, main

from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.store.seal import seal
from robench.suite.load import load_suite

# The functions below return the number of hit users in a cell.
# A gap of one user has a mean above 0 and an interval that contains 0.
CLIPPED = {"l2_mean": 2.2, "l2_max": 3.0}
UNDECIDED = {("items-10", "adversarial-training", "linf"), ("items-20", "from the start", "l2")}


def apr(c):
    if c["model"] == "popularity":
        return 20
    if c["attack_label"] == "none":
        return 100 if c["defense_label"] == "none" else 130
    if c["attack_label"] == "pgd[steps=40]":
        return 0  # no claim concerns this cell
    close = c["dataset"] == "movielens-small" and c["epsilon"] == 0.1 and not c["attack_label"].endswith(("m", "]"))
    strong = c["attack"] == "pgd" or (c["dataset"], c["attack_label"]) == ("ml-100k", "fgsm on held-out")
    if c["defense_label"] == "none":  # PGD is worse for BPR-MF, and FGSM is worse for AMF
        return (85 if close else 40) if strong else 90
    return 120 if c["attack"] == "pgd" else 116 if close else 110


def msap(c):
    wide = c["epsilon"] == 2.2
    if c["model"] == "popularity":
        return 20
    if c["attack"] == "pgd":
        return 11 if wide else 119 if c["dataset"] == "movielens-small" else 90
    return {"none": 150, "fgsm": 40 if wide else 120, "msap": 10}[c["attack"]]


def training(c):
    if c["model"] == "popularity":
        return 20
    if c["attack"] == "none":
        return 120 if c["defense_label"] == "none" else 110
    if c["defense_label"] == "none":
        return 60
    close = (c["dataset"], c["defense_label"], c["norm"]) in UNDECIDED or (c["model"], c["norm"]) == (
        "bert4rec",
        "linf",
    )
    return 61 if close else 90


AS_DOCUMENTED = {
    "apr": apr,
    "apr-ml-100k": apr,
    "msap": msap,
    "msap-ml-100k": msap,
    "adversarial-training": training,
    "bert4rec": training,
}


def turned(good):
    """Returns a variant of ``good`` that reverses every gap.

    Both functions map a cell to the number of users with their item at rank 1.
    """
    if good is not apr:
        return lambda c: USERS - good(c)
    other = {"none": "apr", "apr": "none"}
    return lambda c: 190 if c["model"] == "popularity" else apr({**c, "defense_label": other[c["defense_label"]]})


def write(folder, suite, good, *, lost=lambda c: False, left_out=lambda c: False):
    """Writes a folder with the results of a suite, and returns the folder.

    Args:
        folder: The folder to write.
        suite: The name of the suite.
        good: A function from a cell to the number of users with their item at rank 1.
        lost: A function that is true for cells without a record.
        left_out: A function that is true for cells that the plan lacks.
    """
    registry, world = Registry.of(Host.discover()), World(folder, [])
    whole = make_plan(load_suite(reproduce.SUITES / f"{suite}.yaml", registry), registry)
    plan, specs = whole.to_json(), {cell.id: cell.content() for cell in whole.cells}
    kept = [c for c in plan["cells"] if not left_out(c)]
    for planned in random.Random(0).sample(kept, len(kept)):  # the order of the cells has no meaning
        measured = planned["status"] != "skipped" and not lost(planned)
        users = ranks(good(planned), 99) if measured else []
        spent = CLIPPED if planned["attack"] == "msap" else {}
        made = world.cell(
            users,
            status="ok" if measured else "missing",
            epsilon=planned["epsilon"],
            achieved=spent,
            spec=specs[planned["cell"]],
        )
        made.update(planned)
    (folder / "plan.json").write_text(json.dumps(seal({**plan, "cells": world.cells})))
    return folder


@pytest.fixture
def judged(tmp_path, capsys, monkeypatch):
    """Returns a function that judges made-up results of a suite.

    The function returns the number of errors that ``main`` counts, the lines by verdict, and all lines. To save time,
    the suite has only two seeds. Lines of the suite that contain ``drop`` are removed.
    """
    monkeypatch.setattr(reproduce, "SUITES", tmp_path / "suites")

    def judged(suite, good, drop="\0", **how):
        text = re.sub(r"seeds: \[.*\]", "seeds: [0, 1]", (SUITES / f"{suite}.yaml").read_text())
        reproduce.SUITES.mkdir()
        (reproduce.SUITES / f"{suite}.yaml").write_text(
            "\n".join(line for line in text.splitlines() if drop not in line)
        )
        wrong = main([write(tmp_path / "results", suite, good, **how)])
        said = capsys.readouterr().out.splitlines()
        by = {verdict: [s for s in said if s.startswith(verdict)] for verdict in ("borne out", "refuted", "undecided")}
        return wrong, by, said

    return judged


BORNE_OUT = {
    "apr": (12 - 2, 2),
    "apr-ml-100k": (12, 0),
    "msap": (1 + 2 * 3, 2 + 1),
    "msap-ml-100k": (1 + 2 * 3 + 1, 2),
    "adversarial-training": (2 * (2 + 2 + 2) - 1, 1),
    "bert4rec": (3 + 2 + 1, 3),
}


@pytest.mark.parametrize("suite", AS_DOCUMENTED)
def test_what_is_documented_is_no_surprise(judged, suite):
    wrong, by, said = judged(suite, AS_DOCUMENTED[suite])
    assert wrong == 0
    assert (len(by["borne out"]), len(by["undecided"]), len(by["refuted"])) == (*BORNE_OUT[suite], 0)
    assert all("gap +" in line and "<-" not in line for line in said if ", gap " in line)


@pytest.mark.parametrize("suite", ["apr", "msap", "adversarial-training"])
def test_gaps_the_other_way_round_are_refuted_and_every_one_counts(judged, suite):
    wrong, by, _ = judged(suite, turned(AS_DOCUMENTED[suite]))
    assert (len(by["refuted"]), len(by["undecided"]), len(by["borne out"])) == (*BORNE_OUT[suite], 0)
    assert wrong == len(by["refuted"])
    assert all(line.endswith("<- documented as borne out") for line in by["refuted"])


def test_what_is_documented_as_undecided_counts_when_it_is_borne_out_or_refuted(judged):
    def good(c):
        mine = c["defense_label"] != "none" and c["attack"] == "pgd"
        return {"linf": 100, "l2": 20}[c["norm"]] if mine else training(c)

    wrong, by, _ = judged("bert4rec", good)
    surprises = [line for line in by["borne out"] + by["refuted"] if "<- documented as undecided" in line]
    assert (len(surprises), wrong) == (3, 4)  # the fourth is a claim that is borne out unexpectedly


@pytest.mark.parametrize(
    ("suite", "own", "count"), [("apr", 100, 1), ("msap", 150, 1), ("adversarial-training", 110, 2)]
)
def test_a_victim_that_is_one_user_above_popularity_has_learnt_nothing(judged, suite, own, count):
    good = AS_DOCUMENTED[suite]
    wrong, by, _ = judged(suite, lambda c: own - 1 if c["model"] == "popularity" else good(c))
    assert wrong == len([s for s in by["undecided"] if "clears popularity" in s and "<-" in s]) == count


WARM = "items-20: after a warm-up raises what PGD in l2"


def test_seeds_that_disagree_decide_nothing(judged):
    def good(c):
        mine = c["defense_label"] == "after a warm-up" and c["norm"] == "l2"
        return (150, 60)[c["seed"]] if mine else training(c)

    wrong, by, _ = judged("bert4rec", good)
    assert (wrong, sum(WARM in line for line in by["undecided"])) == (1, 1)


def test_seeds_are_paired_whatever_the_order_of_the_cells(judged):
    _, by, _ = judged("bert4rec", lambda c: training(c) + 60 * c["seed"])
    assert sum(WARM in line for line in by["borne out"]) == 1


def test_a_line_says_what_msap_spent(judged):
    _, _, said = judged("msap", msap)
    assert sum("(L2 spent: mean 2.20, most 3.00)" in line for line in said) == 2
    assert sum("share 73%" in line for line in said) == 2


@pytest.mark.parametrize(
    ("suite", "key", "value", "count"),
    [
        ("msap", "attack_label", "msap uniform", 2),
        ("apr", "attack_label", "pgd on held-out", 8),
        ("bert4rec", "seed", 1, 10),
        ("adversarial-training", "dataset", "items-20", 14),
    ],
)
@pytest.mark.parametrize("how", ["lost", "left_out"])
def test_a_folder_without_some_of_its_suites_cells_is_not_judged(judged, suite, key, value, count, how):
    wrong, by, said = judged(suite, AS_DOCUMENTED[suite], **{how: lambda c: c[key] == value})
    assert wrong == count
    assert not any(by.values())
    assert said[-1].startswith(f"{count} cells are missing or failed, so nothing is judged: ")
    assert str(value) in said[-1] or key == "seed"


def test_a_group_that_nothing_attacks_and_a_documented_claim_that_nobody_makes_are_wrong(judged):
    wrong, _, said = judged("apr", apr, drop=" on held-out")
    assert wrong == 3
    assert sum(line.startswith("no attack for: movielens-small: BPR-MF loses more") for line in said) == 2
    assert said[-1].startswith("documented, but no claim: movielens-small: BPR-MF loses more than AMF, held-out")


@pytest.mark.parametrize(("good", "status"), [(training, 0), (turned(training), 1)])
def test_a_surprise_is_in_the_exit_status(tmp_path, monkeypatch, good, status):
    folder = write(tmp_path / "results", "bert4rec", good)
    monkeypatch.setattr(sys, "argv", ["reproduce.py", str(folder)])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(reproduce.__file__, run_name="__main__")
    assert stopped.value.code == status
