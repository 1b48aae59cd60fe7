"""An LSTM over the items of a history."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from robench_plugins.models.recurrent_model import RecurrentModel


class Lstm(RecurrentModel):
    """Predicts the next item at every position with a long short-term memory network.

    The network is that of Hochreiter & Schmidhuber (Neural Computation 1997). It reads histories in the same way as
    GRU4Rec (Hidasi et al., ICLR 2016). The loss is the cross-entropy over the whole catalogue.
    """

    cell: ClassVar = nn.LSTM
