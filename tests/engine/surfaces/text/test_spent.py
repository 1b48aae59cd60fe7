"""Tests the spent budget that the host reports for attacks on titles.

The tests also cover the random streams of members, and the slopes of many titles.
"""

import pytest
import torch

from robench.api import Member, Rng, TextAttack, TextConfig
from robench.engine.attack.ensemble import MemberLog
from robench.engine.surfaces.text import slopes as token_slopes
from robench.engine.surfaces.text.search import search_members
from robench.testing.text import title_oracle
from robench.testing.text_world import promoted, text_victim


class Told(TextAttack):
    """An attack that proposes given titles and records one random number."""

    proposals = ()
    notes = ()

    def rewrite(self, oracle, rng):
        self.notes.append(float(rng.numpy().random()))
        yield from self.proposals


def told(*proposals, notes=None):
    attack = Told.make()
    attack.proposals, attack.notes = proposals, [] if notes is None else notes
    return attack


def oracle_of(**more):
    return title_oracle(Told(TextConfig(**more)), 1.0)


def test_members_of_an_ensemble_draw_from_streams_of_their_own():
    oracle, notes = oracle_of(), []
    member_log = MemberLog([Member(name, told(oracle.titles(), notes=notes)) for name in ("one", "two")])
    search_members(member_log, oracle, Rng(0))
    assert len(set(notes)) == len(notes) == 2


@pytest.mark.parametrize("goal", ["promote", "untargeted"])
def test_slopes_are_the_same_however_many_texts_are_encoded_together(goal, monkeypatch):
    oracle = oracle_of(goal=goal)
    together = oracle.slopes(oracle.titles()).gradient
    assert 3 <= len(together) <= token_slopes.AT_ONCE
    monkeypatch.setattr(token_slopes, "AT_ONCE", 2)
    torch.testing.assert_close(oracle.slopes(oracle.titles()).gradient, together)
    assert (together.abs().amax((1, 2)) > 0).all()


def test_titles_that_only_get_shorter_have_no_characters_added():
    oracle = oracle_of()
    titles = [title.rsplit(maxsplit=1)[0] for title in oracle.titles()]
    assert all(len(new) < len(old) for old, new in zip(oracle.titles(), titles, strict=True))
    assert oracle.allowed.achieved(titles)["characters_added_max"] == 0


def test_what_is_said_to_be_spent_by_one_title_of_three_is_so_by_hand():
    genuine = oracle_of().titles()
    words = len(genuine[2].split())
    measurement = text_victim().attacked(told([*genuine[:2], f"Desert {genuine[2]}"]), 1.0, "", promoted())
    assert len(measurement.titles) == 1
    assert {name: value for name, value in measurement.achieved.items() if "similarity" not in name} == pytest.approx({
        "epsilon": 1 / words, "epsilon_mean": 1 / words / 3, "edits_max": 1, "edits_mean": 1 / 3,
        "characters_added_max": len("Desert "), "titles_changed": 1,
        "queries": len(text_victim().users), "gradients": 0, "overshoot": 1 / words,
    })  # fmt: skip
