"""Matrix factorisation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from robench.api import Batch, Embedded, Losses, PairwiseModel, Rng, TorchConfig, TrainData
from robench.api.component import LATER, off_if_given, search
from robench.api.models.divergence import Logits
from robench.api.models.softmax import cross_entropy

FALLBACK = 1e-5  # the weight decay with few validation items
CHOICES = (FALLBACK, 3e-5, 3e-6)  # validation chooses among these; of equal values, the first wins


class MatrixFactorization(PairwiseModel):
    """Scores an item by the inner product of a user vector and an item vector.

    With ``loss: bpr`` the loss of an interaction is −ln σ(s_pos − s_neg) (Rendle et al., UAI 2009, eq. 4 and section
    4.3.1). Here s_pos is the score of the used item, s_neg is the score of a sampled unused item, and σ is the logistic
    function. With ``loss: ce`` the loss is the cross-entropy over the whole catalogue.
    """

    class Config(TorchConfig):
        """The settings of a matrix factorisation.

        The defaults of the learning rate and the weight decay were the best of four trials by validation NDCG@10
        (suites/tuning/movielens-small.grid.txt). With more validation items, validation chooses the weight decay.
        """

        factors: int = Field(default=64, ge=1, description="Dimensions of the vectors")
        loss: Literal["bpr", "ce"] = Field(
            default="bpr", description="Training loss: BPR against one negative, or cross-entropy over the catalogue"
        )
        epochs: int = Field(default=24, ge=1, json_schema_extra=search(choices=[80]))
        batch_size: int = Field(default=2048, ge=1)
        learning_rate: float = Field(default=1e-2, gt=0, json_schema_extra=search(1e-3, 3e-2, log=True))
        weight_decay: float = Field(
            default=FALLBACK,
            ge=0,
            description="Weight of the L2 penalty in Adam; if the suite gives it, nothing is chosen",
            json_schema_extra=search(3e-6, 5e-5, log=True),
        )
        by_validation: bool = Field(
            default=True,
            description="Whether validation chooses the weight decay from 3e-6, 1e-5 and 3e-5; with fewer than "
            "5,000 validation items, it is 1e-5",
            json_schema_extra=LATER | off_if_given("weight_decay"),
        )
        patience: int = Field(default=4, ge=1)
        validate_every: int = Field(default=2, ge=1)
        decays: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(default="auto", json_schema_extra=LATER)

    config: Config
    tables: ClassVar[tuple[str, ...]] = ("user_vectors.weight", "item_vectors.weight")

    def alternatives(self, data: TrainData) -> Iterator[Mapping[str, float]]:
        """Yields the weight decays to choose from.

        Nothing is yielded if validation does not choose the weight decay.
        """
        if self.config.is_on("by_validation"):
            yield from ({"weight_decay": one} for one in CHOICES)

    def build(self, data: TrainData, rng: Rng) -> None:
        """Builds the tables of user and item vectors.

        The entries are drawn from a normal distribution with a standard deviation of 0.1 / √d, where d is the number of
        entries of a vector.
        """
        std = 0.1 * self.config.factors**-0.5
        self.user_vectors = self.user_table(data, self.config.factors, std, rng)
        self.item_vectors = nn.Embedding(data.n_items, self.config.factors)
        nn.init.normal_(self.item_vectors.weight, std=std)

    def embed(self, batch: Batch) -> Embedded:
        """Returns the user vectors as the input ``user``, [B, d]."""
        users = self.rows_of(self.user_vectors, batch.users)
        valid = torch.ones(len(users), dtype=torch.bool, device=users.device)
        return Embedded({"user": users}, {"user": valid}, {"items": self.item_vectors.weight})

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """Returns the loss of each interaction, [B]."""
        if self.config.loss == "bpr":
            return super().loss_from(batch, e)
        items, positives = e.context["items"], batch.targets["positives"]
        value = cross_entropy(e.inputs["user"], items, items.new_zeros(len(items)), positives)
        return Losses(value, torch.arange(len(value), device=value.device))

    def logits_from(self, batch: Batch, e: Embedded) -> Logits:
        """Returns one distribution per interaction.

        With ``loss: bpr`` the candidates are the positive and the negative. With ``loss: ce`` they are all items.
        """
        if self.config.loss == "bpr":
            return super().logits_from(batch, e)
        items = e.context["items"]
        return Logits(e.inputs["user"], items, items.new_zeros(len(items)))
