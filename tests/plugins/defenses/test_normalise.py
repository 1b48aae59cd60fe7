"""Tests that normalising a title removes invisible characters and look-alikes.

A title without Latin letters keeps its look-alikes.
"""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from robench_plugins.defenses.normalise import LOOK_ALIKES, Normalise

CLEAN = Normalise.make().clean_text


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Heat", "Heat"),
        ("Нeаt", "Heat"),  # Н and а are Cyrillic
        ("аре", "аре"),  # all letters of the title are Cyrillic
        ("The аре", "The ape"),
        ("He\u200bat \u2060", "Heat"),
        ("Ｈｅａｔ", "Heat"),
        ("Amélie  (Fabuleux\u00a0destin)", "Amélie (Fabuleux destin)"),
        ("Брат", "Брат"),
        ("Брат and Heat", "Брат and Heat"),
    ],
)
def test_titles_by_hand(title, expected):
    assert CLEAN(title) == expected


def test_look_alikes_can_be_kept():
    assert Normalise.make(look_alikes=False).clean_text("Hеat\u200b") == "Hеat"


@given(st.text(max_size=30))
@example("ae\u200b\u0301")
@example("x а\u0301")
def test_normalising_twice_changes_nothing_more(title):
    assert CLEAN(CLEAN(title)) == CLEAN(title)


@given(st.text(alphabet="abcdeHTMopxy ", min_size=1), st.randoms(use_true_random=False))
def test_look_alikes_invisible_characters_and_blanks_are_undone(title, draw):
    look_alikes = {latin: other for other, latin in LOOK_ALIKES.items()}
    hidden = "".join(
        (look_alikes.get(c, c) if draw.random() < 0.5 and number else c) + ("\u200b" if draw.random() < 0.3 else "")
        for number, c in enumerate("b" + title)  # the first letter is always Latin
    )
    assert CLEAN(hidden) == " ".join(("b" + title).split())
