"""What the recurrent models share."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from robench.api import Batch, Embedded, SequenceConfig, SequenceModel


class RecurrentConfig(SequenceConfig):
    """Settings of a recurrent model."""

    hidden: int = Field(default=64, ge=1)
    layers: int = Field(default=1, ge=1)


class RecurrentModel(SequenceModel):
    """Item vectors, a recurrent network, and a projection back to the item space; full softmax loss."""

    Config = RecurrentConfig
    config: RecurrentConfig
    cell: ClassVar[type[nn.LSTM] | type[nn.GRU]]

    def build_layers(self) -> None:
        """The network and the projection."""
        c = self.config
        inner = c.dropout if c.layers > 1 else 0.0
        self.network = self.cell(c.dim, c.hidden, c.layers, batch_first=True, dropout=inner)
        self.project = nn.Linear(c.hidden, c.dim)
        self.drop = nn.Dropout(c.dropout)

    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """[B, L, dim]; right padding cannot reach an earlier state."""
        hidden, _ = self.network(self.drop(e.inputs["items"]))
        out: Tensor = self.project(self.drop(hidden))
        return out
