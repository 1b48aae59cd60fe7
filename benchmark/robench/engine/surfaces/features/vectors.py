"""Adds perturbations to the vectors of chosen items."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from robench.api.data import Catalogue
from robench.api.errors import PluginError
from robench.api.models.torch import TorchModel


@dataclass(eq=False)
class FeatureVectors:
    """The vectors of the chosen items, one row per item [R, d].

    Args:
        model: the victim, in evaluation mode.
        items: the chosen items, int64 [R].
        catalogue: the catalogue with the genuine vectors, with which those of the model are compared, or None.
    """

    model: TorchModel
    items: Tensor
    catalogue: Catalogue | None = None

    @cached_property
    def table(self) -> Tensor:
        """The vectors of all items, float [n_items, d].

        Raises:
            PluginError: if the model has no such buffer, or if the buffer is not the matrix of the data set. A model
                that stores scaled vectors would change what ε means.
        """
        name, model = self.model.feature_table, type(self.model).__name__
        table = dict(self.model.named_buffers()).get(name) if name else None
        if table is None or table.dim() != 2:
            raise PluginError(f"{model} has no buffer '{name}' with the vectors of items")
        given = self.catalogue.vectors if self.catalogue is not None else None
        if given is not None and not torch.equal(table.cpu(), torch.from_numpy(given).to(table.dtype)):
            raise PluginError(f"{model}.{name} does not hold the vectors of the data set, which ε is relative to")
        return table.detach()

    @property
    def weights(self) -> dict[str, Tensor]:
        """The vectors of all items, by the name of the buffer."""
        return {self.model.feature_table: self.table}

    @cached_property
    def valid(self) -> Tensor:
        """True for each entry that may be perturbed: bool [R, d].

        These are the entries of items with a vector."""
        rows = self.table[self.items.to(self.table.device)]
        return rows.any(1, keepdim=True).expand(rows.shape)

    def plus(self, delta: Tensor) -> dict[str, Tensor]:
        """Returns the vectors of all items, with ``delta`` added to the chosen ones.

        Args:
            delta: the perturbation, float [R, d].
        """
        moved = self.table.index_add(0, self.items.to(self.table.device), delta)
        return {self.model.feature_table: moved}

    def unit(self, norm: str, scale: str) -> Tensor:
        """Returns the radius of every row at ε = 1, float [R].

        If the scale is absolute, the radius is 1. If the scale is relative, the radius in linf is the root mean square
        of all entries of the items with a vector. In l2, it is this number times √d.
        """
        present = self.table[self.table.any(1)]
        size = float(present.double().square().mean().sqrt()) if len(present) else 0.0
        size *= 1.0 if norm == "linf" else self.table.shape[1] ** 0.5
        return torch.full((len(self.items),), size if scale == "relative" else 1.0, device=self.table.device)
