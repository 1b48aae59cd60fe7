"""Scores users with a model and ranks the scores on the model's device."""

from __future__ import annotations

import torch
from torch import Tensor

from robench.api.data import IntArray, Interactions
from robench.api.errors import PluginError
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.engine.rank.chunk import EvaluationChunk, Scores, check_scores
from robench.engine.rank.gpu import rank_on_device
from robench.engine.rank.ranking import Ranking, rank_items
from robench.engine.rank.top import TOP

CPU = torch.device("cpu")


def device_of(model: Model) -> torch.device:
    """Returns the device on which a model computes scores."""
    return model.device if isinstance(model, TorchModel) else CPU


def score_users(model: Model, users: IntArray, history: Interactions) -> Scores | Tensor:
    """Returns the scores of some users, [B, n_items].

    Scores on a GPU are returned as a tensor. All other scores are returned as a numpy array.

    Args:
        model: the model, in evaluation mode if it is neural.
        users: the users, int64 [B].
        history: the known items, one row per real user.

    Raises:
        PluginError: if the scores do not have this shape, or if the result of ``model.scores`` is not a floating-point
            numpy array.
    """
    own = isinstance(model, TorchModel) and type(model).scores is TorchModel.scores
    if not own or device_of(model).type == "cpu":
        return check_scores(model.scores(users, history), len(users), history.n_items)
    assert isinstance(model, TorchModel)  # all other models score on the CPU
    scores = model.device_scores(users, history)
    if scores.shape != (len(users), history.n_items):
        raise PluginError(f"scores have shape {tuple(scores.shape)}, not {(len(users), history.n_items)}")
    return scores


def rank_scores(
    scores: Scores | Tensor,
    chunk: EvaluationChunk,
    targets: IntArray | None = None,
    *,
    count: int = TOP,
    masked: bool = False,
) -> Ranking:
    """Ranks the scores of a chunk on the device of the scores.

    The arguments are those of ``rank_items``, but the scores and the chunk may be on any device.
    """
    if isinstance(scores, Tensor) and scores.device.type != "cpu":
        return rank_on_device(scores, chunk.to(scores.device), targets, count=count, masked=masked)
    array = scores.numpy() if isinstance(scores, Tensor) else scores
    return rank_items(array, chunk.to(CPU), targets, count=count, masked=masked)
