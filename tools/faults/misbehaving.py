"""Offers models that misbehave during their fit.

``plugins.py`` and the tests run these models before built-in victims. Each model is ``popularity`` with one misdeed.
The model has the name of the function that defines the misdeed, with hyphens.
"""

from __future__ import annotations

from typing import Any

import process_misdeeds
import state_misdeeds
from misdeeds import FAILED, LIMITS, MISDEEDS, Misdeed

from robench.api import Model, hookimpl
from robench.api.rng import Rng
from robench_plugins.models.popularity import Popularity

__all__ = ["FAILED", "LIMITS", "MISDEEDS", "process_misdeeds", "robench_models", "state_misdeeds"]


def model(name: str, function: Misdeed) -> type[Model]:
    """Returns a model class that commits a misdeed at the start of its fit.

    Apart from the misdeed, the model is ``popularity``.

    Args:
        name: the name of the misdeed, from which the name of the class is made.
        function: the misdeed.
    """

    def fit(self: Any, data: Any, rng: Rng) -> Any:
        function()
        return Popularity.fit(self, data, rng)

    return type(name.title().replace("-", ""), (Popularity,), {"fit": fit, "__doc__": name})


@hookimpl
def robench_models() -> dict[str, type[Model]]:
    return {name: model(name, function) for name, function in MISDEEDS.items()}
