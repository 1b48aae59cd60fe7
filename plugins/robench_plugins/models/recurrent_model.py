"""The base class of models with a recurrent network over the items of a history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from robench.api import Batch, Embedded, SequenceConfig, SequenceModel
from robench.api.component import search
from robench_plugins.models.dropout import Dropout


class RecurrentConfig(SequenceConfig):
    """Settings, with defaults from suites/tuning/movielens-small.grid.txt.

    The defaults are the best of four trials by validation NDCG@10.
    """

    hidden: int = Field(default=64, ge=1, description="Units of each recurrent layer")
    layers: int = Field(default=1, ge=1, description="Number of recurrent layers")
    epochs: int = Field(default=16, ge=1)
    batch_size: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-2, gt=0, json_schema_extra=search(1e-3, 3e-2, log=True))
    dropout: float = Field(default=0.3, ge=0, lt=1, json_schema_extra=search(0.0, 0.6))
    max_length: int = Field(default=30, ge=2)
    patience: int = Field(default=3, ge=1)


def recurrent_states(x: Tensor, layers: Iterable[nn.Module], drop: nn.Module) -> Tensor:
    """Returns the states of a recurrent network, float [B, L, hidden].

    Position t sees only the positions up to t.

    Args:
        x: the vectors of the items, float [B, L, d].
        layers: the recurrent layers, each a separate network.
        drop: the dropout on the input and after every layer.
    """
    states: Tensor = drop(x)
    for layer in layers:
        states = drop(layer(states)[0])
    return states


class RecurrentModel(SequenceModel):
    """A model with item vectors and a recurrent network.

    A projection maps the states to the space of item vectors. The model is trained on the cross-entropy over the whole
    catalogue. A subclass sets the kind of network in ``cell``.
    """

    Config = RecurrentConfig
    config: RecurrentConfig
    cell: ClassVar[type[nn.LSTM] | type[nn.GRU]]

    def build_layers(self) -> None:
        """Builds the network and the projection."""
        c = self.config
        widths = [c.dim, *[c.hidden] * (c.layers - 1)]
        # Each layer is a separate module, because the dropout inside a cuDNN network has a separate random state.
        self.network = nn.ModuleList([self.cell(width, c.hidden, batch_first=True) for width in widths])
        self.project = nn.Linear(c.hidden, c.dim)
        self.drop = Dropout(c.dropout)

    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the state at every position, float [B, L, dim].

        Padding on the right does not affect earlier states.
        """
        states: Tensor = self.project(recurrent_states(e.inputs["items"], self.network, self.drop))
        return states
