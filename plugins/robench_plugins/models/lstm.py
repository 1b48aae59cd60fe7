"""An LSTM over item embeddings."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn

from robench.api import Batch, Embedded, SequenceConfig, SequenceModel


class Lstm(SequenceModel):
    """Next-item LSTM (Hochreiter & Schmidhuber 1997; sessions as in GRU4Rec, Hidasi et al. 2016, full softmax loss)."""

    class Config(SequenceConfig):
        """Settings; by validation NDCG@10 on movielens-small: 12 trials of rate, batch size, dropout and length,
        the best three again with two more seeds. These tie within the noise over seeds (.092 to .100); this is the
        one with the shortest input, the cheapest to attack.
        """

        hidden: int = Field(default=64, ge=1)
        epochs: int = Field(default=8, ge=1)
        batch_size: int = Field(default=32, ge=1)
        learning_rate: float = Field(default=1e-2, gt=0)
        dropout: float = Field(default=0.1, ge=0, lt=1)
        max_length: int = Field(default=30, ge=2)
        patience: int = Field(default=3, ge=1)

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
