"""Tests the line of ``plan`` that counts shared fake users."""

from dataclasses import replace

from robench.api.threat import Threat
from robench.run.profiles import profile_notes
from robench.spec import Cell, Part, Poison, TargetChoice, Victim

PART = Part("x", {}, "x")
USERS = Threat("interactions", "train", "users", "relative", "promote")


def cells(adaptive, threat=USERS, skip=""):
    attack = Part("bandwagon", {}, "bandwagon")
    victim = Victim(PART, PART, PART, PART, 0, 1, TargetChoice())
    for model in ("a", "b", "c"):
        for seed in (0, 1):
            for epsilon in (0.01, 0.05):
                model_part = Part(model, {}, model)
                one = replace(victim, model=model_part, seed=seed, poison=Poison(attack, epsilon, 0))
                yield Cell(one, threat=threat, adaptive=adaptive, skip=skip)


def test_victims_of_the_same_data_attack_and_seed_share_their_fake_users():
    assert profile_notes(cells("oblivious")) == ["fake users: 4 sets of profiles, each made once, for 12 victims"]


def test_adaptive_fake_users_are_made_for_each_pipeline():
    assert profile_notes(cells("yes")) == ["fake users: 12 sets of profiles, each made once, for 12 victims"]


def test_corruptions_and_skipped_cells_have_no_fake_users():
    assert profile_notes(cells("oblivious", replace(USERS, norm="share"))) == []
    assert profile_notes(cells("oblivious", skip="why")) == []
