"""A small world in which titles show a taste, and a model that reads titles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from robench.api.attacks.text import item_text
from robench.api.data import Catalogue, IntArray, Interactions, Item, TrainData, joined
from robench.api.models.base import ColdItem
from robench.api.models.sequence import SequenceModel
from robench.api.models.tokens import TokenModel, Tokens
from robench.api.models.torch import Batch, Embedded
from robench.api.rng import Rng
from robench.api.surfaces import Surface
from robench.engine.measure import MeasuredVictim
from robench.pretrained.encoder import pooled
from robench.testing.worlds import ReferenceSequence, fitted

TASTES = (
    "river canyon desert saddle sheriff frontier",
    "galaxy rocket android orbit planet laser",
    "waltz letter wedding violin parasol garden",
    "haunted coffin vampire crypt phantom midnight",
)
PLAIN = "return last story house city summer"
PADDING, UNKNOWN = 0, 1
DIM = 24


def catalogue_of_words(n_items: int = 48) -> Catalogue:
    """Returns a catalogue in which the words of a title show a taste.

    The taste of item i is i modulo 4. A title has one to four words that show the taste, and one word that does not.
    All items have the same genre.
    """
    generator, items = np.random.default_rng(5), []
    for i in range(n_items):
        own = generator.permutation(TASTES[i % 4].split())[: 1 + i // 4 % 4]
        title = [*own, generator.choice(PLAIN.split())]
        items.append(Item(" ".join(generator.permutation(title)).title(), 1990 + i % 10, ("Feature",)))
    return Catalogue(tuple(f"film {i}" for i in range(n_items)), tuple(items))


def readers(n_users: int = 60, length: int = 8, seed: int = 0) -> tuple[TrainData, Interactions]:
    """Returns a world in which most of a user's items match the user's taste.

    The taste of item i is i modulo 4. An item of a user matches with a probability of four fifths. A user has one of
    the four tastes, with the probabilities 50%, 25%, 15% and 10%.

    Returns:
        The data that a fit may see, and the held-out item of each user.
    """
    known, generator = catalogue_of_words(), np.random.default_rng(seed)
    n_items, sequences = len(known.items), []
    for taste in generator.choice(4, n_users, p=[0.5, 0.25, 0.15, 0.1]):
        pool = generator.permutation(np.arange(taste, n_items, 4)).tolist()
        noise = [i for i in generator.permutation(n_items).tolist() if i % 4 != taste]
        sequences.append([(pool if pool and generator.random() < 0.8 else noise).pop() for _ in range(length + 2)])
    parts = [[row[:-2] for row in sequences], [row[-2:-1] for row in sequences], [row[-1:] for row in sequences]]
    train, validation, test = (Interactions.from_rows(part, n_items) for part in parts)
    return TrainData(train, validation, known), test


class ReferenceText(TokenModel, SequenceModel):
    """A minimal model that scores items by the mean of a history's title vectors.

    The vector of a text is the mean of its words' vectors. Word vectors are drawn once, and are not trained. All
    unknown words share one vector. Items have neither a bias nor a separate vector.
    """

    class Config(ReferenceSequence.Config):
        """The settings, chosen so that a fit takes about a second."""

        epochs: int = 30

    tables: ClassVar[tuple[str, ...]] = ()
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "history", "text"})
    cold_item: ClassVar[ColdItem] = "content"

    def build(self, data: TrainData, rng: Rng) -> None:
        """Creates a vector for each word of the catalogue, and two layers."""
        texts = [item_text(item) for item in data.catalogue.items]
        words = sorted({word for text in texts for word, _ in _words(text)})
        self.vocabulary = {word: number for number, word in enumerate(words, 2)}
        self.register_buffer("vectors", torch.randn(len(words) + 2, DIM, generator=rng.child("words").torch()))
        self.register_buffer("texts", self.encoded(texts))
        self.inwards = nn.Linear(DIM, self.config.dim)
        self.outwards = nn.Linear(DIM, self.config.dim)
        self.drop = nn.Dropout(self.config.dropout)

    def build_layers(self) -> None:
        """Creates no layers, because the model has no item table."""

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Returns the tokens of texts: a special token, and the words in lower case."""
        rows = [[(UNKNOWN, -1), *((self.vocabulary.get(w, UNKNOWN), at) for w, at in _words(text))] for text in texts]
        width = max((len(row) for row in rows), default=1)
        padded = torch.tensor([row + [(PADDING, -1)] * (width - len(row)) for row in rows]).reshape(-1, width, 2)
        return Tokens(padded[..., 0], padded[..., 0] != PADDING, padded[..., 1])

    def token_table(self) -> Tensor:
        """Returns the vectors of all words, float [V, d]."""
        table = self.vectors
        assert isinstance(table, Tensor)
        return table

    def whole_words(self) -> Mapping[int, str]:
        """Returns all words that consist of letters, keyed by token."""
        return {number: word for word, number in self.vocabulary.items() if word.isalpha()}

    def encode(self, tokens: Tokens, vectors: Tensor | None = None) -> Tensor:
        """Returns the scaled mean of the word vectors of each text: float [n, d]."""
        rows = self.token_table()[tokens.ids] if vectors is None else vectors
        return pooled(rows, tokens.mask)

    def embed(self, batch: Batch) -> Embedded:
        """Returns the text vectors of the history as the input ``texts``: [B, L, d]."""
        real = batch.histories < self.n_items
        vectors = self.texts[batch.histories.clamp_max(self.n_items - 1)] * real.unsqueeze(-1)
        context = {"table": self.outwards(self.texts), "bias": self.texts.new_zeros(self.n_items)}
        return Embedded({"texts": vectors}, {"texts": real}, context)

    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the running means over the transformed history, float [B, L, dim]."""
        counts = e.valid["texts"].cumsum(1).clamp_min(1).unsqueeze(-1)
        layers = torch.tanh(self.inwards(e.inputs["texts"])) * e.valid["texts"].unsqueeze(-1)
        means: Tensor = self.drop(layers.cumsum(1) / counts)
        return means


def _words(text: str) -> list[tuple[str, int]]:
    """Returns the words of a text in lower case, and the position of each word."""
    return [(match.group().lower(), match.start()) for match in re.finditer(r"\w+", text)]


@cache
def text_victim() -> MeasuredVictim:
    """Returns a victim with the reference model, fitted on ``readers``.

    The model is fitted once per process.
    """
    data, test = readers()
    model, _ = fitted(ReferenceText(), data)
    users = np.arange(data.n_real_users)
    return MeasuredVictim(model, joined(data.train, data.validation), test, users, 0, data.catalogue)


def promoted(count: int = 3) -> IntArray:
    """Returns the least-used items of the world, sorted: int64 [count]."""
    return np.sort(np.argsort(text_victim().history.counts(), kind="stable")[:count])
