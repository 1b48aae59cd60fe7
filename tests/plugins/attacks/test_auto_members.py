"""What auto is made of, pinned to its version: a leaderboard under auto@2 is comparable with another for this alone."""

import numpy as np
import pytest

from robench.testing.worlds import reference_victim
from robench_plugins.attacks.auto import Auto

# Whoever must edit a list below raises its surface's version here, in auto.py and in the docs, and measures anew.
VERSION = {"embedding": 2, "parameters": 2, "history": 1}
LOOK = {"expectation": 1}
STEEP, SEARCH = {**LOOK, "restarts": 1}, {**LOOK, "share": 0.8}
ANY, ONE = ["substitute", "insert", "delete"], ["substitute"]


def pgd(steps, *, everyone):
    return (f"pgd-{steps}", "Pgd", {**STEEP, "loss": "ce", "steps": steps}, everyone)


def apgd(loss, steps):
    return (f"apgd-{loss}", "Apgd", {**STEEP, "loss": loss, "steps": steps}, False)


CW = ("cw", "CarliniWagner", {**STEEP, "steps": 40, "search": 4, "learning_rate": 0.05, "refine": 8}, False)
SCORES = ("random-search", "RandomSearch", {**SEARCH, "loss": "margin", "queries": 300}, True)
BEFORE = [
    ("random-noise", "RandomNoise", {**LOOK, "draws": 40}, True),
    pgd(10, everyone=True),
    pgd(40, everyone=True),
    apgd("ce", 50),
    apgd("margin", 50),
    apgd("bpr", 30),
]
TABLES = [
    ("random-noise", "RandomNoise", {**LOOK, "draws": 20}, False),
    pgd(20, everyone=False),
    apgd("ce", 30),
    apgd("margin", 30),
    apgd("bpr", 30),
    ("random-search", "RandomSearch", {**SEARCH, "loss": "ce", "queries": 50}, False),
]
GREEDY = {**LOOK, "loss": "margin", "queries": 100, "finalists": 5}
STEEPEST = {**LOOK, "edits": ONE, "loss": "ce", "candidates": 20, "finalists": 5}
HISTORY = [
    ("random-edit", "RandomEdit", {**LOOK, "edits": ANY, "draws": 100}, True),
    ("greedy-gradient", "GreedyGradient", STEEPEST, True),
    ("greedy-substitution", "GreedyEdit", {**GREEDY, "edits": ONE}, True),
    ("greedy-edit", "GreedyEdit", {**GREEDY, "edits": ANY}, False),
]
PINNED = {
    ("embedding", "l2"): [*BEFORE, CW, SCORES],
    ("embedding", "linf"): [*BEFORE, SCORES],
    ("parameters", "l2"): TABLES,
    ("parameters", "linf"): TABLES,
    ("history", "edits"): HISTORY,
}
THREAT = {"surface", "norm", "scale", "goal", "k", "unit", "positives"}


def listed(auto, *, gradients=True, stochastic=False):
    """(name, class, every setting that is not of the threat model, everyone) per member."""
    members = auto.members(gradients=gradients, stochastic=stochastic)
    settings = [{n: v for n, v in m.attack.config.resolved().items() if n not in THREAT} for m in members]
    return [(m.name, type(m.attack).__name__, s, m.everyone) for m, s in zip(members, settings, strict=True)]


@pytest.mark.parametrize(("surface", "norm"), PINNED)
@pytest.mark.parametrize("goal", ["untargeted", "promote"])
def test_the_members_and_all_their_settings_are_those_of_the_version(surface, norm, goal):
    """Defaults of the members too: a default that changes changes auto."""
    auto = Auto.make(surface=surface, norm=norm, goal=goal)
    assert auto.config.version == VERSION[surface]
    assert listed(auto) == PINNED[surface, norm]


@pytest.mark.parametrize(("surface", "norm"), PINNED)
def test_at_a_victim_that_draws_members_take_eight_draws_per_look(surface, norm):
    """All but the random points and edits of single users, which have draws enough of their own."""
    wanted = [
        (name, kind, {**settings, "expectation": 8}, everyone)
        if name not in ({"random-noise"} if surface == "embedding" else {"random-edit"})
        else (name, kind, settings, everyone)
        for name, kind, settings, everyone in PINNED[surface, norm]
    ]
    assert listed(Auto.make(surface=surface, norm=norm), stochastic=True) == wanted


def test_without_gradients_a_history_is_searched_through_scores_alone():
    found = listed(Auto.make(surface="history"), gradients=False)
    assert found == [member for member in HISTORY if member[0] != "greedy-gradient"]


@pytest.mark.parametrize("given", [{"goal": "promote", "k": 3}, {"scale": "absolute", "norm": "linf"}])
@pytest.mark.parametrize("surface", ["embedding", "parameters"])
def test_members_have_auto_s_own_threat_model(surface, given):
    auto = Auto.make(surface=surface, **given)
    for member in auto.members(gradients=True, stochastic=False):
        assert member.attack.threat() == auto.threat(), member.name


@pytest.mark.parametrize("unit", ["edits", "fraction"])
def test_members_on_histories_have_auto_s_own_threat_model(unit):
    auto = Auto.make(surface="history", unit=unit, goal="promote", k=3)
    for member in auto.members(gradients=True, stochastic=False):
        assert member.attack.threat() == auto.threat(), member.name


@pytest.mark.parametrize(("surface", "kind", "epsilon"), [("embedding", "pairwise", 0.3), ("history", "sequence", 1.0)])
def test_who_promotes_leaves_nobody_out(surface, kind, epsilon):
    """More users in more lists still count, so a user whose list has the item already is lifted further."""
    bench, targets = reference_victim(kind), np.array([3, 17])
    found = bench.attacked(Auto.make(surface=surface, goal="promote"), epsilon, "", targets)
    own = [set(bench.history.row(u).tolist()) | set(bench.held.row(u).tolist()) for u in bench.users]
    concerned = sum(bool(set(targets.tolist()) - items) for items in own)
    broken = (found.arrays["member_broke"] == 1).any(1)
    assert 0 < broken.sum() < concerned, "a world in which an early stop shows"
    assert {row["name"]: row["users"] for row in found.members} == dict.fromkeys(
        (row["name"] for row in found.members), concerned
    )
    assert ((found.arrays["member_broke"] >= 0).sum(0) == concerned).all()
