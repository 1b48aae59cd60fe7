"""Self-attention that the transformer models share."""

from __future__ import annotations

from typing import Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from robench.api import SequenceConfig, SettingError


def check_heads(dim: int, heads: int) -> None:
    """Refuse heads that cannot share the dimensions evenly.

    Raises:
        SettingError: they cannot.
    """
    if dim % heads:
        raise SettingError(f"dim {dim} cannot be shared by {heads} heads", "heads", "dim must be a multiple of heads")


class AttentionConfig(SequenceConfig):
    """Settings of a sequence model with attention."""

    layers: int = Field(default=1, ge=1)
    heads: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _shared_by_heads(self) -> Self:
        check_heads(self.dim, self.heads)
        return self


class SelfAttention(nn.Module):
    """Multi-head scaled dot-product attention (Vaswani et al. 2017, section 3.2).

    One explicit path with and without a gradient: torch's fused kernels differ between the two in the last digits.
    """

    def __init__(self, dim: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        check_heads(dim, heads)
        self.heads = heads
        self.inwards, self.outwards = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Every position mixed with those it may see: float [B, L, d].

        Args:
            x: float [B, L, d].
            hidden: bool, broadcast to [B, heads, L, L]: True where a query (row) must not see a key (column).
        """
        parts = self.inwards(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind()
        weights = (query @ key.transpose(-1, -2) * key.shape[-1] ** -0.5).masked_fill(hidden, -torch.inf)
        mixed = (self.drop(weights.softmax(-1)) @ value).transpose(1, 2).flatten(2)
        out: Tensor = self.outwards(mixed)
        return out
