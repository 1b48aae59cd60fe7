"""SASRec: a causal transformer over the items of a history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import embedding, softplus

from robench.api import Batch, Embedded, Losses, Rng, SequenceModel, TrainData
from robench.api.component import search
from robench.api.models.divergence import Logits
from robench.api.models.terms import Terms
from robench_plugins.models.dropout import Dropout
from robench_plugins.models.transformer import PreNormBlock, TransformerConfig, causal_outputs


class SasRec(SequenceModel):
    """Predicts the next item at every position with causal self-attention.

    The model is SASRec of Kang & McAuley (ICDM 2018) with learned positions. The score is the inner product of the
    state and the item's vector, plus the item's bias. With ``loss: ce`` the loss is the cross-entropy over the whole
    catalogue. This loss gives better rankings than the loss of the paper (Klenitskiy & Vasilev, RecSys 2023). With
    ``loss: bce`` the loss is eq. 7 of the paper, with one uniform negative per position. Positions are counted from the
    start of the window.
    """

    class Config(TransformerConfig):
        """Settings, with defaults from suites/tuning/movielens-small.grid.txt.

        The defaults are the best of four trials by validation NDCG@10.
        """

        layers: int = Field(default=2, ge=1)
        loss: Literal["ce", "bce"] = Field(
            default="ce", description="Training loss: cross-entropy over the catalogue, or binary with one negative"
        )
        epochs: int = Field(default=30, ge=1)
        batch_size: int = Field(default=32, ge=1)
        learning_rate: float = Field(default=3e-3, gt=0, json_schema_extra=search(5e-4, 1e-2, log=True))
        dropout: float = Field(default=0.2, ge=0, lt=1, json_schema_extra=search(0.1, 0.6))
        max_length: int = Field(default=30, ge=2, json_schema_extra=search(choices=[30, 50]))
        patience: int = Field(default=5, ge=1)

    config: Config

    def build_layers(self) -> None:
        """Builds the positions, the blocks and the last layer norm."""
        c = self.config
        self.positions = nn.Parameter(torch.randn(c.max_length, c.dim) * c.dim**-0.5)
        self.blocks = nn.ModuleList([PreNormBlock(c.dim, c.heads, c.dropout) for _ in range(c.layers)])
        self.norm = nn.LayerNorm(c.dim)
        self.drop = Dropout(c.dropout)

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Yields batches of windows.

        With ``loss: bce`` each window has a uniform negative item per position.
        """
        generator = rng.child("negatives").torch()
        for batch in super().batches(data, rng):
            if self.config.loss == "bce":
                negatives = self._negatives(batch, generator)
                yield replace(batch, targets={**batch.targets, "negatives": negatives})
            else:
                yield batch

    def _negatives(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Returns a uniform negative item per position, int64 [B, L].

        An item that occurs in the window is replaced by a new draw, up to eight times.
        """
        items = batch.targets["items"]
        own = torch.cat([batch.histories, items], 1)
        negatives = torch.randint(self.n_items, items.shape, generator=generator)
        for _ in range(8):
            known = (negatives.unsqueeze(2) == own.unsqueeze(1)).any(2)
            if not bool(known.any()):
                break
            negatives = torch.where(known, torch.randint(self.n_items, items.shape, generator=generator), negatives)
        return negatives

    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the state at every position, float [B, L, dim].

        Position t sees only the positions up to t.
        """
        states: Tensor = self.norm(causal_outputs(e.inputs["items"], self.positions, self.blocks, self.drop))
        return states

    def last_states(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the state at each row's last item, float [B, dim].

        In evaluation mode, the last block is computed only at these positions.
        """
        if self.training:
            return super().last_states(batch, e)
        *lower, last = self.blocks
        x = causal_outputs(e.inputs["items"], self.positions, lower, self.drop)
        states: Tensor = self.norm(cast("PreNormBlock", last).at(x, self.last_position(batch)))
        return states

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns the loss for every position with a target.

        With ``loss: ce`` the loss is the cross-entropy. With ``loss: bce`` the loss is −ln σ(s_y) − ln(1 − σ(s_neg)).
        Here s_y and s_neg are the scores of the target and of the negative item, and σ is the logistic function.
        """
        if self.config.loss == "ce":
            return super().loss_from(batch, e)
        positive, negative, row = self._sampled_scores(batch, e)
        return Losses(softplus(-positive) + softplus(negative), row)

    def terms_from(self, batch: Batch, e: Embedded) -> Terms:
        """Returns the terms of the loss of every position with a target.

        With ``loss: bce`` there is one negative term per position, and none otherwise.
        """
        if self.config.loss == "ce":
            return super().terms_from(batch, e)
        positive, negative, _ = self._sampled_scores(batch, e)
        return Terms(softplus(-positive), softplus(negative).unsqueeze(1))

    def _sampled_scores(self, batch: Batch, e: Embedded) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the scores of N targets, and those of their negatives.

        Returns:
            The scores of the targets, the scores of the negatives, and the row of each target, [N] each.
        """
        targets = batch.targets["items"]
        row, position = (targets != self.n_items).nonzero(as_tuple=True)
        states = self.states_at(batch, e, row, position)
        positive, negative = (
            (states * embedding(ids[row, position], e.context["table"])).sum(1) + e.context["bias"][ids[row, position]]
            for ids in (targets, batch.targets["negatives"])
        )
        return positive, negative, row

    def logits_from(self, batch: Batch, e: Embedded) -> Logits:
        """Returns the distributions of the loss.

        With ``loss: ce`` there is one distribution per target, over the catalogue. With ``loss: bce`` there is one
        distribution per target and one per negative, each over two classes, used and unused.
        """
        if self.config.loss == "ce":
            return super().logits_from(batch, e)
        positive, negative, _ = self._sampled_scores(batch, e)
        return Logits.of_two(torch.cat([positive, negative]))
