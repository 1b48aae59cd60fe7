"""The words of a catalogue's titles."""

from __future__ import annotations

from robench.api import Catalogue
from robench.api.attacks.text import pieces


def is_one_word(text: str) -> bool:
    """Returns whether the text counts as one word.

    A very long word counts as several words.
    """
    return len(pieces(text, "words")) == 1


def vocabulary(catalogue: Catalogue) -> list[str]:
    """Returns the distinct words of all titles in alphabetical order.

    Very long words, which count as several words, are left out.
    """
    return sorted({word for item in catalogue.items for word in item.title.split() if is_one_word(word)})
