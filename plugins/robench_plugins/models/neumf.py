"""NeuMF: matrix factorisation fused with a multi-layer perceptron."""

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
from robench.api.component import search
from robench.api.models.divergence import Logits
from robench.api.models.pairwise import sample_negatives
from robench.api.models.terms import Terms
from robench_plugins.models.dropout import Dropout

CHUNK_HIDDEN = 1 << 24  # the most entries of the first hidden layer that exist at a time while the catalogue is scored


class NeuMf(PairwiseModel):
    """Scores an item by matrix factorisation fused with a multi-layer perceptron.

    The score of NeuMF (He et al., WWW 2017, eq. 12) is s = hᵀ[p_G ∘ q_G ; MLP([p_M ; q_M])]. The vectors p belong to
    the user and the vectors q to the item. G marks the factorisation, and M marks the perceptron. The vector h holds
    the output weights, and ∘ is the product entry by entry. The model is trained end to end on the binary cross-entropy
    (eq. 7), with uniform unused items as negatives. The paper also pretrains the two parts, which this model does not
    do. The vector of a user is [p_G ; p_M]. The first layer of the perceptron is linear in [p_M ; q_M], so its two
    halves are computed once per user and once per item.
    """

    class Config(TorchConfig):
        """Settings, with defaults from suites/tuning/movielens-small.grid.txt.

        The defaults are the best of four trials by validation NDCG@10.
        """

        factors: int = Field(default=32, ge=1, description="Dimensions of the vectors of the factorisation")
        mlp_factors: int = Field(default=32, ge=1, description="Dimensions of the vectors that enter the perceptron")
        hidden: tuple[int, ...] = Field(
            default=(64, 32, 16), min_length=1, description="Units of each layer of the perceptron"
        )
        negatives: int = Field(default=4, ge=1, description="Sampled negative items per interaction")
        dropout: float = Field(
            default=0.0, ge=0, lt=1, description="Share of the perceptron's activations that dropout zeroes"
        )
        epochs: int = Field(default=30, ge=1, json_schema_extra=search(choices=[60]))
        batch_size: int = Field(default=1024, ge=1)
        learning_rate: float = Field(default=3e-3, gt=0, json_schema_extra=search(5e-4, 1e-2, log=True))
        weight_decay: float = Field(default=1e-5, ge=0, json_schema_extra=search(choices=[0.0, 1e-6, 1e-5]))

    config: Config
    tables: ClassVar[tuple[str, ...]] = ("user_vectors.weight", "item_vectors.weight")

    def build(self, data: TrainData, rng: Rng) -> None:
        """Builds the tables and the layers.

        The entries of the tables are drawn from a normal distribution with a standard deviation of 0.01 (section 4.1 of
        the paper).
        """
        c = self.config
        dim = c.factors + c.mlp_factors
        self.user_vectors = self.user_table(data, dim, 0.01, rng)
        self.item_vectors = nn.Embedding(data.n_items, dim)
        nn.init.normal_(self.item_vectors.weight, std=0.01)
        self.from_user = nn.Linear(c.mlp_factors, c.hidden[0])
        self.from_item = nn.Linear(c.mlp_factors, c.hidden[0], bias=False)
        self.layers = nn.ModuleList([nn.Linear(a, b) for a, b in zip(c.hidden[:-1], c.hidden[1:], strict=True)])
        self.output = nn.Linear(c.factors + c.hidden[-1], 1, bias=False)
        self.drop = Dropout(c.dropout)

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Yields batches of shuffled interactions with negative items, [B, negatives]."""
        generator = rng.numpy()
        users, items = data.train.users(), data.train.items
        order = generator.permutation(len(items))
        columns = [sample_negatives(users, data.train, generator)[order] for _ in range(self.config.negatives)]
        split = [torch.split(torch.from_numpy(x), self.config.batch_size) for x in (users[order], items[order])]
        negatives = torch.split(torch.from_numpy(np.stack(columns, 1)), self.config.batch_size)
        for u, pos, neg in zip(*split, negatives, strict=True):
            yield Batch(u, u.new_empty(len(u), 0), {"positives": pos, "negatives": neg})

    def embed(self, batch: Batch) -> Embedded:
        """Returns the user vectors as the input ``user``, [B, factors + mlp_factors]."""
        users = self.rows_of(self.user_vectors, batch.users)
        valid = torch.ones(len(users), dtype=torch.bool, device=users.device)
        return Embedded({"user": users}, {"user": valid}, {"items": self.item_vectors.weight})

    def _scores(self, users: Tensor, items: Tensor) -> Tensor:
        """Returns the scores of n items per user, float [B, n].

        Args:
            users: the user vectors, [B, d].
            items: the item vectors, [n, d] if they are the same for all users, and [B, n, d] otherwise.
        """
        c = self.config
        user_factor, user_deep = torch.split(users, [c.factors, c.mlp_factors], -1)
        item_factor, item_deep = torch.split(items, [c.factors, c.mlp_factors], -1)
        factor_weight, deep_weight = torch.split(self.output.weight[0], [c.factors, c.hidden[-1]])
        x = self.drop(relu(self.from_user(user_deep).unsqueeze(1) + self.from_item(item_deep)))
        for layer in self.layers:
            x = self.drop(relu(layer(x)))
        weighted = user_factor * factor_weight
        product = weighted @ item_factor.T if items.dim() == 2 else (item_factor @ weighted.unsqueeze(2)).squeeze(2)
        scores: Tensor = product + x @ deep_weight
        return scores

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the scores of the catalogue, float [B, n_items].

        Users are scored one chunk at a time. If there are several chunks, the backward pass computes the hidden layers
        again.
        """
        users, items = e.inputs["user"], e.context["items"]
        rows = max(1, CHUNK_HIDDEN // (len(items) * self.config.hidden[0]))
        parts = torch.split(users, rows)
        if len(parts) == 1 or not torch.is_grad_enabled():
            return torch.cat([self._scores(part, items) for part in parts])
        return torch.cat([checkpoint(self._scores, part, items, use_reentrant=False) for part in parts])

    def _sampled(self, batch: Batch, e: Embedded) -> tuple[Tensor, Tensor]:
        """Returns the scores of the positives, [B], and of the negatives, [B, negatives]."""
        pos, neg = batch.targets["positives"], batch.targets["negatives"]
        scores = self._scores(e.inputs["user"], embedding(torch.cat([pos.unsqueeze(1), neg], 1), e.context["items"]))
        return scores[:, 0], scores[:, 1:]

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns −ln σ(s_pos) − Σ ln(1 − σ(s_neg)) for each interaction.

        Here s_pos is the score of the used item, and s_neg is the score of a sampled negative. The sum covers all
        sampled negatives, and σ is the logistic function.
        """
        positive, negative = self.terms_from(batch, e)
        return Losses(positive + negative.sum(1), torch.arange(len(positive), device=positive.device))

    def terms_from(self, batch: Batch, e: Embedded) -> Terms:
        """Returns −ln σ(s) for each interaction, and −ln(1 − σ(s)) for each negative.

        Here s is the score, and σ is the logistic function.
        """
        positive, negative = self._sampled(batch, e)
        return Terms(softplus(-positive), softplus(negative))

    def margins_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns the margin of each interaction.

        The margin is the positive's score minus the highest score among the sampled negatives.
        """
        positive, negative = self._sampled(batch, e)
        return Losses(positive - negative.amax(1), torch.arange(len(positive), device=positive.device))

    def logits_from(self, batch: Batch, e: Embedded) -> Logits:
        """Returns one distribution per positive and per negative.

        Each distribution is over the classes used and unused. The probability that an item is used is the logistic
        function of the item's score.
        """
        positive, negative = self._sampled(batch, e)
        return Logits.of_two(torch.cat([positive, negative.flatten()]))
