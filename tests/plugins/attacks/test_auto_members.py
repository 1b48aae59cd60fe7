"""Tests that the version of ``auto`` determines its members and their settings.

Otherwise, leaderboards of the same version could not be compared.
"""

import numpy as np
import pytest

from robench.testing.worlds import reference_victim
from robench_plugins.attacks.auto import Auto

# If a list below changes, raise the version of the surface here, in auto.py and in the docs.
VERSION = {"embedding": 3, "parameters": 3, "history": 2}
DRAWS = {"expectation": 1}
ASCENT, SEARCH = {**DRAWS, "restarts": 1}, {**DRAWS, "share": 0.8}
ANY, ONE = ["substitute", "insert", "delete"], ["substitute"]


def pgd(steps, *, everyone):
    """Returns the expected entry of a PGD member, as in ``listed``."""
    return (f"pgd-{steps}", "Pgd", {**ASCENT, "loss": "ce", "steps": steps}, everyone)


def apgd(loss, steps):
    """Returns the expected entry of an APGD member, as in ``listed``."""
    return (f"apgd-{loss}", "Apgd", {**ASCENT, "loss": loss, "steps": steps}, False)


def smooth_rank(steps):
    """Returns the expected entry of the member ``smooth-rank``, as in ``listed``."""
    return ("smooth-rank", "SmoothRank", {**DRAWS, "steps": steps}, False)


VECTORS = [
    ("random-noise", "RandomNoise", {**DRAWS, "draws": 40}, True),
    pgd(10, everyone=True),
    pgd(40, everyone=True),
    apgd("margin", 50),
    apgd("hinge", 30),
    smooth_rank(40),
    ("random-search", "RandomSearch", {**SEARCH, "loss": "hinge", "queries": 150}, True),
]
TABLES = [
    ("random-noise", "RandomNoise", {**DRAWS, "draws": 20}, False),
    pgd(20, everyone=False),
    apgd("hinge", 30),
    smooth_rank(30),
    ("random-search", "RandomSearch", {**SEARCH, "loss": "ce", "queries": 30}, False),
]
GREEDY = {**DRAWS, "loss": "margin", "queries": 100, "finalists": 5}
EFFECTS = {"inserted": 2048, "verified": 100, "leaders": 2, "places": 20, "finalists": 3}
STEEPEST = {**DRAWS, "edits": ONE, "loss": "ce", "candidates": 20, "finalists": 5}
HISTORY = [
    ("random-edit", "RandomEdit", {**DRAWS, "edits": ANY, "draws": 100}, True),
    ("edit-effects", "EditEffects", {**DRAWS, "edits": ANY, **EFFECTS}, True),
    ("greedy-edit", "GreedyEdit", {**GREEDY, "edits": ANY}, True),
]
WHITE_BOX = [HISTORY[0], ("greedy-gradient", "GreedyGradient", STEEPEST, True), *HISTORY[1:]]
PINNED = {
    ("embedding", "l2"): VECTORS,
    ("embedding", "linf"): VECTORS,
    ("parameters", "l2"): TABLES,
    ("parameters", "linf"): TABLES,
    ("history", "edits"): HISTORY,
}
THREAT = {"surface", "norm", "scale", "goal", "k", "unit", "positives", "white_box"}


def listed(auto, *, gradients=True, stochastic=False):
    """Returns a tuple of four values for each member of ``auto``.

    The values are the name, the class, the settings beyond the threat model, and whether the member runs on every user.
    """
    members = auto.members(gradients=gradients, stochastic=stochastic)
    settings = [{n: v for n, v in m.attack.config.resolved().items() if n not in THREAT} for m in members]
    return [(m.name, type(m.attack).__name__, s, m.everyone) for m, s in zip(members, settings, strict=True)]


@pytest.mark.parametrize(("surface", "norm"), PINNED)
@pytest.mark.parametrize("goal", ["untargeted", "promote"])
def test_the_members_and_all_their_settings_are_those_of_the_version(surface, norm, goal):
    """The settings include defaults, because a changed default changes ``auto`` too."""
    auto = Auto.make(surface=surface, norm=norm, goal=goal)
    assert auto.config.version == VERSION[surface]
    assert listed(auto) == PINNED[surface, norm]


@pytest.mark.parametrize(("surface", "norm"), PINNED)
def test_members_average_eight_draws_of_a_stochastic_victim(surface, norm):
    """All members average over eight draws, with two exceptions.

    The exceptions are ``random-noise`` on ``embedding``, and ``random-edit``. Both try many points or edits instead.
    """
    expected = [
        (name, kind, {**settings, "expectation": 8}, everyone)
        if name not in ({"random-noise"} if surface == "embedding" else {"random-edit"})
        else (name, kind, settings, everyone)
        for name, kind, settings, everyone in PINNED[surface, norm]
    ]
    assert listed(Auto.make(surface=surface, norm=norm), stochastic=True) == expected


@pytest.mark.parametrize("gradients", [True, False])
def test_all_models_face_the_same_members_unless_gradients_are_allowed(gradients):
    assert listed(Auto.make(surface="history"), gradients=gradients) == HISTORY
    white_box = Auto.make(surface="history", white_box=True)
    assert listed(white_box, gradients=gradients) == (WHITE_BOX if gradients else HISTORY)
    assert white_box.threat() != Auto.make(surface="history").threat()
    assert Auto.make(surface="history").threat().ranks_models
    assert not white_box.threat().ranks_models


@pytest.mark.parametrize("given", [{"goal": "promote", "k": 3}, {"scale": "absolute", "norm": "linf"}])
@pytest.mark.parametrize("surface", ["embedding", "parameters"])
def test_members_have_the_threat_model_of_auto(surface, given):
    auto = Auto.make(surface=surface, **given)
    for member in auto.members(gradients=True, stochastic=False):
        assert member.attack.threat() == auto.threat(), member.name


@pytest.mark.parametrize("unit", ["edits", "fraction"])
def test_members_on_histories_have_the_threat_model_of_auto(unit):
    auto = Auto.make(surface="history", unit=unit, goal="promote", k=3)
    for member in auto.members(gradients=True, stochastic=False):
        assert member.attack.threat() == auto.threat(), member.name


@pytest.mark.parametrize(("surface", "kind", "epsilon"), [("embedding", "pairwise", 0.3), ("history", "sequence", 1.0)])
def test_a_promotion_runs_every_member_on_every_user(surface, kind, epsilon):
    """A target that is already in a user's list can still rise further."""
    victim, targets = reference_victim(kind), np.array([3, 17])
    attacked = victim.attacked(Auto.make(surface=surface, goal="promote"), epsilon, "", targets)
    own = [set(victim.history.row(u).tolist()) | set(victim.held.row(u).tolist()) for u in victim.users]
    concerned = sum(bool(set(targets.tolist()) - items) for items in own)
    broken = (attacked.arrays["member_broke"] == 1).any(1)
    assert 0 < broken.sum() < concerned, "the world must show an early stop"
    assert {row["name"]: row["users"] for row in attacked.members} == dict.fromkeys(
        (row["name"] for row in attacked.members), concerned
    )
    assert ((attacked.arrays["member_broke"] >= 0).sum(0) == concerned).all()
