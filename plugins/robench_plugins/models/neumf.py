"""NeuMF: matrix factorisation beside a multi-layer perceptron."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import embedding, relu, softplus
from torch.utils.checkpoint import checkpoint

from robench.api import Batch, Embedded, Losses, PairwiseModel, Rng, TorchConfig, TrainData
from robench.api.models.pairwise import sample_negatives

CHUNK_HIDDEN = 1 << 24  # entries of the first hidden layer at a time when the whole catalogue is scored


class NeuMf(PairwiseModel):
    """NeuMF (He et al., WWW 2017, eq. 12): s = hᵀ[p_G ∘ q_G ; MLP([p_M ; q_M])], trained end to end, binary
    cross-entropy (eq. 7) with ``negatives`` uniform unused items per interaction.

    A user's vector is [p_G ; p_M]. The MLP's first layer is linear in [p_M ; q_M], so its two halves are computed once
    per user and once per item.
    """

    class Config(TorchConfig):
        """Settings; the best of four trials by validation NDCG@10 (suites/tuning/movielens-small.yaml)."""

        factors: int = Field(default=32, ge=1, description="of the factorisation")
        mlp_factors: int = Field(default=32, ge=1, description="of the perceptron's inputs")
        hidden: tuple[int, ...] = Field(default=(64, 32, 16), min_length=1)
        negatives: int = Field(default=4, ge=1)
        dropout: float = Field(default=0.0, ge=0, lt=1)
        epochs: int = Field(default=30, ge=1)
        batch_size: int = Field(default=1024, ge=1)
        learning_rate: float = Field(default=3e-3, gt=0)
        weight_decay: float = Field(default=1e-5, ge=0)

    config: Config
    tables: ClassVar[tuple[str, ...]] = ("user_vectors.weight", "item_vectors.weight")

    def build(self, data: TrainData, rng: Rng) -> None:
        """Tables (normal, std 0.01, as in the paper's section 4.1), then the layers."""
        c = self.config
        dim = c.factors + c.mlp_factors
        self.user_vectors = self.user_table(data, dim, 0.01, rng)
        self.item_vectors = nn.Embedding(data.n_items, dim)
        nn.init.normal_(self.item_vectors.weight, std=0.01)
        self.from_user = nn.Linear(c.mlp_factors, c.hidden[0])
        self.from_item = nn.Linear(c.mlp_factors, c.hidden[0], bias=False)
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in zip(c.hidden[:-1], c.hidden[1:], strict=True)])
        self.output = nn.Linear(c.factors + c.hidden[-1], 1, bias=False)
        self.drop = nn.Dropout(c.dropout)

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Shuffled interactions, each with its negatives [B, negatives]."""
        generator = rng.numpy()
        users, items = data.train.users(), data.train.items
        order = generator.permutation(len(items))
        columns = [sample_negatives(users, data.train, generator)[order] for _ in range(self.config.negatives)]
        split = [torch.split(torch.from_numpy(x), self.config.batch_size) for x in (users[order], items[order])]
        negatives = torch.split(torch.from_numpy(np.stack(columns, 1)), self.config.batch_size)
        for u, pos, neg in zip(*split, negatives, strict=True):
            yield Batch(u, u.new_empty(len(u), 0), {"positives": pos, "negatives": neg})

    def embed(self, batch: Batch) -> Embedded:
        """Input ``user`` [B, factors + mlp_factors]."""
        users = self.rows_of(self.user_vectors, batch.users)
        valid = torch.ones(len(users), dtype=torch.bool, device=users.device)
        return Embedded({"user": users}, {"user": valid}, {"items": self.item_vectors.weight})

    def _scores(self, users: Tensor, items: Tensor) -> Tensor:
        """float [B, n]. Args: users [B, d]; items [n, d] for all users alike, or [B, n, d]."""
        c = self.config
        factor, deep = torch.split(users, [c.factors, c.mlp_factors], -1)
        item_factor, item_deep = torch.split(items, [c.factors, c.mlp_factors], -1)
        by_factor, by_deep = torch.split(self.output.weight[0], [c.factors, c.hidden[-1]])
        x = self.drop(relu(self.from_user(deep).unsqueeze(1) + self.from_item(item_deep)))
        for layer in self.layers:
            x = self.drop(relu(layer(x)))
        weighted = factor * by_factor
        product = weighted @ item_factor.T if items.dim() == 2 else (item_factor @ weighted.unsqueeze(2)).squeeze(2)
        found: Tensor = product + x @ by_deep
        return found

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """float [B, n_items], some users at a time; with a gradient their hidden layers are computed again for it."""
        users, items = e.inputs["user"], e.context["items"]
        rows = max(1, CHUNK_HIDDEN // (len(items) * self.config.hidden[0]))
        parts = torch.split(users, rows)
        if len(parts) == 1 or not torch.is_grad_enabled():
            return torch.cat([self._scores(part, items) for part in parts])
        return torch.cat([checkpoint(self._scores, part, items, use_reentrant=False) for part in parts])

    def _sampled(self, batch: Batch, e: Embedded) -> tuple[Tensor, Tensor]:
        """Scores of the positives [B] and the negatives [B, negatives]."""
        pos, neg = batch.targets["positives"], batch.targets["negatives"]
        scores = self._scores(e.inputs["user"], embedding(torch.cat([pos.unsqueeze(1), neg], 1), e.context["items"]))
        return scores[:, 0], scores[:, 1:]

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """−ln σ(s_pos) − Σ ln(1 − σ(s_neg)) per interaction."""
        own, other = self._sampled(batch, e)
        return Losses(softplus(-own) + softplus(other).sum(1), torch.arange(len(own), device=own.device))

    def margins_from(self, batch: Batch, e: Embedded) -> Losses:
        """s_pos minus the highest sampled negative."""
        own, other = self._sampled(batch, e)
        return Losses(own - other.amax(1), torch.arange(len(own), device=own.device))
