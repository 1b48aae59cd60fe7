"""Mult-VAE: a variational autoencoder of the items of a history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

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
from robench.api.component import LATER, off_if_given, search
from robench.api.data import has_enough_items
from robench.api.models.divergence import Logits
from robench_plugins.models.dropout import dropout

STEPS = 10  # the least number of steps per epoch, if ``by_size`` is on
USERS_PER_DIMENSION, LEAST_LATENT = 15, 64  # bounds of the latent dimension, if ``by_size`` is on


class MultiVae(TorchModel):
    """Scores an item by a variational autoencoder with a multinomial likelihood.

    In Mult-VAE (Liang et al., WWW 2018) the likelihood is eq. 2, and the weight of the KL term is annealed to β (eq.
    7). The first layer of the encoder is a table with one row per item. The bag of items is scaled to length 1, and
    dropout then removes some of the items, as in the authors' code. So this layer outputs a weighted sum of the user's
    item rows. This sum, before bias and tanh, is the input that attacks perturb. The encoder maps the input to the mean
    and the variance of a normal distribution q of the latent vector z. The loss per item is −ln π_i + β KL / n_u. Here
    π_i is the probability of the item under the softmax, KL is the divergence of q from the standard normal prior, and
    n_u is the number of the user's items. The losses of a user's items add up to the negative bound of the paper.
    """

    class Config(TorchConfig):
        """Settings of Mult-VAE.

        Widths, batch size and learning rate are taken from section 4.4 of the paper and from the authors' code. Dropout
        and β are the best of four trials by validation NDCG@10 (suites/tuning/movielens-small.grid.txt). The paper has
        over 100,000 users. With few users, ``by_size`` lowers the latent dimension and the batch size.
        """

        hidden: int = Field(default=600, ge=1, description="Units of the hidden layers")
        latent: int = Field(default=200, ge=1, description="Dimensions of the latent vector")
        dropout: float = Field(
            default=0.5,
            ge=0,
            lt=1,
            description="Share of the input items that dropout hides",
            json_schema_extra=search(0.3, 0.8),
        )
        beta: float = Field(
            default=0.3,
            ge=0,
            description="Weight β of the KL term after annealing",
            json_schema_extra=search(0.05, 1.0),
        )
        anneal_epochs: int = Field(
            default=50, ge=1, description="Epochs over which the weight of the KL term grows from 0 to β"
        )
        epochs: int = Field(default=100, ge=1, json_schema_extra=search(choices=[100, 200]))
        batch_size: int = Field(default=500, ge=1)
        learning_rate: float = Field(default=1e-3, gt=0)
        patience: int = Field(default=10, ge=1)
        by_size: bool = Field(
            default=True,
            description="Whether the number of users bounds `latent` (one dimension per 15 users, but at least 64) and "
            "`batch_size` (at least 10 batches per epoch); it has no effect with fewer than 5,000 validation items",
            json_schema_extra=LATER | off_if_given("latent", "batch_size"),
        )

    config: Config
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "parameters", "history"})
    tables: ClassVar[tuple[str, ...]] = ("first.weight", "last.weight")
    epochs_begun: Tensor

    def build(self, data: TrainData, rng: Rng) -> None:
        """Builds the item rows and the other layers.

        Weights are drawn by Xavier's rule, as in the authors' code. The last item row is padding.
        """
        c = self.config
        latent = min(c.latent, max(LEAST_LATENT, data.n_real_users // USERS_PER_DIMENSION))
        latent = latent if self._goes_by_size(data) else c.latent
        self.first = nn.Embedding(data.n_items + 1, c.hidden, padding_idx=data.n_items)
        nn.init.xavier_normal_(self.first.weight)
        with torch.no_grad():
            self.first.weight[data.n_items] = 0
        self.first_bias = nn.Parameter(torch.zeros(c.hidden))
        self.encode = nn.Linear(c.hidden, 2 * latent)
        self.decode = nn.Linear(latent, c.hidden)
        self.last = nn.Linear(c.hidden, data.n_items)
        for layer in (self.encode, self.decode, self.last):
            nn.init.xavier_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        self.register_buffer("epochs_begun", torch.zeros((), dtype=torch.int64))

    def _goes_by_size(self, data: TrainData) -> bool:
        """Returns whether the number of users bounds ``latent`` and ``batch_size``."""
        return self.config.is_on("by_size") and has_enough_items(data)

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Yields batches of shuffled users who have at least one item.

        The target ``beta`` is the weight of the KL term. The annealing depends on the number of epochs that have begun
        in this fit. This number is part of the state.
        """
        users = np.flatnonzero(data.train.lengths() > 0)
        order = rng.numpy().permutation(users)
        share = torch.clamp(self.epochs_begun / self.config.anneal_epochs, max=1.0).cpu()
        self.epochs_begun += 1
        size = self.config.batch_size
        if self._goes_by_size(data):
            size = min(size, -(-data.n_real_users // STEPS))
        for start in range(0, len(order), size):
            batch = self.queries(order[start : start + size], data.train)
            yield Batch(batch.users, batch.histories, {"beta": (self.config.beta * share).expand(len(batch.users))})

    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """Returns all items of each user, padded on the right with ``n_items``."""
        lengths = history.lengths()[users]
        position = np.arange(max(1, int(lengths.max(initial=0))))
        padded = np.append(history.items, self.n_items)
        index = np.where(position < lengths[:, None], history.indptr[users][:, None] + position, len(history.items))
        return Batch(torch.from_numpy(np.array(users, dtype=np.int64)), torch.from_numpy(padded[index]))

    def embed(self, batch: Batch) -> Embedded:
        """Returns the weighted sums of item rows as the input ``bag``, [B, hidden]."""
        own = batch.histories != self.n_items
        weights = own.to(self.first.weight) / own.sum(1, keepdim=True).clamp_min(1).sqrt()
        weights = dropout(weights, self.config.dropout, self.training)
        bag = embedding_bag(
            batch.histories, self.first.weight, mode="sum", per_sample_weights=weights, padding_idx=self.n_items
        )
        return Embedded({"bag": bag}, {"bag": own.any(1)})

    def _encoded(self, e: Embedded) -> tuple[Tensor, Tensor]:
        """Returns the mean and the log variance of the latent vector, [B, latent] each."""
        mean, log_variance = self.encode(torch.tanh(e.inputs["bag"] + self.first_bias)).chunk(2, 1)
        return mean, log_variance

    def _decoded(self, z: Tensor) -> Tensor:
        """Returns the logits at the latent vectors z, [B, n_items]."""
        logits: Tensor = self.last(torch.tanh(self.decode(z)))
        return logits

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the logits at the mean of the latent vector, float [B, n_items].

        This follows section 2.4 of the paper.
        """
        return self._decoded(self._encoded(e)[0])

    def _sampled(self, batch: Batch, e: Embedded) -> tuple[Tensor, Tensor]:
        """Returns the logits at a draw of the latent vector, and the KL divergence.

        The divergence is that of the latent distribution from the prior. Outside training, the mean of the latent
        vector replaces the draw.

        Returns:
            The logits, [B, n_items], and the KL divergence, [B].
        """
        mean, log_variance = self._encoded(e)
        divergence = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(1)
        return self._decoded(self._drawn(mean, log_variance)), divergence

    def _drawn(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Returns a drawn latent vector in training, otherwise its mean: [B, latent]."""
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        return mean + noise * (0.5 * log_variance).exp()

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns −ln π_i + β KL / n_u for every item of every row.

        ``MultiVae`` defines the symbols.
        """
        logits, divergence = self._sampled(batch, e)
        own = batch.histories != self.n_items
        row, position = own.nonzero(as_tuple=True)
        likelihood = logits.log_softmax(1)[row, batch.histories[row, position]]
        return Losses(-likelihood + (batch.targets["beta"] * divergence / own.sum(1).clamp_min(1))[row], row)

    def logits_from(self, batch: Batch, e: Embedded) -> Logits:
        """Returns the logits of one distribution over the catalogue per row.

        The logits belong to the same draw of the latent vector z as the loss.
        """
        mean, log_variance = self._encoded(e)
        hidden = torch.tanh(self.decode(self._drawn(mean, log_variance)))
        return Logits(hidden, self.last.weight, self.last.bias)

    def margins_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns the margin of every item of every row.

        The margin is the score of the item minus the highest score of an item outside the row. If the row has all
        items, the margin is 0.
        """
        logits, _ = self._sampled(batch, e)
        row, position = (batch.histories != self.n_items).nonzero(as_tuple=True)
        known = torch.zeros(len(logits), self.n_items + 1, dtype=torch.bool, device=logits.device)
        hardest = logits.masked_fill(known.scatter_(1, batch.histories, True)[:, :-1], -torch.inf).amax(1)
        own = logits[row, batch.histories[row, position]]
        # A row that contains the whole catalogue has no negative, so its margin is 0 and has no gradient.
        return Losses(torch.where(hardest[row] > -torch.inf, own - hardest[row], torch.zeros_like(own)), row)
