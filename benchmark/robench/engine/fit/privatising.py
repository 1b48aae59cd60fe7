"""Runs the privacy step of a defence and hides the training data from the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from robench.api.data import FloatArray, Interactions, TrainData
from robench.api.defense import Defense
from robench.api.errors import PluginError
from robench.api.models.base import Model
from robench.api.privacy import Guarantee, GuaranteeFacts, PrivateGram
from robench.api.rng import Rng


def privatise(defense: Defense, data: TrainData, rng: Rng) -> tuple[TrainData, Guarantee | None]:
    """Returns the data that a model may learn from, and the guarantee about them.

    If the defence overrides ``Defense.privatise``, the rows of all users are empty in the result, and the private
    matrix is in ``gram``. So the model cannot read an interaction, for training or for validation, and everything that
    it learns is covered by the guarantee. Otherwise, the result is the data themselves, without a guarantee.

    Args:
        defense: the defence.
        data: the data of the fit.
        rng: the random stream of the fit.

    Raises:
        PluginError: if the matrix is not a finite symmetric float64 matrix of items × items, or if the guarantee is
            none.
    """
    if not type(defense).overrides("privatise"):
        return data, None
    private = defense.privatise(data.train, rng.child("privatise"))
    if not isinstance(private, PrivateGram):
        raise PluginError(f"privatise() returned {type(private).__name__}, not PrivateGram")
    hidden = replace(hide_users(data), gram=_checked(private.gram, data.n_items))
    return hidden, check_guarantee(private.guarantee, "privatise")


def learns_privately(defense: Defense) -> bool:
    """Returns whether a model under this defence is built without the rows of users."""
    return any(map(type(defense).overrides, ("privatise", "train_privately")))


def check_guarantee(guarantee: Guarantee, method: str) -> Guarantee:
    """Returns the guarantee after checking it.

    Args:
        guarantee: the guarantee.
        method: the name of the method that claims it.

    Raises:
        PluginError: if it is no guarantee of differential privacy.
    """
    if mistake := guarantee.find_mistake():
        raise PluginError(f"{method}() claims a guarantee, and {mistake}")
    return guarantee


def hide_users(data: TrainData) -> TrainData:
    """Returns the data without profiles, and with the rows of all users emptied.

    The rows for validation are emptied too.
    """

    def emptied(rows: Interactions) -> Interactions:
        return rows.without_users(np.ones(rows.n_users, dtype=bool))

    known = None if data.known is None else emptied(data.known)
    return replace(data, train=emptied(data.train), validation=emptied(data.validation), known=known, profiles=())


def describe(guarantee: Guarantee, model: Model, defense: Defense) -> GuaranteeFacts:
    """Returns the entry ``privacy`` of a record.

    Args:
        guarantee: the guarantee about what the model has learned from.
        model: the fitted model.
        defense: the defence. If it also cleans the training data, it has read them before the noise.
    """
    cleaned = ["which interactions remain after the cleaning"] if type(defense).overrides("sanitise") else []
    chosen = [f"{name}, which validation chose from the data themselves" for name in model.chosen]
    return guarantee.as_dict() | {"not_covered": cleaned + chosen}


def _checked(gram: Any, n_items: int) -> FloatArray:
    """Returns the matrix after checking its type, shape and entries.

    Raises:
        PluginError: if the matrix is not a finite symmetric float64 matrix of items × items.
    """
    if not isinstance(gram, np.ndarray) or gram.dtype != np.float64 or gram.shape != (n_items, n_items):
        raise PluginError(f"privatise() must return a float64 matrix of {n_items} x {n_items} items")
    if not np.isfinite(gram).all() or not np.array_equal(gram, gram.T):
        raise PluginError("privatise() returned a matrix that is not finite and symmetric")
    return gram
