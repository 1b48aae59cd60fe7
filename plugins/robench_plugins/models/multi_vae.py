"""Mult-VAE: a variational autoencoder of the bag of a user's items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import dropout, embedding_bag

from robench.api import (
    Batch,
    Embedded,
    IntArray,
    Interactions,
    Losses,
    Rng,
    Surface,
    TorchConfig,
    TorchModel,
    TrainData,
)


class MultiVae(TorchModel):
    """Mult-VAE (Liang et al., WWW 2018): multinomial likelihood (eq. 2), KL term annealed to ``beta`` (eq. 7).

    The encoder's first layer is a table with a row per item; its input x, normalised to length 1 (section 2.2 of the
    authors' code: L2 norm, then dropout on x), makes it the weighted sum of the rows of the user's items. That sum,
    before bias and tanh, is the input that attacks may touch. The loss per item is −ln π_i + β KL / n_u, so that a
    user's items add up to the paper's bound.
    """

    class Config(TorchConfig):
        """Settings; widths, batch size and rate as in the paper's section 4.4 and the authors' code; dropout and β: the
        best of four trials by validation NDCG@10 (suites/tuning/movielens-small.yaml).
        """

        hidden: int = Field(default=600, ge=1)
        latent: int = Field(default=200, ge=1)
        dropout: float = Field(default=0.5, ge=0, lt=1, description="share of the input items that is hidden")
        beta: float = Field(default=0.3, ge=0, description="weight of the KL term after annealing")
        anneal_epochs: int = Field(default=50, ge=1)
        epochs: int = Field(default=100, ge=1)
        batch_size: int = Field(default=500, ge=1)
        learning_rate: float = Field(default=1e-3, gt=0)
        patience: int = Field(default=10, ge=1)

    config: Config
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "parameters", "history"})
    tables: ClassVar[tuple[str, ...]] = ("first.weight", "last.weight")
    epochs_begun: Tensor

    def build(self, data: TrainData, rng: Rng) -> None:
        """Item rows (Xavier, as in the authors' code) and the layers between; the row behind the items is padding."""
        c = self.config
        self.first = nn.Embedding(data.n_items + 1, c.hidden, padding_idx=data.n_items)
        nn.init.xavier_normal_(self.first.weight)
        with torch.no_grad():
            self.first.weight[data.n_items] = 0
        self.first_bias = nn.Parameter(torch.zeros(c.hidden))
        self.encode = nn.Linear(c.hidden, 2 * c.latent)
        self.decode = nn.Linear(c.latent, c.hidden)
        self.last = nn.Linear(c.hidden, data.n_items)
        for layer in (self.encode, self.decode, self.last):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.register_buffer("epochs_begun", torch.zeros((), dtype=torch.int64))

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Shuffled users with at least one item; target ``beta`` is the weight of the KL term in this epoch.

        Its annealing counts the epochs begun in this fit, which are part of the state.
        """
        users = np.flatnonzero(data.train.lengths() > 0)
        order = rng.numpy().permutation(users)
        share = torch.clamp(self.epochs_begun / self.config.anneal_epochs, max=1.0).cpu()
        self.epochs_begun += 1
        for start in range(0, len(order), self.config.batch_size):
            batch = self.queries(order[start : start + self.config.batch_size], data.train)
            yield Batch(batch.users, batch.histories, {"beta": (self.config.beta * share).expand(len(batch.users))})

    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """All items of each user, right-padded with ``n_items``."""
        lengths = history.lengths()[users]
        place = np.arange(max(1, int(lengths.max(initial=0))))
        padded = np.append(history.items, self.n_items)
        index = np.where(place < lengths[:, None], history.indptr[users][:, None] + place, len(history.items))
        return Batch(torch.from_numpy(np.array(users, dtype=np.int64)), torch.from_numpy(padded[index]))

    def embed(self, batch: Batch) -> Embedded:
        """Input ``bag`` [B, hidden]."""
        own = batch.histories != self.n_items
        weights = own.to(self.first.weight) / own.sum(1, keepdim=True).clamp_min(1).sqrt()
        weights = dropout(weights, self.config.dropout, self.training)
        bag = embedding_bag(
            batch.histories, self.first.weight, mode="sum", per_sample_weights=weights, padding_idx=self.n_items
        )
        return Embedded({"bag": bag}, {"bag": own.any(1)})

    def _encoded(self, e: Embedded) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | x): [B, latent] each."""
        mean, log_variance = self.encode(torch.tanh(e.inputs["bag"] + self.first_bias)).chunk(2, 1)
        return mean, log_variance

    def _decoded(self, z: Tensor) -> Tensor:
        found: Tensor = self.last(torch.tanh(self.decode(z)))
        return found

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """The logits at the mean of q (section 2.4): float [B, n_items]."""
        return self._decoded(self._encoded(e)[0])

    def _sampled(self, batch: Batch, e: Embedded) -> tuple[Tensor, Tensor]:
        """Logits at a draw of z, [B, n_items], and the KL divergence from the prior, [B]."""
        mean, log_variance = self._encoded(e)
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        divergence = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(1)
        return self._decoded(mean + noise * (0.5 * log_variance).exp()), divergence

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """−ln π_i + β KL / n_u per item of every row."""
        logits, divergence = self._sampled(batch, e)
        own = batch.histories != self.n_items
        row, place = own.nonzero(as_tuple=True)
        likelihood = logits.log_softmax(1)[row, batch.histories[row, place]]
        return Losses(-likelihood + (batch.targets["beta"] * divergence / own.sum(1).clamp_min(1))[row], row)

    def margins_from(self, batch: Batch, e: Embedded) -> Losses:
        """s_i minus the highest score of an item that the row does not hold."""
        logits, _ = self._sampled(batch, e)
        row, place = (batch.histories != self.n_items).nonzero(as_tuple=True)
        known = torch.zeros(len(logits), self.n_items + 1, dtype=torch.bool, device=logits.device)
        hardest = logits.masked_fill(known.scatter_(1, batch.histories, True)[:, :-1], -torch.inf).amax(1)
        own = logits[row, batch.histories[row, place]]
        # A row that holds the whole catalogue has no negative: its margin is 0 and carries no gradient.
        return Losses(torch.where(hardest[row] > -torch.inf, own - hardest[row], torch.zeros_like(own)), row)
