"""Registers the misdeeds of models, and limits for misdeeds that never end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Misdeed = Callable[[], Any]
MISDEEDS: dict[str, Misdeed] = {}
FAILED: set[str] = set()  # names of the models with a victim that must fail
LIMITS: dict[str, dict[str, Any]] = {}  # limits of the models that would never end


def misdeed(fails: bool = False, **limits: Any) -> Callable[[Misdeed], Misdeed]:
    """Returns a decorator that registers a function as the misdeed of a model.

    Args:
        fails: whether a victim of the model must fail.
        limits: the limits of the model. A victim of a model with limits must fail.
    """

    def register(function: Misdeed) -> Misdeed:
        name = function.__name__.replace("_", "-")
        MISDEEDS[name] = function
        if fails or limits:
            FAILED.add(name)
        if limits:
            LIMITS[name] = limits
        return function

    return register
