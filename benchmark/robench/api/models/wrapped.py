"""A fitted neural model inside another, for defences that change what is scored."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robench.api.data import IntArray, Interactions, Item, TrainData
from robench.api.models.torch import Batch, Embedded, Losses, TorchModel
from robench.api.rng import Rng

OF_THE_INNER = ("surfaces", "cold_user", "cold_item", "reads_text", "reads_of", "follows", "token_goals")


class Wrapped(TorchModel):
    """``inner``, unless a subclass says otherwise: what ``Defense.wrap`` returns for a ``TorchModel``.

    A subclass usually overrides ``score_from`` alone, and calls ``self.inner.score_from`` in it. Queries, embedded
    inputs, losses, surfaces, cold start and state are the inner model's; its tables are this module's parameters
    ``inner.<name>``. Whatever else the inner model has is found as well. Newcomers are scored through this model where
    the inner model scores them by their history, and by the inner model alone where it has a way of its own (fold-in).

    Args:
        inner: the fitted model, which this module owns; its training mode is kept.
    """

    def __init__(self, inner: TorchModel) -> None:
        super().__init__(inner.config)
        self.inner = inner
        # Variables of a class; of this one they depend on what is inside.
        tables = tuple(f"inner.{name}" for name in inner.tables)
        same = {name: getattr(inner, name) for name in OF_THE_INNER}
        vars(self).update(tables=tables, **same)
        self.train(inner.training)

    def __getattr__(self, name: str) -> Any:
        """What this module lacks is looked up in the inner model."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            inner = self.__dict__.get("_modules", {}).get("inner")
            if inner is None:
                raise
            return getattr(inner, name)

    def build(self, data: TrainData, rng: Rng) -> None:
        """The inner model's."""
        self.inner.build(data, rng)

    def initialise(self, data: TrainData, rng: Rng) -> None:
        """The inner model's."""
        self.inner.initialise(data, rng)

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """The inner model's."""
        return self.inner.batches(data, rng)

    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """The inner model's. Args: users int64 [B]."""
        return self.inner.queries(users, history)

    def embed(self, batch: Batch) -> Embedded:
        """The inner model's."""
        return self.inner.embed(batch)

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """The inner model's: float [B, n_items]."""
        return self.inner.score_from(batch, e)

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """The inner model's."""
        return self.inner.loss_from(batch, e)

    def margins_from(self, batch: Batch, e: Embedded) -> Losses:
        """The inner model's."""
        return self.inner.margins_from(batch, e)

    def candidates(self, users: IntArray, history: Interactions) -> IntArray | None:
        """The inner model's."""
        return self.inner.candidates(users, history)

    def rewritten(self, items: Mapping[int, Item]) -> Self:
        """This model around the inner one where some items have other texts."""
        inner = self.inner.rewritten(items)
        assert isinstance(inner, TorchModel)  # of the same class as the inner model
        return self.around(inner)

    def around(self, inner: TorchModel) -> Self:
        """This model around another view of the inner one."""
        found = copy.copy(self)
        found._modules = {**self._modules, "inner": inner}
        return found

    def innermost(self) -> TorchModel:
        """What all wrappers are around."""
        return self.inner.innermost() if isinstance(self.inner, Wrapped) else self.inner

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """float32 [n, n_items]: by this model's scores, or as the inner model does it where it has its own way."""
        if type(self.inner).newcomers is TorchModel.newcomers:
            return super().newcomers(history)
        return self.inner.newcomers(history)

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """The inner model's, under its own names: a checkpoint of the one is a checkpoint of the other."""
        return self.inner.state()

    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """The inner model's."""
        self.inner.restore(data, state, rng)
