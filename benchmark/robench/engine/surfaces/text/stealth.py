"""Enforces the rules for edited titles that a reader would not notice.

``TitleBudget`` asks about every title that is within ε. The rules do not depend on the victim.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from robench.api.attacks.text import edits_between, pieces
from robench.api.data import Catalogue, FloatArray
from robench.api.look_alikes import LOOK_ALIKES
from robench.api.threat import share_in_edits
from robench.api.title_rules import NATS, SHARE

Candidate = tuple[int, str]  # the index of an attacked item, and a new title
Similarity = Callable[[Sequence[str], Sequence[str]], FloatArray]
Likelihood = Callable[[Sequence[str]], FloatArray]
_ARTICLE_LAST = re.compile(r"(.+), (the|a|an)")
_WORD = re.compile(r"[^\W_]+")


def normalised_title(title: str) -> str:
    """Returns the form in which a title is compared with other titles.

    Readers can hardly tell titles of the same form apart. Case, punctuation, accents, invisible characters and the
    place of an article do not matter. Letters that look like Latin letters become Latin letters. The form is empty if
    the title has neither a letter nor a digit.
    """
    parts = unicodedata.normalize("NFKD", title)
    visible = "".join(LOOK_ALIKES.get(char, char) for char in parts if unicodedata.category(char) not in ("Cf", "Mn"))
    plain = " ".join(visible.casefold().split())
    if moved := _ARTICLE_LAST.fullmatch(plain):
        plain = f"{moved[2]} {moved[1]}"
    return " ".join(_WORD.findall(plain))


def words_allowed(title: str) -> int:
    """Returns the maximum number of a title's words that may change: max(1, 20%)."""
    return share_in_edits(SHARE, len(pieces(title, "words")))


@dataclass(eq=False)
class Stealth:
    """The rules for new titles of A items, and the answers so far.

    A new title is refused in any of these cases:

    - More than max(1, 20%) of its words are changed.
    - It has neither a letter nor a digit.
    - Its normalised form is that of another item's title.
    - Its similarity to the genuine title is below ``floor``.
    - Its mean log-likelihood per token is more than 1 nat below that of the genuine title.

    The rules are checked in this order, and every title is checked once. A genuine title always passes.

    Args:
        genuine: the genuine titles of the A items.
        catalogue: the number of items with each normalised title, over the whole catalogue.
        floor: the smallest allowed similarity.
        similarity: the similarities of pairs of titles.
        likelihood: the mean log-likelihood per token of titles, in nats.
    """

    genuine: Sequence[str]
    catalogue: Mapping[str, int]
    floor: float
    similarity: Similarity
    likelihood: Likelihood
    _passes: dict[Candidate, bool] = field(default_factory=dict)

    @classmethod
    def of(
        cls, catalogue: Catalogue, genuine: Sequence[str], floor: float, similarity: Similarity, likelihood: Likelihood
    ) -> Stealth:
        """Returns the rules for some genuine titles of a catalogue."""
        return cls(
            genuine, Counter(normalised_title(item.title) for item in catalogue.items), floor, similarity, likelihood
        )

    def passes(self, candidates: Sequence[Candidate]) -> list[bool]:
        """Returns which new titles obey all rules."""
        new = [(index, title) for index, title in dict.fromkeys(candidates) if (index, title) not in self._passes]
        self._passes.update({(index, title): title == self.genuine[index] for index, title in new})
        left = [(index, title) for index, title in new if title != self.genuine[index] and self._plain(index, title)]
        self._passes.update(dict.fromkeys(self._likely(self._similar(left)), True))
        return [self._passes[one] for one in candidates]

    def measure(self, titles: Sequence[str]) -> dict[str, float]:
        """Returns statistics of the changed titles, by name.

        Args:
            titles: one title per item.
        """
        changed = [(old, new) for old, new in zip(self.genuine, titles, strict=True) if old != new]
        if not changed:
            return {}
        old, new = [pair[0] for pair in changed], [pair[1] for pair in changed]
        similarity, fall = self.similarity(old, new), self.likelihood(old) - self.likelihood(new)
        words = np.array([edits_between(*pair, "words") / max(1, len(pieces(pair[0], "words"))) for pair in changed])
        return {
            "stealth_similarity_mean": float(similarity.mean()),
            "stealth_similarity_min": float(similarity.min()),
            "likelihood_fall_mean": float(fall.mean()),
            "likelihood_fall_max": float(fall.max()),
            "words_changed_mean": float(words.mean()),
            "words_changed_max": float(words.max()),
        }

    def _plain(self, index: int, title: str) -> bool:
        """Returns whether a title obeys the rules that only count and compare words."""
        old, plain = self.genuine[index], normalised_title(title)
        others = self.catalogue.get(plain, 0) - (plain == normalised_title(old))
        return bool(plain) and not others and edits_between(old, title, "words") <= words_allowed(old)

    def _similar(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Returns the candidates that are similar enough to the genuine titles."""
        if not candidates:
            return []
        similar = self.similarity([self.genuine[index] for index, _ in candidates], [title for _, title in candidates])
        return [one for one, value in zip(candidates, similar.tolist(), strict=True) if value >= self.floor]

    def _likely(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Returns the candidates that are about as likely as the genuine titles."""
        if not candidates:
            return []
        texts = list(dict.fromkeys(text for index, title in candidates for text in (self.genuine[index], title)))
        value = dict(zip(texts, self.likelihood(texts).tolist(), strict=True))
        return [one for one in candidates if value[one[1]] >= value[self.genuine[one[0]]] - NATS]
