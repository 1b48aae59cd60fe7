"""The base class of models that read item texts through a pretrained encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from robench.api import Catalogue, TokenModel, Tokens
from robench.api.attacks.text import item_text
from robench.pretrained import Encoder, cached_array, cached_array_path, folder_of, identity_of


def catalogue_vectors(identity: str, texts: Sequence[str], encoder: Callable[[], Encoder]) -> Tensor:
    """Returns the vectors of a catalogue's texts, float [n_items, D].

    The vectors are computed once per machine.

    Args:
        identity: the digest of the encoder's files and settings.
        texts: the text of each item.
        encoder: returns the encoder. It is called only if the vectors are not in the cache.
    """
    key = {"encoder": identity, "texts": list(texts)}
    return torch.from_numpy(cached_array("texts", key, lambda: encoder().encode(texts).numpy()))


class EncodedTexts(TokenModel):
    """A model with one text vector per item, from a pretrained BERT encoder.

    A subclass has the settings ``weights`` and ``max_tokens``. It puts the result of ``pretrained_vectors`` into the
    buffer ``texts``.
    """

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, with trained layers that belong to this model alone."""
        return Encoder.load(self.config.weights, self.config.max_tokens)

    @property
    def placed_encoder(self) -> Encoder:
        """The encoder, on the device and in the precision of this model."""
        self.encoder.net.to(self.device, self.texts.dtype)
        return self.encoder

    def outside(self) -> str:
        """Returns a digest of the encoder's files."""
        return identity_of(folder_of(self.config.weights), self.config.max_tokens)

    def pretrained_vectors(self, texts: Sequence[str]) -> Tensor:
        """Returns the text vectors of the pretrained encoder, float [n_items, D].

        A text vector has D entries. The vectors are computed once per encoder, catalogue and machine.
        """
        self._encoded_texts: dict[str, Tensor] = {}
        return catalogue_vectors(self.outside(), texts, lambda: self.encoder)

    def encodings(self, catalogue: Catalogue) -> Path:
        """Returns the path of the cached vectors of the catalogue's texts."""
        return cached_array_path(
            "texts", {"encoder": self.outside(), "texts": [item_text(item) for item in catalogue.items]}
        )

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Returns the tokens of texts from the encoder's tokenizer."""
        return self.encoder.tokens(texts)

    def token_table(self) -> Tensor:
        """Returns the vectors of the encoder's word pieces, float [V, d]."""
        return self.placed_encoder.table()

    def whole_words(self) -> Mapping[int, str]:
        """Returns the word pieces of at least two letters that begin a word, by token id."""
        vocabulary = self.encoder.tokenizer.get_vocab()
        return {
            token: word for word, token in vocabulary.items() if word.isalpha() and word.isascii() and len(word) > 1
        }

    def encode(self, tokens: Tokens, vectors: Tensor | None = None) -> Tensor:
        """Returns the mean-pooled vectors of texts, float [n, D].

        Every vector is scaled to a root mean square of 1.

        Args:
            tokens: the tokens of n texts.
            vectors: the token vectors to use in place of those of the encoder, float [n, L, d].
        """
        encoder, mask = self.placed_encoder, tokens.mask.to(self.device)
        return encoder.forward(encoder.embed(tokens) if vectors is None else vectors, mask)

    def encoded(self, texts: Sequence[str]) -> Tensor:
        """Returns the vectors of texts, float [n, D].

        Identical texts are encoded once.
        """
        new = [text for text in dict.fromkeys(texts) if text not in self._encoded_texts]
        if new:
            self._encoded_texts.update(zip(new, self.placed_encoder.encode(new), strict=True))
        return torch.stack([self._encoded_texts[text] for text in texts]).to(self.device)
