"""GRU4Rec: a gated recurrent network over the items of a history."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import nn

from robench_plugins.models.recurrent_model import RecurrentConfig, RecurrentModel


class Gru4Rec(RecurrentModel):
    """Predicts the next item at every position with a gated recurrent network.

    The model is GRU4Rec of Hidasi et al. (ICLR 2016, section 3). Item embeddings with dropout follow Tan et al. (DLRS
    2016, section 3.1). Tan et al. split each session into all its prefixes. Here one pass over a window has the same
    targets. The loss is the cross-entropy over the whole catalogue (Hidasi & Karatzoglou, CIKM 2018, eq. 2, without
    their sampling). Input and output share the item table.
    """

    class Config(RecurrentConfig):
        """Settings, with defaults from suites/tuning/movielens-small.grid.txt.

        The defaults are the best of four trials by validation NDCG@10.
        """

        hidden: int = Field(default=128, ge=1)

    config: Config
    cell: ClassVar = nn.GRU
