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
        widths = [c.dim, *[c.hidden] * (c.layers - 1)]
        # Layer by layer: the dropout inside a cuDNN network has a state of its own and draws anew in every pass.
        self.network = nn.ModuleList([self.cell(width, c.hidden, batch_first=True) for width in widths])
        self.project = nn.Linear(c.hidden, c.dim)
        self.drop = nn.Dropout(c.dropout)

    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """[B, L, dim]; right padding cannot reach an earlier state."""
        hidden = self.drop(e.inputs["items"])
        for layer in self.network:
            hidden = self.drop(layer(hidden)[0])
        out: Tensor = self.project(hidden)
        return out
