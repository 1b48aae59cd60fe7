"""An LSTM over item embeddings."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import nn

from robench_plugins.models.recurrent import RecurrentConfig, RecurrentModel


class Lstm(RecurrentModel):
    """Next-item LSTM (Hochreiter & Schmidhuber 1997; sessions as in GRU4Rec, Hidasi et al. 2016, full softmax loss)."""

    class Config(RecurrentConfig):
        """Settings; the best of four trials by validation NDCG@10 (suites/tuning/movielens-small.yaml)."""

        epochs: int = Field(default=16, ge=1)
        batch_size: int = Field(default=32, ge=1)
        learning_rate: float = Field(default=1e-2, gt=0)
        dropout: float = Field(default=0.3, ge=0, lt=1)
        max_length: int = Field(default=30, ge=2)
        patience: int = Field(default=3, ge=1)

    config: Config
    cell: ClassVar = nn.LSTM
