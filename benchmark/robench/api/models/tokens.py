"""Neural models that read items' texts by tokens: what the host needs to read a title anew, and to attack it."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from robench.api.attacks.text import item_text
from robench.api.data import Item
from robench.api.models.torch import TorchModel
from robench.api.threat import GoalName


@dataclass(frozen=True, eq=False)
class Tokens:
    """Texts as tokens, right-padded.

    Args:
        ids: int64 [n, L].
        mask: bool [n, L], False at padding.
        start: int64 [n, L], the character of the text at which a token begins; −1 at special tokens and padding.
    """

    ids: Tensor
    mask: Tensor
    start: Tensor


class TokenReader(TorchModel):
    """A ``TorchModel`` that reads items by the tokens of their texts: one of the two kinds below."""

    reads_text: ClassVar[bool] = True

    @abstractmethod
    def tokens(self, texts: Sequence[str]) -> Tokens:
        """By the model's own tokenizer."""

    @abstractmethod
    def token_table(self) -> Tensor:
        """Vectors of all tokens, before positions are added: float [V, d]."""

    @abstractmethod
    def whole_words(self) -> Mapping[int, str]:
        """Tokens that stand for a whole word of letters: id -> word."""


class TokenModel(TokenReader):
    """A ``TokenReader`` whose items are vectors of texts: the buffer ``texts``, float [n_items, D].

    Everything that scores or trains reads an item through that buffer, so another row is another text.
    """

    texts: Tensor
    reads_of: ClassVar[tuple[str, ...]] = ("title", "year", "genres", "description")  # as ``item_text`` does
    token_goals: ClassVar[tuple[GoalName, ...]] = ("promote", "untargeted")

    @abstractmethod
    def encode(self, tokens: Tokens, vectors: Tensor | None = None) -> Tensor:
        """Vectors of texts, float [n, D], as in ``texts``; differentiable.

        Args:
            vectors: float [n, L, d] in place of the tokens' rows of ``token_table``.
        """

    def encoded(self, texts: Sequence[str]) -> Tensor:
        """Vectors of texts without a gradient: float [n, D]."""
        with torch.no_grad():
            return self.encode(self.tokens(texts))

    def rewritten(self, items: Mapping[int, Item]) -> Self:
        """This model where some items have other texts; only these are encoded."""
        found = copy.copy(self)
        found._buffers = dict(self._buffers)
        if items:
            rows = torch.tensor(list(items), device=self.texts.device)
            vectors = self.encoded([item_text(item) for item in items.values()])
            found._buffers["texts"] = self.texts.index_copy(0, rows, vectors.to(self.texts))
        return found


class LikelihoodModel(TokenReader):
    """A ``TokenReader`` that scores an item by how likely the tokens of its title are: there is no vector of an item.

    A token counts twice then: by its own likelihood, and as what the next ones follow. In a history it has neither, so
    there are slopes for promotion only.
    """

    token_goals: ClassVar[tuple[GoalName, ...]] = ("promote",)

    @abstractmethod
    def softened(self, items: Sequence[int], tokens: Tokens, vectors: Tensor, choice: Tensor) -> Self:
        """This model where, as candidates, some items have soft titles; histories read as they did.

        Args:
            items: rows of the catalogue, A of them.
            tokens: of their titles, [A, L]; none of a title that the model would not read. What stands at padding
                counts for nothing.
            vectors: float [A, L, d] that are read in place of the tokens' rows of ``token_table``.
            choice: float [A, L, V], the weights by which the log-likelihoods of all tokens count in a place; those of
                the title itself are 1 at its token.
        """

    @abstractmethod
    def tails(self, words: Sequence[Sequence[int]]) -> Tensor:
        """How likely the further tokens of words are, each word read by itself: float [W], nats, no gradient.

        Args:
            words: the tokens of each, at least one.
        """
