"""SASRec: a causal transformer over the items of a history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import embedding, softplus

from robench.api import Batch, Embedded, Losses, Rng, SequenceModel, TrainData
from robench_plugins.models.attention import AttentionConfig, SelfAttention


class Block(nn.Module):
    """Attention, then a position-wise network; x + dropout(g(norm(x))) around both (Kang & McAuley, section III-C)."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(dim, heads, dropout)
        self.feed = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, dim))
        self.norms = nn.ModuleList([nn.LayerNorm(dim), nn.LayerNorm(dim)])
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """float [B, L, d]. Args: x [B, L, d]; hidden bool [L, L], True where a key lies behind the query."""
        x = x + self.drop(self.attention(self.norms[0](x), hidden))
        out: Tensor = x + self.drop(self.feed(self.norms[1](x)))
        return out


class SasRec(SequenceModel):
    """SASRec (Kang & McAuley, ICDM 2018): learnt positions, causal self-attention, the state against the item table.

    ``loss: ce`` is the cross-entropy over the whole catalogue, which serves it better than the paper's own loss
    (Klenitskiy & Vasilev, RecSys 2023); ``loss: bce`` is the paper's eq. 7 with one uniform negative per position.
    Positions count from the start of the window that is read.
    """

    class Config(AttentionConfig):
        """Settings; the best of four trials by validation NDCG@10 (suites/tuning/movielens-small.yaml)."""

        layers: int = Field(default=2, ge=1)
        loss: Literal["ce", "bce"] = "ce"
        epochs: int = Field(default=30, ge=1)
        batch_size: int = Field(default=32, ge=1)
        learning_rate: float = Field(default=3e-3, gt=0)
        dropout: float = Field(default=0.2, ge=0, lt=1)
        max_length: int = Field(default=30, ge=2)
        patience: int = Field(default=5, ge=1)

    config: Config

    def build_layers(self) -> None:
        """Positions, blocks, last norm."""
        c = self.config
        self.positions = nn.Parameter(torch.randn(c.max_length, c.dim) * c.dim**-0.5)
        self.blocks = nn.ModuleList([Block(c.dim, c.heads, c.dropout) for _ in range(c.layers)])
        self.norm = nn.LayerNorm(c.dim)
        self.drop = nn.Dropout(c.dropout)

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Windows; for ``bce`` also a uniform item per position that the window does not hold."""
        generator = rng.child("negatives").torch()
        for batch in super().batches(data, rng):
            if self.config.loss == "bce":
                negatives = self._negatives(batch, generator)
                yield replace(batch, targets={**batch.targets, "negatives": negatives})
            else:
                yield batch

    def _negatives(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """int64 [B, L]; redrawn a few times where a window holds the item, then left as it is."""
        items = batch.targets["items"]
        own = torch.cat([batch.histories, items], 1)
        drawn = torch.randint(self.n_items, items.shape, generator=generator)
        for _ in range(8):
            known = (drawn.unsqueeze(2) == own.unsqueeze(1)).any(2)
            if not bool(known.any()):
                break
            drawn = torch.where(known, torch.randint(self.n_items, items.shape, generator=generator), drawn)
        return drawn

    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """[B, L, dim]; position t sees the positions up to t."""
        x = e.inputs["items"]
        length = x.shape[1]
        hidden = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        x = self.drop(x + self.positions[:length])
        for block in self.blocks:
            x = block(x, hidden)
        out: Tensor = self.norm(x)
        return out

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """Cross-entropy, or −ln σ(s_y) − ln(1 − σ(s_neg)), per position that has a target."""
        if self.config.loss == "ce":
            return super().loss_from(batch, e)
        targets = batch.targets["items"]
        row, position = (targets != self.n_items).nonzero(as_tuple=True)
        states = self.states_at(batch, e, row, position)
        own, other = (
            (states * embedding(ids[row, position], e.context["table"])).sum(1) + e.context["bias"][ids[row, position]]
            for ids in (targets, batch.targets["negatives"])
        )
        return Losses(softplus(-own) + softplus(other), row)
