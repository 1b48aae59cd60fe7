"""Computes the worst case of a row over its attacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from robench.api.data import FloatArray

Attack = tuple[str, float]  # the label of an attack and its ε


def compute_worst(
    values: Sequence[Mapping[Attack, FloatArray]],
    attacks: Sequence[Attack],
    clean: Sequence[FloatArray],
    *,
    user_by_user: bool,
    high: bool,
) -> FloatArray | None:
    """Returns the worst case, or None if there are no values.

    The result is float64 [seeds, targets, users].

    If ``user_by_user`` is true, a user's worst case is the worst outcome among the clean list and all attacks. If there
    are target items, the mean over these items decides which outcome is worst. If ``user_by_user`` is false, the attack
    with the worst mean counts for all users.

    Args:
        values: for each seed, the values of each attack, float64 [targets, users].
        attacks: the attacks (label, ε) that all seeds have.
        clean: for each seed, the clean values, float64 [targets, users].
        user_by_user: whether each user is attacked alone and the metric has a value per user.
        high: whether a high value is good for the defender.
    """
    whole = [np.stack([of[attack] for of in values]) for attack in attacks]
    if not whole:
        return None
    if user_by_user:
        stacked = np.stack([np.stack(clean), *whole])
        means = stacked.mean(2)
        chosen = means.argmin(0) if high else means.argmax(0)
        worst: FloatArray = np.take_along_axis(stacked, chosen[None, :, None, :], 0)[0]
        return worst
    pick = min if high else max
    defined = [array for array in whole if not np.isnan(array).all()]
    return pick(defined, key=lambda array: float(np.nanmean(array))) if defined else None
