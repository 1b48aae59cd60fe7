"""BERT4Rec: a bidirectional transformer that is trained to fill in masked items."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad

from robench.api import Batch, Embedded, IntArray, Interactions, Rng, SequenceModel, TrainData
from robench.api.component import search
from robench.api.models.sequence import windows
from robench_plugins.models.dropout import Dropout
from robench_plugins.models.transformer import SelfAttention, TransformerConfig


class PostNormBlock(nn.Module):
    """A transformer block with a layer norm after each sublayer.

    The first sublayer is attention, and the second is a position-wise network. Each sublayer g turns its input x into
    norm(x + dropout(g(x))). This is the block of BERT4Rec (Sun et al., CIKM 2019, section 3.3).
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(dim, heads)
        self.feed = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.norms = nn.ModuleList([nn.LayerNorm(dim), nn.LayerNorm(dim)])
        self.drop = Dropout(dropout)

    def attend(self, x: Tensor, padding: Tensor) -> Tensor:
        """Returns the output of the attention sublayer, float [B, L, d].

        Args:
            x: the vectors at all positions, float [B, L, d].
            padding: bool [B, L], True at padding.
        """
        out: Tensor = self.norms[0](x + self.drop(self.attention(x, padding[:, None, None])))
        return out

    def transform(self, x: Tensor) -> Tensor:
        """Returns the output of the position-wise sublayer, float [..., d]."""
        out: Tensor = self.norms[1](x + self.drop(self.feed(x)))
        return out

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        """Returns the output of both sublayers, float [B, L, d]."""
        return self.transform(self.attend(x, padding))


class Bert4Rec(SequenceModel):
    """Predicts masked items with bidirectional self-attention.

    The model is BERT4Rec of Sun et al. (CIKM 2019), with the cloze objective (eq. 8). For scoring, a [MASK] is appended
    to the history (section 3.6). As in section 3.6, only the last item is masked in some training samples. Unlike in
    the paper, the output has a layer norm in addition to eq. 7, and attention weights have no dropout.
    """

    class Config(TransformerConfig):
        """Settings, with defaults from suites/tuning/movielens-small.grid.txt.

        The defaults are the best of four trials by validation NDCG@10.
        """

        mask: float = Field(
            default=0.4,
            gt=0,
            lt=1,
            description="Share ρ of the items of a window that are masked",
            json_schema_extra=search(0.1, 0.7),
        )
        last: float = Field(
            default=0.1, ge=0, le=1, description="Share of windows in which only the last item is masked"
        )
        max_length: int = Field(default=20, ge=2)
        dropout: float = Field(default=0.1, ge=0, lt=1, json_schema_extra=search(0.1, 0.5))
        epochs: int = Field(default=22, ge=1)
        batch_size: int = Field(default=64, ge=1)
        learning_rate: float = Field(default=3e-3, gt=0, json_schema_extra=search(5e-4, 1e-2, log=True))
        patience: int = Field(default=4, ge=1)
        min_epochs: int = Field(
            default=16,
            ge=0,
            description="Epochs before patience starts to count; at first the model only learns popularity",
        )

    config: Config

    def build_layers(self) -> None:
        """Builds the positions, the blocks and the projection (eq. 7 of the paper)."""
        c = self.config
        self.positions = nn.Parameter(torch.randn(c.max_length, c.dim) * 0.02)
        self.norm = nn.LayerNorm(c.dim)
        self.drop = Dropout(c.dropout)
        self.lower = nn.ModuleList([PostNormBlock(c.dim, c.heads, c.dropout) for _ in range(c.layers - 1)])
        self.top = PostNormBlock(c.dim, c.heads, c.dropout)
        self.project = nn.Sequential(nn.Linear(c.dim, c.dim), nn.GELU(), nn.LayerNorm(c.dim))

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Yields batches of shuffled windows with masked items.

        In a share ``last`` of the windows, only the last item is masked. In the other windows each item is masked with
        the probability ``mask``, and at least one item is masked.
        """
        generator = rng.numpy()
        rows = windows(data.train, self.config.max_length)
        rows = rows[generator.permutation(len(rows))]
        lengths = (rows != self.n_items).sum(1, keepdims=True)
        column = np.arange(rows.shape[1])
        masked = (generator.random(rows.shape) < self.config.mask) & (column < lengths)
        forced = column == (generator.random((len(rows), 1)) * lengths).astype(np.int64)
        masked |= forced & ~masked.any(1, keepdims=True)
        only_last = generator.random((len(rows), 1)) < self.config.last
        items, masks = (torch.from_numpy(x) for x in (rows, np.where(only_last, column == lengths - 1, masked)))
        for part, mask in zip(*(torch.split(x, self.config.batch_size) for x in (items, masks)), strict=True):
            inputs = torch.where(mask, self.n_items + 1, part)
            yield Batch(torch.full((len(part),), -1), inputs, {"items": torch.where(mask, part, self.n_items)})

    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """Returns a batch of each user's last ``max_length`` − 1 items and a [MASK]."""
        ids = pad(self.last_items(users, history, self.config.max_length - 1), (0, 1), value=self.n_items)
        lengths = (ids != self.n_items).sum(1)
        ids[torch.arange(len(ids)), lengths] = self.n_items + 1
        return Batch(torch.from_numpy(np.array(users, dtype=np.int64)), ids)

    def attended(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the vectors after the last attention layer, float [B, L, dim].

        No position sees padding. All later layers work on each position separately.
        """
        padding = batch.histories == self.n_items
        x = self.drop(self.norm(e.inputs["items"] + self.positions[: padding.shape[1]]))
        for block in self.lower:
            x = block(x, padding)
        return self.top.attend(x, padding)

    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the state at every position, float [B, L, dim]."""
        out: Tensor = self.project(self.top.transform(self.attended(batch, e)))
        return out

    def states_at(self, batch: Batch, e: Embedded, row: Tensor, position: Tensor) -> Tensor:
        """Returns the states at N positions, float [N, dim].

        The layers after the last attention layer are computed only for these positions.

        Args:
            batch: the batch.
            e: the embedded inputs of the batch.
            row: the row of each position in the batch, int64 [N].
            position: the place of each position in its row, int64 [N].
        """
        out: Tensor = self.project(self.top.transform(self.attended(batch, e)[row, position]))
        return out
