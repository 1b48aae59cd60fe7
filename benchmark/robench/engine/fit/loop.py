"""Trains models, and selects the weights by validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.nn.utils import clip_grad_norm_

from robench.api.data import IntArray, Interactions, TrainData, joined
from robench.api.defense import Defense
from robench.api.errors import PluginError
from robench.api.models.base import Model
from robench.api.models.step import Step
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.engine.rank.chunk import build_chunk, chunk_size
from robench.engine.rank.ranking import discount
from robench.engine.rank.scoring import device_of, rank_scores, score_users

DECAY = 1 / 3  # the factor of the learning rate when training continues from the best weights
AUTO_DECAYS = 2  # the number of decays under the setting ``auto``
# With fewer validation items, a plateau is mostly noise. With 671 items, the standard error of NDCG@10 is 15% of the
# value.
PLATEAU_ITEMS = 5_000
VALIDATION_USERS = 10_000  # the largest number of users to validate on, for a model without a training loop
EpochCallback = Callable[[int, int], None]  # (epochs done, epochs planned)


@dataclass
class FitReport:
    """The number of epochs, the validation result and other facts about a fit.

    Args:
        epochs: the number of epochs that were run.
        best_epoch: the epoch from which the weights are kept.
        validation_ndcg: the NDCG@10 on validation items after the best epoch, or NaN if no user has validation items.
        achieved: the means of the values that the training steps report, such as the spent share of ε, by name. A model
            without a training loop reports the settings that validation has chosen.
    """

    epochs: int = 0
    best_epoch: int = 0
    validation_ndcg: float = math.nan
    achieved: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, float | int | None]:
        """Returns the report by the names in the record, with None in place of NaN."""
        ndcg = None if math.isnan(self.validation_ndcg) else self.validation_ndcg
        return {"epochs": self.epochs, "best_epoch": self.best_epoch, "validation_ndcg@10": ndcg, **self.achieved}


def validation_users(data: TrainData, most: int | None = VALIDATION_USERS) -> tuple[Interactions, IntArray]:
    """Returns the histories of the real users, and the users to validate on.

    A history consists of the training items, or of the known items if the user is cold. Only users with both a history
    and validation items are validated on.

    Args:
        data: the data of the fit.
        most: the largest number of users to validate on, or None for all users. If there are more users, the same
            sample is drawn for every victim.

    Returns:
        The histories, one row per real user, and the sorted users, int64 [V].
    """
    real = Interactions(
        data.train.indptr[: data.n_real_users + 1],
        data.train.items[: data.train.indptr[data.n_real_users]],
        data.train.times[: data.train.indptr[data.n_real_users]],
        data.n_items,
    )
    if data.known is not None:
        real = joined(real, data.known)
    users = np.flatnonzero((data.validation.lengths() > 0) & (real.lengths() > 0)).astype(np.int64)
    if most is not None and len(users) > most:
        users = np.sort(Rng(0).child("validation").numpy().choice(users, most, replace=False))
    return real, users


def validation_ndcg(model: Model, data: TrainData, k: int = 10, most: int | None = None) -> float:
    """Returns the NDCG@k of the validation items, with the items of histories masked.

    Args:
        model: the model, in evaluation mode if it is neural.
        data: the data of the fit.
        k: the cutoff.
        most: the largest number of users to validate on, or None for all users. If there are more users, the same
            sample is drawn for every victim.

    Returns:
        The mean over the users to validate on, or NaN if there are no such users.
    """
    real, users = validation_users(data, most)
    total = 0.0
    size = chunk_size(data.n_items, device_of(model))
    for some in np.split(users, range(size, len(users), size)) if len(users) else []:
        chunk = build_chunk(some, real, data.validation)
        ranks = rank_scores(score_users(model, some, real), chunk, count=0).ranks
        gain = torch.where((ranks > 0) & (ranks <= k), discount(ranks), 0.0).sum(1)
        ideal = torch.cumsum(1 / torch.log2(torch.arange(2, k + 2).double()), 0)
        total += float((gain / ideal[(ranks > 0).sum(1).clamp_max(k) - 1]).sum())
    return total / len(users) if len(users) else math.nan


def count_decays(setting: int | str, data: TrainData) -> int:
    """Returns the largest number of decays of the learning rate.

    With the setting ``auto``, the learning rate decays only if there are enough validation items to detect a plateau.

    Args:
        setting: the value of the setting ``decays``.
        data: the data of the fit.
    """
    if setting == "auto":
        return AUTO_DECAYS if len(data.validation.items) >= PLATEAU_ITEMS else 0
    return int(setting)


def choose_settings(model: Model, data: TrainData) -> Mapping[str, float]:
    """Returns the alternative of a model with the best validation NDCG@10.

    The result is empty if the model has no alternatives, or if no user can be validated on.
    """
    best: Mapping[str, float] = {}
    highest = -math.inf
    if not len(validation_users(data)[1]):
        return best
    for settings in model.alternatives(data):
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
    """Fits a model under a defence, and keeps the weights of the best epoch.

    Training ends when patience or epochs run out. If the setting ``decays`` allows it, training then continues from the
    best weights, with a third of the learning rate. It runs for up to ``epochs`` further epochs each time.

    The epochs of the defence's warm-up are not validated. The weights of these epochs are not kept, and patience does
    not count these epochs.

    All random numbers come from ``rng``. The streams ``init``, ``batches/<epoch>`` and ``step/<n>`` are separate.
    Therefore, the numbers that a defence draws do not change the initial weights or the batches.

    Args:
        model: the model, not fitted yet.
        data: the data of the fit.
        defense: the defence, which may define another loss.
        rng: the random stream of the fit.
        device: the device on which a neural model is fitted.
        report: a function that is called after every epoch with (epochs done, epochs planned).

    Raises:
        PluginError: if the loss is not finite, or if the warm-up of the defence does not end before training does.
    """
    if not isinstance(model, TorchModel):
        model.chosen = choose_settings(model, data)
        model.fit(data, rng)
        ndcg = validation_ndcg(model, data, most=VALIDATION_USERS)
        return FitReport(
            validation_ndcg=ndcg, achieved={f"chosen_{name}": value for name, value in model.chosen.items()}
        )
    model.initialise(data, rng)
    model.to(device)
    config = model.config
    if not defense.settled(config.epochs - 1):
        raise PluginError(f"{type(defense).__name__} is still warming up after all {config.epochs} epochs")
    optimiser = torch.optim.Adam(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    result, best, waited, steps = FitReport(), None, 0, 0
    achieved: dict[str, list[float]] = {}
    decays, epoch, end = count_decays(config.decays, data), 0, config.epochs
    while epoch < end:
        model.train()
        for batch in model.batches(data, rng.child("batches", epoch)):
            step = Step(model, batch.to(device), epoch, min(epoch / config.epochs, 1.0), rng.child("step", steps))
            _take_step(step, defense, optimiser)
            steps += 1
            for name, value in step.achieved.items():
                achieved.setdefault(name, []).append(value)
        result.epochs = epoch + 1
        report(epoch + 1, end)
        epoch += 1
        if (epoch % config.validate_every and epoch < end) or not defense.settled(epoch - 1):
            continue
        model.eval()
        ndcg = validation_ndcg(model, data, most=config.validation_users)
        if best is None or ndcg > result.validation_ndcg or math.isnan(ndcg):
            result.validation_ndcg, result.best_epoch, waited = ndcg, epoch, 0
            best = {name: part.detach().clone() for name, part in model.state_dict().items()}
        elif epoch > config.min_epochs:
            waited += 1
        if waited >= config.patience or epoch == end:
            if not decays:
                break
            decays, waited, end = decays - 1, 0, epoch + config.epochs
            model.load_state_dict(best)
            for group in optimiser.param_groups:
                group["lr"] *= DECAY
    if best is not None:
        model.load_state_dict(best)
    model.eval()
    result.achieved = {f"train_{name}": float(np.mean(values)) for name, values in achieved.items()}
    return result


def _take_step(step: Step, defense: Defense, optimiser: torch.optim.Optimizer) -> None:
    """Takes one optimiser step on the loss of the defence or of the model.

    Raises:
        PluginError: if the loss is not finite.
    """
    optimiser.zero_grad(set_to_none=True)
    loss = defense.loss(step) if type(defense).overrides("loss") else step.losses(step.embed()).value.mean()
    if not bool(torch.isfinite(loss)):
        raise PluginError(f"the training loss is {float(loss.detach())} in epoch {step.epoch + 1}")
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for backward
    clip_grad_norm_(step.model.parameters(), step.model.config.clip)
    optimiser.step()
