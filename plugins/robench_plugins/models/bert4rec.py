"""BERT4Rec: a bidirectional transformer trained to fill masked items."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad

from robench.api import Batch, Embedded, IntArray, Interactions, Rng, SequenceModel, TrainData
from robench.api.models.sequence import windows
from robench_plugins.models.attention import AttentionConfig, SelfAttention


class Block(nn.Module):
    """A transformer block (Sun et al. 2019, sections 3.3 and 3.4): dropout after each sublayer, then layer norm."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(dim, heads)
        self.feed = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.norms = nn.ModuleList([nn.LayerNorm(dim), nn.LayerNorm(dim)])
        self.drop = nn.Dropout(dropout)

    def attend(self, x: Tensor, unseen: Tensor) -> Tensor:
        """Every position mixed with all others: float [B, L, d]. Args: x [B, L, d]; unseen bool [B, L], the padding."""
        out: Tensor = self.norms[0](x + self.drop(self.attention(x, unseen[:, None, None])))
        return out

    def settle(self, x: Tensor) -> Tensor:
        """The position-wise sublayer: float [..., d]."""
        out: Tensor = self.norms[1](x + self.drop(self.feed(x)))
        return out

    def forward(self, x: Tensor, unseen: Tensor) -> Tensor:
        """Both sublayers: float [B, L, d]."""
        return self.settle(self.attend(x, unseen))


class Bert4Rec(SequenceModel):
    """BERT4Rec (Sun et al., CIKM 2019): cloze objective (eq. 8), [MASK] appended to score (section 3.6).

    As in section 3.6, some samples hide only the last item, which is what scoring asks. Unlike the paper's, the head
    has a layer norm beyond eq. 7, and attention weights have no dropout.
    """

    class Config(AttentionConfig):
        """Settings; ``mask`` is the paper's ρ. The best of four trials by validation NDCG@10
        (suites/tuning/movielens-small.yaml).
        """

        mask: float = Field(default=0.4, gt=0, lt=1)
        last: float = Field(default=0.1, ge=0, le=1, description="share of the windows that hide only their last item")
        max_length: int = Field(default=20, ge=2)
        dropout: float = Field(default=0.1, ge=0, lt=1)
        epochs: int = Field(default=22, ge=1)
        batch_size: int = Field(default=64, ge=1)
        learning_rate: float = Field(default=3e-3, gt=0)
        patience: int = Field(default=4, ge=1)
        min_epochs: int = Field(default=16, ge=0, description="it sits at popularity first")

    config: Config

    def build_layers(self) -> None:
        """Positions, transformer blocks (GELU, section 3.4) and the output projection of eq. 7."""
        c = self.config
        self.positions = nn.Parameter(torch.randn(c.max_length, c.dim) * 0.02)
        self.norm = nn.LayerNorm(c.dim)
        self.drop = nn.Dropout(c.dropout)
        self.lower = nn.ModuleList([Block(c.dim, c.heads, c.dropout) for _ in range(c.layers - 1)])
        self.top = Block(c.dim, c.heads, c.dropout)
        self.project = nn.Sequential(nn.Linear(c.dim, c.dim), nn.GELU(), nn.LayerNorm(c.dim))

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Shuffled windows with ρ of their items masked (at least one), or with the last one masked."""
        generator = rng.numpy()
        rows = windows(data.train, self.config.max_length)
        rows = rows[generator.permutation(len(rows))]
        lengths = (rows != self.n_items).sum(1, keepdims=True)
        column = np.arange(rows.shape[1])
        hidden = (generator.random(rows.shape) < self.config.mask) & (column < lengths)
        forced = column == (generator.random((len(rows), 1)) * lengths).astype(np.int64)
        hidden |= forced & ~hidden.any(1, keepdims=True)
        only_last = generator.random((len(rows), 1)) < self.config.last
        items, masks = (torch.from_numpy(x) for x in (rows, np.where(only_last, column == lengths - 1, hidden)))
        for part, mask in zip(*(torch.split(x, self.config.batch_size) for x in (items, masks)), strict=True):
            inputs = torch.where(mask, self.n_items + 1, part)
            yield Batch(torch.full((len(part),), -1), inputs, {"items": torch.where(mask, part, self.n_items)})

    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """The last ``max_length`` − 1 items and a [MASK] behind them."""
        ids = pad(self.last_items(users, history, self.config.max_length - 1), (0, 1), value=self.n_items)
        lengths = (ids != self.n_items).sum(1)
        ids[torch.arange(len(ids)), lengths] = self.n_items + 1
        return Batch(torch.from_numpy(np.array(users, dtype=np.int64)), ids)

    def mixed(self, batch: Batch, e: Embedded) -> Tensor:
        """[B, L, dim] after the last attention, where positions meet for the last time; padding is hidden from it."""
        unseen = batch.histories == self.n_items
        x = self.drop(self.norm(e.inputs["items"] + self.positions[: unseen.shape[1]]))
        for block in self.lower:
            x = block(x, unseen)
        return self.top.attend(x, unseen)

    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """[B, L, dim]."""
        out: Tensor = self.project(self.top.settle(self.mixed(batch, e)))
        return out

    def states_at(self, batch: Batch, e: Embedded, row: Tensor, position: Tensor) -> Tensor:
        """[N, dim]: what follows the last attention is computed where it is asked for only."""
        out: Tensor = self.project(self.top.settle(self.mixed(batch, e)[row, position]))
        return out
