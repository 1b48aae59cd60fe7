"""Base classes of neural models that read the texts of items as tokens.

Through these classes, the host replaces titles and computes slopes of the loss with respect to tokens.
"""

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
    """The tokens of n texts, right-padded.

    Args:
        ids: the tokens, int64 [n, L].
        mask: whether each place holds a token, bool [n, L]. Padding is False.
        start: the index of each token's first character in the text, int64 [n, L]. The index is −1 at special tokens
            and padding.
    """

    ids: Tensor
    mask: Tensor
    start: Tensor


class TokenReader(TorchModel):
    """A neural model that reads the texts of items as tokens.

    Concrete models derive from ``TokenModel`` or ``LikelihoodModel``.
    """

    reads_text: ClassVar[bool] = True

    @abstractmethod
    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Splits texts into tokens with the model's own tokenizer."""

    @abstractmethod
    def token_table(self) -> Tensor:
        """Returns the vectors of all tokens, without position vectors: float [V, d]."""

    @abstractmethod
    def whole_words(self) -> Mapping[int, str]:
        """Maps each token that is a whole word of letters to this word."""


class TokenModel(TokenReader):
    """A ``TokenReader`` with one vector per item, computed from the item's text.

    The vectors are in the buffer ``texts``, float [n_items, D], with D entries per vector. Scores and losses read an
    item only through this buffer, so replacing a row replaces the text.
    """

    texts: Tensor
    reads_of: ClassVar[tuple[str, ...]] = ("title", "year", "genres", "description")  # as in ``item_text``
    token_goals: ClassVar[tuple[GoalName, ...]] = ("promote", "untargeted")

    @abstractmethod
    def encode(self, tokens: Tokens, vectors: Tensor | None = None) -> Tensor:
        """Encodes texts as vectors, in the format of the buffer ``texts``.

        The result is float [n, D] and has gradients.

        Args:
            tokens: the tokens of the texts.
            vectors: the vectors to read in place of the tokens' rows of ``token_table``, float [n, L, d].
        """

    def encoded(self, texts: Sequence[str]) -> Tensor:
        """Encodes texts as vectors without gradients: float [n, D]."""
        with torch.no_grad():
            return self.encode(self.tokens(texts))

    def rewritten(self, items: Mapping[int, Item]) -> Self:
        """Returns a view of this model in which some items have different texts.

        Only the new texts are encoded.
        """
        other = copy.copy(self)
        other._buffers = dict(self._buffers)
        if items:
            rows = torch.tensor(list(items), device=self.texts.device)
            vectors = self.encoded([item_text(item) for item in items.values()])
            other._buffers["texts"] = self.texts.index_copy(0, rows, vectors.to(self.texts))
        return other


class LikelihoodModel(TokenReader):
    """A ``TokenReader`` that scores an item by the likelihood of the item's title.

    The score may also be linear in the likelihood, or in the difference between it and the likelihood without a
    history. An item has no vector. A token of the scored title has two roles: the token has a likelihood, and is also
    context for the tokens after it. Slopes cover only these roles, and not titles in histories. Therefore, slopes exist
    only for promotion.
    """

    token_goals: ClassVar[tuple[GoalName, ...]] = ("promote",)

    @property
    def length_normalised(self) -> bool:
        """Returns whether scores depend on the mean over a title's tokens, not the sum."""
        return True

    @abstractmethod
    def softened(self, items: Sequence[int], tokens: Tokens, vectors: Tensor, choice: Tensor) -> Self:
        """Returns a view of this model in which some items have soft titles.

        A soft title consists of token vectors, and of weights for the tokens' log-likelihoods. In histories, the
        items keep their genuine titles.

        Args:
            items: the rows of A items in the catalogue.
            tokens: the tokens of the items' titles, [A, L]. A title that the model does not read has no tokens. Values
                at padding are ignored.
            vectors: the vectors to read in place of the tokens' rows of ``token_table``, float [A, L, d].
            choice: the weights of all tokens' log-likelihoods at each place, float [A, L, V] for V different tokens. A
                genuine title has weight 1 at its own token.
        """

    @abstractmethod
    def tails(self, words: Sequence[Sequence[int]]) -> Tensor:
        """Returns what each word's tokens after the first add to a title's likelihood.

        The result is float [words]. If the model scores by the likelihood, this is the joint log-likelihood of these
        tokens, in nats and without a gradient. The model reads each word on its own.

        Args:
            words: the tokens of each word. A word has at least one token.
        """
