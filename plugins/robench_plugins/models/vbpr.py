"""Visual BPR: matrix factorisation with vectors of items."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import nn

from robench.api import Batch, DataError, Embedded, PairwiseModel, Rng, Surface, TorchConfig, TrainData
from robench.api.component import search


class Vbpr(PairwiseModel):
    """Adds the match of a user with an item's vector to a matrix factorisation.

    The score is β_i + γ_u·γ_i + θ_u·(E f_i) + β'·f_i (He & McAuley, AAAI 2016, equation 4). Here f_i is the vector of
    item i from the data set (``item_vectors``), for example of its picture, E is a learned projection to
    ``visual_factors`` numbers, θ_u is a learned vector of the user, and β' is the visual bias. The offset α and the
    user's bias β_u of the paper are left out, because they change no ranking. The loss of a triple is −ln σ(s_pos −
    s_neg) (equation 6), and the L2 penalty is the weight decay of Adam.

    The vectors f_i stay as the data set gives them. Attacks on the surface ``features`` add to f_i. An item without a
    vector has f_i = 0, so the model treats the item like a matrix factorisation.
    """

    class Config(TorchConfig):
        """Settings of VBPR."""

        factors: int = Field(default=32, ge=1, description="Dimensions of the vectors γ, which do not read f")
        visual_factors: int = Field(default=32, ge=1, description="Dimensions of the vectors θ, which meet E f")
        epochs: int = Field(default=24, ge=1)
        batch_size: int = Field(default=2048, ge=1)
        learning_rate: float = Field(default=1e-2, gt=0, json_schema_extra=search(1e-3, 3e-2, log=True))
        weight_decay: float = Field(default=1e-5, ge=0, json_schema_extra=search(3e-6, 1e-4, log=True))
        patience: int = Field(default=4, ge=1)
        validate_every: int = Field(default=2, ge=1)

    config: Config
    tables: ClassVar[tuple[str, ...]] = ("user_vectors.weight", "item_vectors.weight")
    feature_table: ClassVar[str] = "item_features"
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "parameters", "features"})
    item_features: torch.Tensor

    def build(self, data: TrainData, rng: Rng) -> None:
        """Builds the vectors of users and items, the projection E and the biases.

        Raises:
            DataError: if the data set has no vectors of items.
        """
        c = self.config
        if data.catalogue.vectors is None:
            raise DataError("vbpr reads vectors of items, and this data set has none", hint="item_vectors: FILE")
        self.register_buffer("item_features", torch.tensor(data.catalogue.vectors), persistent=False)
        width = self.item_features.shape[1]
        both = c.factors + c.visual_factors
        self.user_vectors = self.user_table(data, both, 0.1 * both**-0.5, rng)
        self.item_vectors = nn.Embedding(data.n_items, c.factors)
        nn.init.normal_(self.item_vectors.weight, std=0.1 * c.factors**-0.5)
        self.projection = nn.Parameter(torch.randn(width, c.visual_factors) * 0.1 * width**-0.5)
        self.item_bias = nn.Parameter(torch.zeros(data.n_items))
        self.visual_bias = nn.Parameter(torch.zeros(width))

    def embed(self, batch: Batch) -> Embedded:
        """Returns the users' vectors (γ_u, θ_u) as the input ``user``, float [B, d].

        The context holds the items' vectors (γ_i, E f_i), and the biases β_i + β'·f_i.
        """
        users = self.rows_of(self.user_vectors, batch.users)
        valid = torch.ones(len(users), dtype=torch.bool, device=users.device)
        features = self.item_features
        items = torch.cat([self.item_vectors.weight, features @ self.projection], 1)
        bias = self.item_bias + features @ self.visual_bias
        return Embedded({"user": users}, {"user": valid}, {"items": items, "bias": bias})
