"""The titles of items in the form that a language model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from robench.api import Item, Tokens
from robench.pretrained import Soft
from robench_plugins.models.llm.natural import natural_title

if TYPE_CHECKING:
    from torch import Tensor

    from robench.pretrained import Decoder


class TitleTokenizer:
    """A tokenizer of titles.

    Each title is tokenised as if it followed a space.

    Args:
        decoder: the language model.
        limit: the maximum length of a usable title, in tokens.
        natural: whether an article at the end of a title is read at its beginning.
    """

    def __init__(self, decoder: Decoder, limit: int, *, natural: bool = False) -> None:
        self._decoder, self.limit, self.natural = decoder, limit, natural
        self._cache: dict[str, list[int]] = {}

    def tokens_of(self, title: str) -> list[int]:
        """Returns the tokens of a title.

        An empty title has no tokens. Every word of the title is preceded by one space.
        """
        text = " ".join(title.split())
        if text not in self._cache:
            self._cache[text] = self._decoder.ids(f" {self._written(text)[0]}") if text else []
        return self._cache[text]

    def is_usable(self, tokens: Sequence[int]) -> bool:
        """Returns whether a title is neither empty nor too long for a candidate."""
        return 0 < len(tokens) <= self.limit

    def padded(self, titles: Sequence[str]) -> Tokens:
        """Returns the tokens of titles, padded on the right.

        An unusable title has no tokens.

        Args:
            titles: the titles, with one space between words.
        """
        rows = [self.tokens_of(title) for title in titles]
        rows = [row if self.is_usable(row) else [] for row in rows]
        starts = [self._starts(title) if row else [] for title, row in zip(titles, rows, strict=True)]
        width = max(1, *map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.arange(width) < torch.tensor([[len(row)] for row in rows])
        start = torch.tensor([row + [-1] * (width - len(row)) for row in starts])
        return Tokens(ids, mask, start)

    def _written(self, title: str) -> tuple[str, Sequence[int]]:
        """Returns the title that the model reads, and where its characters come from.

        The second result is the index in ``title`` of each character, or −1 for an added space.
        """
        return natural_title(title) if self.natural else (title, range(len(title)))

    def _starts(self, title: str) -> list[int]:
        """Returns the index in a title of each token's first character.

        The index is −1 for a token that does not begin at a character of the title.
        """
        text, places = self._written(title)
        return [places[at - 1] if 0 < at <= len(places) else -1 for at in self._decoder.spans(f" {text}")]


@dataclass(frozen=True, eq=False)
class CatalogueTitles:
    """The titles of all items, some of which may be rewritten or soft.

    A soft title has given vectors in place of its token vectors, and weights for the log-likelihoods of all tokens.

    Args:
        tokenizer: the tokenizer of titles.
        genuine: the genuine titles, by row of the catalogue.
        texts: the titles that the model reads, by row of the catalogue.
        soft: the soft titles of candidates, by row of the catalogue.
    """

    tokenizer: TitleTokenizer
    genuine: Sequence[str]
    texts: Sequence[str]
    soft: Mapping[int, Soft] = field(default_factory=dict)

    def tokens_of(self, item: int) -> list[int]:
        """Returns the tokens of an item's title, or no tokens if it has no title."""
        return self.tokenizer.tokens_of(self.texts[item])

    def genuine_tokens_of(self, item: int) -> list[int]:
        """Returns the tokens of an item's genuine title."""
        return self.tokenizer.tokens_of(self.genuine[item])

    def rewritten(self, items: Mapping[int, Item]) -> CatalogueTitles:
        """Returns these titles with new titles for some items.

        Args:
            items: the new descriptions, by row of the catalogue.
        """
        texts = list(self.texts)
        for row, item in items.items():
            texts[row] = item.title
        return replace(self, texts=texts)

    def softened(self, items: Sequence[int], tokens: Tokens, vectors: Tensor, choice: Tensor) -> CatalogueTitles:
        """Returns these titles with soft titles for some candidates.

        Earlier soft titles are dropped.

        Args:
            items: the catalogue rows of A items.
            tokens: the tokens of their titles, [A, L].
            vectors: the vectors that are read in place of the tokens, float [A, L, d].
            choice: the weight of every token's log-likelihood at each position, float [A, L, V] for V tokens.
        """
        lengths = tokens.mask.sum(1).tolist()
        soft = {
            item: Soft(vectors[index, :length], choice[index, :length])
            for index, (item, length) in enumerate(zip(items, lengths, strict=True))
        }
        return replace(self, soft=soft)
