"""Fits models and selects settings and weights by validation."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from functools import partial

import torch

from robench.api.data import TrainData, has_enough_items
from robench.api.defense import Defense
from robench.api.errors import PluginError
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.engine.fit.limits import VALIDATION_USERS
from robench.engine.fit.private_training import train_privately
from robench.engine.fit.privatising import describe, privatise
from robench.engine.fit.training import EpochCallback, FitReport, Training, count_decays
from robench.engine.fit.validation import validation_ndcg, validation_users


def choose_settings(model: Model, data: TrainData, seen: TrainData) -> Mapping[str, float]:
    """Returns the alternative settings with the best validation NDCG@10.

    The result is empty if the model has no alternatives, or if there are no users to validate on.

    Args:
        model: the model, not fitted yet.
        data: the data of the fit, with the histories to validate on.
        seen: the data that the model learns from.
    """
    best: Mapping[str, float] = {}
    highest = -math.inf
    if not len(validation_users(data)[1]):
        return best
    for settings in model.alternatives(seen):
        ndcg = validation_ndcg(model, data, most=VALIDATION_USERS)
        if ndcg > highest:
            best, highest = dict(settings), ndcg
    return best


def fit(
    model: Model,
    data: TrainData,
    defense: Defense,
    rng: Rng,
    device: torch.device,
    report: EpochCallback = lambda done, of: None,
) -> FitReport:
    """Fits a model under a defence and keeps the weights of the best epoch.

    A model that is not neural fits itself, with the alternative that ``choose_settings`` returns. If the defence
    overrides ``privatise``, the model learns from the private matrix alone.

    A neural model is trained until patience or epochs run out. Training is then resumed from the best weights, as many
    times as the setting ``decays`` says. Each time, the learning rate falls to a third, and training runs for up to
    ``epochs`` further epochs.

    A neural model with alternatives is trained with each of them, and the decays follow only for the best alternative.
    With fewer than 5,000 validation items, the alternatives are not tried.

    A defence that overrides ``train_privately`` trains a neural model itself. Then nothing is chosen by validation.

    A model that was trained elsewhere is only loaded.

    The epochs of the defence's warm-up are not validated. The weights of these epochs are not kept, and patience does
    not count these epochs.

    Args:
        model: the model, not fitted yet.
        data: the data of the fit.
        defense: the defence, which may define its own loss.
        rng: the random stream of the fit. Every training draws the same numbers.
        device: the device on which a neural model is fitted.
        report: a function that is called after every epoch with (epochs done, epochs planned).

    Raises:
        PluginError: if the loss or a score is not finite, or if the warm-up of the defence does not end before training
            does.
    """
    if not isinstance(model, TorchModel):
        seen, guarantee = privatise(defense, data, rng)
        model.chosen = choose_settings(model, data, seen)
        model.fit(seen, rng)
        most = min(VALIDATION_USERS, model.setting("validation_users", VALIDATION_USERS))
        result = FitReport(validation_ndcg=validation_ndcg(model, data, most=most))
        if guarantee is not None:
            result.privacy = describe(guarantee, model, defense)
    elif model.trained_elsewhere:
        model.initialise(data, rng)
        model.to(device).eval()
        result = FitReport(validation_ndcg=validation_ndcg(model, data, most=VALIDATION_USERS))
    elif type(defense).overrides("train_privately"):
        result = train_privately(model, data, defense, rng, device, report)
    else:
        config = model.config
        if not defense.settled(config.epochs - 1):
            raise PluginError(f"{type(defense).__name__} is still warming up after all {config.epochs} epochs")
        start = partial(Training, data=data, defense=defense, rng=rng, device=device, report=report)
        training = _train(model, data, start)
        for _ in range(count_decays(config.decays, data)):
            training.decay()
            training.run(config.epochs)
        result = training.finish()
        model.config = config  # without the chosen settings, as after a restore
    if model.trained_elsewhere:
        result.achieved |= {"trained_elsewhere": 1.0}
    result.achieved |= {f"chosen_{name}": value for name, value in model.chosen.items()}
    return result


def _train(model: TorchModel, data: TrainData, start: Callable[..., Training]) -> Training:
    """Trains a model without decays, once with each of its alternatives.

    The model is trained only once if it has no alternatives, or if there are fewer than 5,000 validation items. The
    model takes over everything that the best training has built. If two trainings have the same validation NDCG, the
    earlier one counts as the best.

    Args:
        model: the model, not initialised yet.
        data: the data of the fit.
        start: a function that initialises a model and returns its training.

    Returns:
        The best training, which can be continued.
    """
    best, done = None, 0
    alternatives = tuple(model.alternatives(data)) if has_enough_items(data) else ()
    for settings in alternatives or ({},):
        candidate = copy.deepcopy(model) if alternatives else model
        candidate.config = model.config.model_copy(update=dict(settings))
        candidate.chosen = dict(settings)
        training = start(candidate, before=done)
        training.run(candidate.config.epochs)
        done += training.epoch
        if best is None or training.result.validation_ndcg > best.result.validation_ndcg:
            best = training
    assert best is not None, "there is at least one training"
    model.__dict__.update(best.model.__dict__)
    best.model = model
    return best
