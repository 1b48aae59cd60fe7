"""An LSTM over item embeddings."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from robench.api import Batch, Embedded, SequenceConfig, SequenceModel


class Lstm(SequenceModel):
    """Next-item LSTM (Hochreiter & Schmidhuber 1997; sessions as in GRU4Rec, Hidasi et al. 2016, full softmax loss)."""

    class Config(SequenceConfig):
        """Settings; defaults by validation NDCG@10 on movielens-small, 7 trials of rate, batch, size, length, dropout."""

        hidden: int = Field(default=64, ge=1)
        epochs: int = Field(default=10, ge=1)
        batch_size: int = Field(default=32, ge=1)
        learning_rate: float = Field(default=1e-2, gt=0)
        patience: int = Field(default=4, ge=1)

    config: Config

    def build_layers(self) -> None:
        """One LSTM layer and a projection back to the item space."""
        self.lstm = nn.LSTM(self.config.dim, self.config.hidden, batch_first=True)
        self.project = nn.Linear(self.config.hidden, self.config.dim)
        self.drop = nn.Dropout(self.config.dropout)

    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """[B, L, dim]; right padding cannot reach an earlier state."""
        hidden, _ = self.lstm(self.drop(e.inputs["items"]))
        out: Tensor = self.project(self.drop(hidden))
        return out
