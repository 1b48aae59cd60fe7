"""Titles as they are read: what an attacker can hide in characters is gone, and what is meant stays."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from robench_plugins.defenses.normalise import LOOK_ALIKES, Normalise

READ = Normalise.make().clean_text


@pytest.mark.parametrize(
    ("title", "read"),
    [
        ("Heat", "Heat"),
        ("Нeаt", "Heat"),  # Cyrillic capital En and small a
        ("аре", "аре"),  # nothing of the title is Latin
        ("The аре", "The ape"),
        ("He\u200bat \u2060", "Heat"),
        ("Ｈｅａｔ", "Heat"),
        ("Amélie  (Fabuleux\u00a0destin)", "Amélie (Fabuleux destin)"),
        ("Брат", "Брат"),
        ("Брат and Heat", "Брат and Heat"),
    ],
)
def test_what_is_read(title, read):
    assert READ(title) == read


def test_look_alikes_can_be_left_alone():
    assert Normalise.make(look_alikes=False).clean_text("Hеat\u200b") == "Hеat"


@given(st.text(max_size=30))
@example("ae\u200b\u0301")
@example("x а\u0301")
def test_to_read_twice_is_to_read_once(title):
    assert READ(READ(title)) == READ(title)


@given(st.text(alphabet="abcdeHTMopxy ", min_size=1), st.randoms(use_true_random=False))
def test_look_alikes_invisible_characters_and_blanks_are_undone(title, draw):
    backwards = {latin: other for other, latin in LOOK_ALIKES.items()}
    hidden = "".join(
        (backwards.get(c, c) if draw.random() < 0.5 and number else c) + ("\u200b" if draw.random() < 0.3 else "")
        for number, c in enumerate("b" + title)  # one letter that stays Latin
    )
    assert READ(hidden) == " ".join(("b" + title).split())
