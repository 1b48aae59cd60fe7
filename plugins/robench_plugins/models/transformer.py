"""The parts that the transformer models share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import linear

from robench.api import SequenceConfig, SettingError
from robench_plugins.models.dropout import Dropout


def check_heads(dim: int, heads: int) -> None:
    """Checks that the number of heads divides the number of dimensions.

    Raises:
        SettingError: if the number of heads does not divide the number of dimensions.
    """
    if dim % heads:
        raise SettingError(f"dim {dim} cannot be shared by {heads} heads", "heads", "dim must be a multiple of heads")


class TransformerConfig(SequenceConfig):
    """Settings of every sequence model with transformer blocks."""

    layers: int = Field(default=1, ge=1, description="Number of transformer blocks")
    heads: int = Field(default=2, ge=1, description="Attention heads per block; must divide dim")

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        """Checks that the number of heads divides the number of dimensions.

        Raises:
            SettingError: if the number of heads does not divide the number of dimensions.
        """
        check_heads(self.dim, self.heads)
        return self


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product attention.

    The layer is that of Vaswani et al. (NeurIPS 2017, section 3.2). The computation is the same with and without a
    gradient. The fused kernels of torch are not used, because their results with and without a gradient differ in the
    last digits.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        check_heads(dim, heads)
        self.heads = heads
        self.inwards, self.outwards = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Returns a mixture of the visible positions for every position, float [B, L, d].

        Args:
            x: the vectors at all positions, float [B, L, d].
            hidden: the mask, bool, broadcast to [B, heads, L, L]. True if a query (row) must not see a key (column).
        """
        parts = self.inwards(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind()
        weights = (query @ key.transpose(-1, -2) * key.shape[-1] ** -0.5).masked_fill(hidden, -torch.inf)
        mixed = (self.drop(weights.softmax(-1)) @ value).transpose(1, 2).flatten(2)
        out: Tensor = self.outwards(mixed)
        return out

    def at(self, x: Tensor, position: Tensor) -> Tensor:
        """Returns a causal mixture for one position of each row, float [B, d].

        The result equals that of ``forward`` with a causal mask at this position, except for rounding. The layer must
        have no active dropout.

        There is only one query per row, so no position needs a key or a value. The products with the weights are
        computed once per row instead. For a query q, the weights W of the keys and the vector x at a position,
        q · (W x) equals (Wᵀ q) · x. A mean of values is the value of a mean. A bias of the keys adds the same number to
        all weights of a query before the softmax, so it has no effect.

        Args:
            x: the vectors at all positions, float [B, L, d].
            position: the position of each row's query, int64 [B].
        """
        query_weight, key_weight, value_weight = self.inwards.weight.chunk(3)
        query_bias, _, value_bias = self.inwards.bias.chunk(3)
        query = linear(x[torch.arange(len(x), device=x.device), position], query_weight, query_bias)
        queries = query.reshape(len(x), self.heads, -1).transpose(0, 1)
        keys, values = (part.reshape(self.heads, -1, x.shape[2]) for part in (key_weight, value_weight))
        scale = queries.shape[-1] ** -0.5
        weights = (queries @ keys).transpose(0, 1) @ x.transpose(1, 2) * scale
        later = torch.arange(x.shape[1], device=x.device) > position[:, None]
        means = weights.masked_fill(later[:, None], -torch.inf).softmax(-1) @ x
        mixed = (means.transpose(0, 1) @ values.transpose(1, 2)).transpose(0, 1).flatten(1) + value_bias
        out: Tensor = self.outwards(mixed)
        return out


class PreNormBlock(nn.Module):
    """A transformer block with a layer norm before each sublayer.

    The first sublayer is attention, and the second is a position-wise network. Each sublayer g turns its input x into
    x + dropout(g(norm(x))). This is the block of SASRec (Kang & McAuley, ICDM 2018, section III-C).
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = SelfAttention(dim, heads, dropout)
        self.feed = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), Dropout(dropout), nn.Linear(dim, dim))
        self.norms = nn.ModuleList([nn.LayerNorm(dim), nn.LayerNorm(dim)])
        self.drop = Dropout(dropout)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Returns the output at every position, float [B, L, d].

        Args:
            x: the vectors at all positions, float [B, L, d].
            hidden: the mask, bool [L, L], True if a query (row) must not see a key (column).
        """
        x = x + self.drop(self.attention(self.norms[0](x), hidden))
        out: Tensor = x + self.drop(self.feed(self.norms[1](x)))
        return out

    def at(self, x: Tensor, position: Tensor) -> Tensor:
        """Returns the output at one position of each row, float [B, d].

        No position sees later positions. The block must have no active dropout.

        Args:
            x: the vectors at all positions, float [B, L, d].
            position: the position of each row, int64 [B].
        """
        own = x[torch.arange(len(x), device=x.device), position]
        own = own + self.attention.at(self.norms[0](x), position)
        out: Tensor = own + self.feed(self.norms[1](own))
        return out


def causal_outputs(x: Tensor, positions: Tensor, blocks: Iterable[nn.Module], drop: nn.Module) -> Tensor:
    """Returns the outputs of causal transformer blocks, float [B, L, d].

    Position t sees only the positions up to t.

    Args:
        x: the vectors of the items, float [B, L, d].
        positions: the vectors of the positions, float [at least L, d].
        blocks: the transformer blocks, which take vectors and a mask.
        drop: the dropout on the sum of item and position.
    """
    length = x.shape[1]
    later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
    x = drop(x + positions[:length])
    for block in blocks:
        x = block(x, later)
    return x
