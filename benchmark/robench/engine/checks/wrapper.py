"""Checks that a wrapper does not hide information about a user from attacks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from robench.api.models.torch import Embedded, TorchModel
from robench.api.models.wrapped import Wrapped
from robench.engine.checks.probe import TINY, Probe


def wrapper_differences(probe: Probe, fitted: TorchModel | None) -> dict[str, Tensor]:
    """Compares a victim's embedded inputs with those of the wrapped model.

    Args:
        probe: the users.
        fitted: the fitted model before the defence wrapped it, or None if this model is unknown.

    Returns:
        Two numbers per user, float64 [B] each. ``wrapped_inputs`` is the largest difference of an input, relative to
        the root mean square of all inputs. ``wrapped_places`` is 1 if the names, the shapes or the valid places of the
        inputs differ, and ``wrapped_inputs`` is then 0. Both are 0 if the victim wraps no model.
    """
    nothing = torch.zeros(len(probe.users), dtype=torch.float64)
    expected = _inner_inputs(probe, fitted)
    if expected is None:
        return {"wrapped_inputs": nothing, "wrapped_places": nothing}
    one, two = probe.clean, expected
    same = one.inputs.keys() == two.inputs.keys() and all(
        one.inputs[name].shape == two.inputs[name].shape and torch.equal(one.valid[name], two.valid[name])
        for name in one.inputs
    )
    if not same:
        return {"wrapped_inputs": nothing, "wrapped_places": nothing + 1}
    gaps = [(one.inputs[name] - two.inputs[name]).flatten(1).abs().amax(1) for name in one.inputs]
    return {"wrapped_inputs": torch.stack(gaps).amax(0).double() / max(probe.rms, TINY), "wrapped_places": nothing}


def hides_context(probe: Probe, fitted: TorchModel | None, *, reranks: bool) -> bool:
    """Returns whether the context may hide information about the users.

    If the foreign batch has the same valid places as the users' own batch, ``foreign_differences`` replaces the whole
    context, so nothing is hidden. Otherwise, an entry is harmless if it is a tensor of integers or bools, if it is
    equal in both batches, or if it equals the same entry of the model that the victim wraps. Any other entry may hide
    something. If the victim reranks candidates and wraps no model, all entries count as harmless.

    Args:
        probe: the users.
        fitted: the fitted model before the defence wrapped it, or None if this model is unknown.
        reranks: whether the victim reranks candidates.
    """
    if probe.same_places:
        return False
    inner = _inner_inputs(probe, fitted)
    if inner is None and reranks:
        return False
    known = {} if inner is None else inner.context
    one, two = probe.clean.context, probe.elsewhere.context
    return not all(_is_mask(x) or _equal(x, two.get(name)) or _equal(x, known.get(name)) for name, x in one.items())


def _inner_inputs(probe: Probe, fitted: TorchModel | None) -> Embedded | None:
    """Returns the embedded inputs of the model that the victim wraps.

    The result is None if the victim wraps no model.
    """
    model = probe.model
    inner = fitted if fitted is not None or not isinstance(model, Wrapped) else model.innermost()
    if inner is None or inner is model:
        return None
    with torch.no_grad(), probe.rng.child("embed").stream():
        return inner.embed(probe.own)


def _is_mask(value: Any) -> bool:
    return isinstance(value, Tensor) and not value.is_floating_point()


def _equal(one: Any, two: Any) -> bool:
    if one is two:
        return True
    if isinstance(one, Tensor) and isinstance(two, Tensor):
        return one.shape == two.shape and torch.equal(one, two)
    if isinstance(one, np.ndarray) and isinstance(two, np.ndarray):
        return bool(np.array_equal(one, two))
    if isinstance(one, list | tuple) and isinstance(two, list | tuple):
        return len(one) == len(two) and all(map(_equal, one, two))
    return type(one) is type(two) and not isinstance(one, Tensor | np.ndarray) and bool(one == two)
