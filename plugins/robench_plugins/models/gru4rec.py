"""GRU4Rec: a gated recurrent network over the items of a history."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import nn

from robench_plugins.models.recurrent import RecurrentConfig, RecurrentModel


class Gru4Rec(RecurrentModel):
    """GRU4Rec (Hidasi et al., ICLR 2016, section 3): a GRU predicts the next item at every position.

    With item embeddings and dropout on them as in Tan et al. (DLRS 2016, section 3.1); where they cut each session
    into all its prefixes, one pass over a window gives the same targets. The loss is the cross-entropy over the whole
    catalogue (Hidasi & Karatzoglou, CIKM 2018, eq. 2, without their sampling); input and output share the table.
    """

    class Config(RecurrentConfig):
        """Settings; the best of four trials by validation NDCG@10 (suites/tuning/movielens-small.yaml)."""

        hidden: int = Field(default=128, ge=1)
        epochs: int = Field(default=16, ge=1)
        batch_size: int = Field(default=32, ge=1)
        learning_rate: float = Field(default=1e-2, gt=0)
        dropout: float = Field(default=0.3, ge=0, lt=1)
        max_length: int = Field(default=30, ge=2)
        patience: int = Field(default=3, ge=1)

    config: Config
    cell: ClassVar = nn.GRU
