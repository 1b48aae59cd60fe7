"""Checks that scores follow from the perturbed inputs alone."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.engine.checks.probe import Probe


def foreign_differences(probe: Probe) -> dict[str, Tensor]:
    """Compares the scores of inputs in their own batch and in a foreign batch.

    The foreign batch has the ids and items of other users. If both batches have the same valid places, the context is
    also that of the foreign batch. The scores must agree for the genuine inputs and for randomly perturbed inputs.

    Returns:
        Two differences per user, float64 [B] each. ``foreign_genuine`` is the largest difference of a score for the
        genuine inputs. ``foreign_ball`` is the largest difference for any of the perturbed inputs. Both are in standard
        deviations of the user's genuine scores.
    """
    pairs = zip(probe.all_points, probe.point_scores, strict=True)
    genuine, *others = [probe.distance(own, probe.scores(delta, foreign=True)) for delta, own in pairs]
    return {"foreign_genuine": genuine, "foreign_ball": torch.stack(others).amax(0)}
