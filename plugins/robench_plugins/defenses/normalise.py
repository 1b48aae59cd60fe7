"""normalise: titles are read as plain characters, so that look-alikes and invisible ones change nothing."""

from __future__ import annotations

import unicodedata

from pydantic import Field

from robench.api import BaseConfig, Defense

# Letters of other alphabets that look like Latin ones: the lower-case and capital pairs of Unicode's confusables
# (Unicode Technical Standard 39) that NFKC leaves alone.
LOOK_ALIKES = dict(
    zip(
        "асеорхуіјѕԁɡһӏԛԝАВЕКМНОРСТХУІЈЅԌΑΒΕΖΗΙΚΜΝΟΡΤΥΧαονρυ",
        "aceopxyijsdghlqwABEKMHOPCTXYIJSGABEZHIKMNOPTYXaovpu",
        strict=True,
    )
)


class Normalise(Defense):
    """Titles in Unicode's compatible form (NFKC), look-alike letters as Latin ones where the title has Latin letters
    and the word no other foreign ones, without invisible characters (category Cf), blanks in runs of one; in training
    and at test time.

    The cleaning that text attacks by look-alikes call for (Boucher et al., "Bad Characters", IEEE S&P 2022, section
    VII). It costs nothing on a catalogue that is clean, and cannot see a typo in plain letters.
    """

    class Config(BaseConfig):
        """Settings."""

        look_alikes: bool = Field(default=True, description="read look-alike letters as the Latin ones")

    config: Config

    def clean_text(self, title: str) -> str:
        """The title as it is read."""
        # Without invisible characters first: they keep an accent from its letter.
        plain = unicodedata.normalize("NFKC", "".join(c for c in title if unicodedata.category(c) != "Cf"))
        if self.config.look_alikes and any(_latin(char) for char in plain):
            plain = unicodedata.normalize("NFKC", " ".join(map(_read, plain.split())))
        return " ".join(plain.split())


def _latin(char: str) -> bool:
    return char.isalpha() and char not in LOOK_ALIKES and "LATIN" in unicodedata.name(char, "")


def _read(word: str) -> str:
    """A word with Latin letters for look-alikes; one with another foreign letter is of another alphabet and stays."""
    foreign = any(char.isalpha() and char not in LOOK_ALIKES and not _latin(char) for char in word)
    return word if foreign else "".join(LOOK_ALIKES.get(char, char) for char in word)
