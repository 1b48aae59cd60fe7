"""Replaces look-alike letters and removes invisible characters in titles."""

from __future__ import annotations

import unicodedata
from typing import ClassVar

from pydantic import Field

from robench.api import BaseConfig, Defense
from robench.api.look_alikes import LOOK_ALIKES


class Normalise(Defense):
    """Replaces look-alike letters and removes invisible characters in titles.

    The model reads the cleaned titles in training and at test time. A title is converted to the compatibility form of
    Unicode (NFKC). Invisible characters (category Cf) are removed, and runs of spaces become one space. If the title
    has Latin letters, look-alike letters become Latin letters, unless ``look_alikes`` is off. This does not change
    words with other foreign letters. Boucher et al. ("Bad Characters", IEEE S&P 2022, section VII) recommend such
    cleaning against attacks with look-alikes. The defence does not detect typos in plain letters.
    """

    class Config(BaseConfig):
        """Settings of the normalisation."""

        look_alikes: bool = Field(default=True, description="Whether look-alike letters become Latin ones")

    config: Config
    changes_fit: ClassVar[bool] = False

    def clean_text(self, title: str) -> str:
        """Returns the title that the model reads."""
        # Invisible characters go first, because they separate an accent from its letter.
        plain = unicodedata.normalize("NFKC", "".join(c for c in title if unicodedata.category(c) != "Cf"))
        if self.config.look_alikes and any(_is_latin(char) for char in plain):
            plain = unicodedata.normalize("NFKC", " ".join(map(_with_latin_letters, plain.split())))
        return " ".join(plain.split())


def _is_latin(char: str) -> bool:
    """Returns whether a character is a Latin letter."""
    return char.isalpha() and char not in LOOK_ALIKES and "LATIN" in unicodedata.name(char, "")


def _with_latin_letters(word: str) -> str:
    """Returns the word with Latin letters in place of look-alikes.

    A word with any other foreign letter belongs to another alphabet and is not changed.
    """
    foreign = any(char.isalpha() and char not in LOOK_ALIKES and not _is_latin(char) for char in word)
    return word if foreign else "".join(LOOK_ALIKES.get(char, char) for char in word)
