"""BERT4Rec: a bidirectional transformer trained to fill masked items."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from robench.api import Batch, Embedded, IntArray, Interactions, Rng, SequenceConfig, SequenceModel, TrainData, windows


class Bert4Rec(SequenceModel):
    """BERT4Rec (Sun et al., CIKM 2019): cloze objective (eq. 8), [MASK] appended to score (section 3.6).

    As in the paper, samples that hide only the last item are added, one per window, to match what scoring asks.
    """

    class Config(SequenceConfig):
        """Settings; ``mask`` is the paper's ρ.

        Defaults by validation NDCG@10 on movielens-small, 12 trials of rate, batch, length, mask, dropout.
        """

        layers: int = Field(default=1, ge=1)
        heads: int = Field(default=2, ge=1)
        mask: float = Field(default=0.4, gt=0, lt=1)
        epochs: int = Field(default=14, ge=1)
        batch_size: int = Field(default=64, ge=1)
        learning_rate: float = Field(default=3e-3, gt=0)
        patience: int = Field(default=4, ge=1)
        max_length: int = Field(default=20, ge=2)
        dropout: float = Field(default=0.1, ge=0, lt=1)
        min_epochs: int = Field(default=10, ge=0, description="it sits at popularity first")

    config: Config

    def build_layers(self) -> None:
        """Positions, transformer blocks (GELU, section 3.4) and the output projection of eq. 7."""
        c = self.config
        self.positions = nn.Parameter(torch.randn(c.max_length, c.dim) * 0.02)
        self.norm = nn.LayerNorm(c.dim)
        self.drop = nn.Dropout(c.dropout)
        block = nn.TransformerEncoderLayer(c.dim, c.heads, 4 * c.dim, c.dropout, "gelu", batch_first=True)
        self.blocks = nn.TransformerEncoder(block, c.layers, enable_nested_tensor=False)
        self.project = nn.Sequential(nn.Linear(c.dim, c.dim), nn.GELU(), nn.LayerNorm(c.dim))

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Windows with ρ of their items masked (at least one), and the same windows with the last masked."""
        generator = rng.numpy()
        rows = windows(data.train, self.config.max_length)
        lengths = (rows != self.n_items).sum(1)
        column = np.arange(rows.shape[1])
        chosen = (generator.random(rows.shape) < self.config.mask) & (column < lengths[:, None])
        forced = column == (generator.random(len(rows)) * lengths).astype(np.int64)[:, None]
        chosen |= forced & ~chosen.any(1, keepdims=True)
        last = column == (lengths - 1)[:, None]
        hidden = torch.from_numpy(np.concatenate([chosen, last]))
        items = torch.from_numpy(np.concatenate([rows, rows]))
        order = torch.from_numpy(generator.permutation(len(items)))
        edges = [*range(0, len(order), self.config.batch_size), len(order)]
        for start, end in pairwise(edges):
            part, mask = items[order[start:end]], hidden[order[start:end]]
            inputs = torch.where(mask, self.n_items + 1, part)
            yield Batch(torch.full((len(part),), -1), inputs, {"items": torch.where(mask, part, self.n_items)})

    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """The last ``max_length`` − 1 items and a [MASK] behind them."""
        ids = torch.nn.functional.pad(
            self.last_items(users, history, self.config.max_length - 1), (0, 1), value=self.n_items
        )
        lengths = (ids != self.n_items).sum(1)
        ids[torch.arange(len(ids)), lengths] = self.n_items + 1
        return Batch(torch.from_numpy(np.array(users, dtype=np.int64)), ids)

    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """[B, L, dim]; padding is hidden from attention."""
        x = e.inputs["items"] + self.positions[: batch.histories.shape[1]]
        x = self.blocks(self.drop(self.norm(x)), src_key_padding_mask=batch.histories == self.n_items)
        out: Tensor = self.project(x)
        return out
