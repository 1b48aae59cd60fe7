"""A neural model that wraps a fitted model.

Defences that change the scores of a fitted model use this module.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from robench.api.data import IntArray, Interactions, Item, TrainData
from robench.api.models.divergence import Logits
from robench.api.models.terms import Terms
from robench.api.models.torch import Batch, Embedded, Losses, TorchModel
from robench.api.rng import Rng

OF_THE_INNER = ("surfaces", "cold_user", "cold_item", "reads_text", "reads_of", "follows", "token_goals")


class Wrapped(TorchModel):
    """A model that behaves like ``inner``, except for what a subclass overrides.

    If the fitted model is a ``TorchModel``, ``Defense.wrap`` returns an instance of a subclass. Such a subclass usually
    overrides only ``score_from``, and calls ``self.inner.score_from`` there. Queries, embedded inputs, losses,
    declarations, state and all other attributes are those of the inner model. The tables are the parameters
    ``inner.<name>`` of this module. If the inner model scores newcomers by their histories, this model does the same
    with its own scores. Otherwise, the inner model scores newcomers.

    Args:
        inner: the fitted model, which this module owns. The wrapper starts in the model's current mode (training or
            evaluation).
    """

    def __init__(self, inner: TorchModel) -> None:
        super().__init__(inner.config)
        self.inner = inner
        # Other classes declare these attributes. Here they depend on the inner model.
        tables = tuple(f"inner.{name}" for name in inner.tables)
        same = {name: getattr(inner, name) for name in OF_THE_INNER}
        features = inner.feature_table and f"inner.{inner.feature_table}"
        vars(self).update(
            tables=tables, feature_table=features, stochastic=type(self).stochastic or inner.stochastic, **same
        )
        self.train(inner.training)

    def __getattr__(self, name: str) -> Any:
        """Returns an attribute of the inner model, if this module lacks the attribute."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            inner = self.__dict__.get("_modules", {}).get("inner")
            if inner is None:
                raise
            return getattr(inner, name)

    def build(self, data: TrainData, rng: Rng) -> None:
        """Calls the inner model's ``build``."""
        self.inner.build(data, rng)

    def initialise(self, data: TrainData, rng: Rng) -> None:
        """Calls the inner model's ``initialise``."""
        self.inner.initialise(data, rng)

    def batches(self, data: TrainData, rng: Rng) -> Iterator[Batch]:
        """Calls the inner model's ``batches``."""
        return self.inner.batches(data, rng)

    def queries(self, users: IntArray, history: Interactions) -> Batch:
        """Calls the inner model's ``queries``."""
        return self.inner.queries(users, history)

    def embed(self, batch: Batch) -> Embedded:
        """Calls the inner model's ``embed``."""
        return self.inner.embed(batch)

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the inner model's scores: float [B, n_items]."""
        return self.inner.score_from(batch, e)

    def loss_from(self, batch: Batch, e: Embedded) -> Losses:
        """Calls the inner model's ``loss_from``."""
        return self.inner.loss_from(batch, e)

    def margins_from(self, batch: Batch, e: Embedded) -> Losses:
        """Calls the inner model's ``margins_from``."""
        return self.inner.margins_from(batch, e)

    def terms_from(self, batch: Batch, e: Embedded) -> Terms:
        """Calls the inner model's ``terms_from``."""
        return self.inner.terms_from(batch, e)

    def logits_from(self, batch: Batch, e: Embedded) -> Logits:
        """Calls the inner model's ``logits_from``."""
        return self.inner.logits_from(batch, e)

    def candidates(self, users: IntArray, history: Interactions) -> IntArray | None:
        """Calls the inner model's ``candidates``."""
        return self.inner.candidates(users, history)

    def rewritten(self, items: Mapping[int, Item]) -> Self:
        """Returns a copy of this wrapper in which some items have different texts."""
        inner = self.inner.rewritten(items)
        assert isinstance(inner, TorchModel)  # rewritten() keeps the class
        return self.around(inner)

    def around(self, inner: TorchModel) -> Self:
        """Returns a copy of this wrapper that holds ``inner``."""
        other = copy.copy(self)
        other._modules = {**self._modules, "inner": inner}
        return other

    def innermost(self) -> TorchModel:
        """Returns the model inside all wrappers."""
        return self.inner.innermost() if isinstance(self.inner, Wrapped) else self.inner

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of newcomers: float32 [n, n_items].

        The scores come from this model, unless the class of the inner model overrides ``newcomers``.
        """
        if type(self.inner).newcomers is TorchModel.newcomers:
            return super().newcomers(history)
        return self.inner.newcomers(history)

    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns the state of the inner model, under the inner model's own names.

        A checkpoint of the inner model is therefore also a checkpoint of this model.
        """
        return self.inner.state()

    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Calls the inner model's ``restore``."""
        self.inner.restore(data, state, rng)
