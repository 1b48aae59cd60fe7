"""Joins the embedding tables of a victim into one matrix for perturbations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from robench.api.errors import PluginError
from robench.api.models.torch import TorchModel


class Shiftable(Protocol):
    """Tables of one victim to which a perturbation [R, d] is added, for all users."""

    @property
    def model(self) -> TorchModel:
        """The victim, in evaluation mode."""

    @property
    def weights(self) -> dict[str, Tensor]:
        """The genuine tables, by name."""

    @property
    def valid(self) -> Tensor:
        """True for each entry that may be perturbed: bool [R, d]."""

    def plus(self, delta: Tensor) -> dict[str, Tensor]:
        """Returns the tables with ``delta`` added, by name."""


@dataclass(eq=False)
class EmbeddingTables:
    """The embedding tables of a victim, joined into one matrix [R, d].

    R is the number of rows of all tables, and d is the width of the widest table. Narrower tables use the first
    columns.

    Args:
        model: the victim, in evaluation mode.
    """

    model: TorchModel

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The weights of the declared tables, by name.

        Raises:
            PluginError: if the model declares no tables, if a declared table does not exist, or if a table is not a
                matrix.
        """
        tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        missing = [name for name in self.model.tables if name not in tensors or tensors[name].dim() != 2]
        if missing or not self.model.tables:
            lack = f"no matrix '{missing[0]}'" if missing else "no tables"
            raise PluginError(f"{type(self.model).__name__} has {lack} to perturb")
        return {name: tensors[name].detach() for name in self.model.tables}

    @cached_property
    def valid(self) -> Tensor:
        """True for each entry that belongs to a table: bool [R, d]."""
        width = max(weight.shape[1] for weight in self.weights.values())
        parts = [torch.arange(width, device=w.device).expand(len(w), width) < w.shape[1] for w in self.weights.values()]
        return torch.cat(parts)

    def plus(self, delta: Tensor) -> dict[str, Tensor]:
        """Returns each table with its part of ``delta`` added, by name.

        Args:
            delta: the perturbation of the joined matrix, float [R, d].
        """
        tables, start = {}, 0
        for name, weight in self.weights.items():
            tables[name] = weight + delta[start : start + len(weight), : weight.shape[1]]
            start += len(weight)
        return tables

    def unit(self, norm: str, scale: str) -> Tensor:
        """Returns the radius of every row at ε = 1, float [R].

        If the scale is absolute, the radius is 1. If the scale is relative, the radius in l2 is the mean L2 norm of the
        rows of the table. In linf, this norm is divided by the square root of the table's width.
        """
        parts = []
        for weight in self.weights.values():
            size = float(weight.norm(dim=1).mean()) / (weight.shape[1] ** 0.5 if norm == "linf" else 1.0)
            parts.append(torch.full((len(weight),), size if scale == "relative" else 1.0, device=weight.device))
        return torch.cat(parts)
