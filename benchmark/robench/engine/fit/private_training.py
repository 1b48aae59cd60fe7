"""Lets a defence train a neural model with a guarantee for each user."""

from __future__ import annotations

from dataclasses import replace

import torch

from robench.api.data import TrainData
from robench.api.defense import Defense
from robench.api.errors import PluginError
from robench.api.models.torch import TorchModel
from robench.api.privacy import PrivateFit
from robench.api.rng import Rng
from robench.engine.fit.privatising import check_guarantee, describe, hide_users
from robench.engine.fit.training import EpochCallback, FitReport
from robench.engine.fit.validation import validation_ndcg


def train_privately(
    model: TorchModel, data: TrainData, defense: Defense, rng: Rng, device: torch.device, report: EpochCallback
) -> FitReport:
    """Fits a model by the private training loop of a defence.

    The model is built from data in which the rows of all users are empty, so nothing that it keeps comes from a user
    but through the defence. The last weights are kept. Validation measures them once, and chooses nothing.

    Args:
        model: the model, not initialised yet.
        data: the data of the fit.
        defense: a defence that overrides ``Defense.train_privately``.
        rng: the random stream of the fit.
        device: the device on which the model is trained.
        report: a function that is called after every epoch with (epochs done, epochs planned).

    Raises:
        PluginError: if the defence returns no ``PrivateFit``, or claims a guarantee that is none.
    """
    hidden = hide_users(data)
    model.initialise(hidden, rng)
    model.to(device)
    model.train()
    result = defense.train_privately(model, replace(hidden, train=data.train), rng.child("private"), report)
    if not isinstance(result, PrivateFit):
        raise PluginError(f"train_privately() returned {type(result).__name__}, not PrivateFit")
    check_guarantee(result.guarantee, "train_privately")
    model.eval()
    ndcg = validation_ndcg(model, data, most=model.config.validation_users)
    facts = {f"train_{name}": float(value) for name, value in result.facts.items()}
    return FitReport(result.epochs, result.epochs, ndcg, facts, describe(result.guarantee, model, defense))
