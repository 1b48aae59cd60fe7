"""Trains a neural model epoch by epoch and keeps the weights of the best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from robench.api.data import TrainData, has_enough_items
from robench.api.defense import Defense
from robench.api.errors import PluginError
from robench.api.models.step import Step
from robench.api.models.torch import TorchModel
from robench.api.privacy import GuaranteeFacts
from robench.api.rng import Rng
from robench.engine.fit.validation import validation_ndcg, validation_users

DECAY = 1 / 3  # the factor of the learning rate when training continues from the best weights
AUTO_DECAYS = 2  # the number of decays under the setting ``auto``
EpochCallback = Callable[[int, int], None]  # (epochs done, epochs planned)


@dataclass
class FitReport:
    """The number of epochs, the validation result and other facts about a fit.

    Args:
        epochs: the number of epochs of the training that yields the weights.
        best_epoch: the epoch from which the weights are kept.
        validation_ndcg: the NDCG@10 on validation items after the best epoch, or NaN if no user has validation items.
        achieved: the settings that validation has chosen, and the means of the values that the training steps report,
            such as the spent share of ε, by name.
        privacy: the guarantee of a differentially private fit, by name, or an empty dict. See ``describe``.
    """

    epochs: int = 0
    best_epoch: int = 0
    validation_ndcg: float = math.nan
    achieved: dict[str, float] = field(default_factory=dict)
    privacy: GuaranteeFacts = field(default_factory=dict)

    def as_dict(self) -> Mapping[str, Any]:
        """Returns the facts of the report, by their names in the record.

        None takes the place of NaN. The entry ``privacy`` is there only for a differentially private fit.
        """
        ndcg = None if math.isnan(self.validation_ndcg) else self.validation_ndcg
        facts: Mapping[str, Any] = {
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "validation_ndcg@10": ndcg,
            **self.achieved,
        }
        return {**facts, "privacy": self.privacy} if self.privacy else facts


def count_decays(setting: int | str, data: TrainData) -> int:
    """Returns how often the learning rate decays.

    With the setting ``auto``, the learning rate decays only if there are at least 5,000 validation items. With fewer,
    validation values vary too much to show a plateau.

    Args:
        setting: the value of the setting ``decays``.
        data: the data of the fit.
    """
    if setting == "auto":
        return AUTO_DECAYS if has_enough_items(data) else 0
    return int(setting)


class Training:
    """The training of one model with one choice of settings.

    All random numbers come from ``rng``. The streams ``init``, ``batches/<epoch>`` and ``step/<n>`` are separate.
    Therefore, the numbers that a defence draws do not change the initial weights or the batches.

    Args:
        model: the model, which the constructor initialises.
        data: the data of the fit.
        defense: the defence, which may define its own loss.
        rng: the random stream of the fit.
        device: the device on which the model is trained.
        report: a function that is called after every epoch with (epochs done, epochs planned).
        before: the number of epochs that earlier trainings of the same fit have run, for ``report``.
    """

    def __init__(
        self,
        model: TorchModel,
        data: TrainData,
        defense: Defense,
        rng: Rng,
        device: torch.device,
        report: EpochCallback,
        before: int = 0,
    ) -> None:
        self.model, self.data, self.defense, self.rng = model, data, defense, rng
        self.device, self.report, self.before = device, report, before
        model.initialise(data, rng)
        model.to(device)
        config = model.config
        self.optimiser = torch.optim.Adam(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
        )
        self.result = FitReport()
        self.epoch, self.steps = 0, 0
        self.weights: dict[str, Tensor] | None = None
        self.chosen: Mapping[str, float] = {}
        self.achieved: dict[str, list[float]] = {}

    def run(self, epochs: int) -> None:
        """Trains for up to ``epochs`` further epochs, or until patience runs out."""
        config, end, waited = self.model.config, self.epoch + epochs, 0
        while self.epoch < end:
            self._run_epoch()
            self.report(self.before + self.epoch, self.before + end)
            if (self.epoch % config.validate_every and self.epoch < end) or not self.defense.settled(self.epoch - 1):
                continue
            if self._validate():
                waited = 0
            elif self.epoch > config.min_epochs:
                waited += 1
            if waited >= config.patience:
                break

    def decay(self) -> None:
        """Goes back to the best weights and lowers the learning rate."""
        self._load_best()
        for group in self.optimiser.param_groups:
            group["lr"] *= DECAY

    def finish(self) -> FitReport:
        """Loads the best weights and returns the report."""
        self._load_best()
        self.model.eval()
        self.model.chosen = {**self.model.chosen, **self.chosen}
        self.result.achieved = {f"train_{name}": float(np.mean(values)) for name, values in self.achieved.items()}
        return self.result

    def _run_epoch(self) -> None:
        """Runs one epoch, with one optimiser step per batch.

        The values that the steps report are collected.
        """
        model, epochs = self.model, self.model.config.epochs
        model.train()
        for batch in model.batches(self.data, self.rng.child("batches", self.epoch)):
            rng = self.rng.child("step", self.steps)
            step = Step(model, batch.to(self.device), self.epoch, min(self.epoch / epochs, 1.0), rng)
            _take_step(step, self.defense, self.optimiser)
            self.steps += 1
            for name, value in step.achieved.items():
                self.achieved.setdefault(name, []).append(value)
        self.epoch += 1
        self.result.epochs = self.epoch

    def _validate(self) -> bool:
        """Measures the model and keeps its weights if it is the best so far.

        Returns:
            Whether the model is the best so far. Without users to validate on, the latest model counts as the best.
        """
        self.model.eval()
        ndcg, chosen = self._measure()
        if not (self.weights is None or ndcg > self.result.validation_ndcg or math.isnan(ndcg)):
            return False
        self.result.validation_ndcg, self.result.best_epoch, self.chosen = ndcg, self.epoch, chosen
        self.weights = {name: part.detach().clone() for name, part in self.model.state_dict().items()}
        return True

    def _measure(self) -> tuple[float, Mapping[str, float]]:
        """Returns the best validation NDCG@10, and the score alternative that yields it.

        The buffers of the model then have the values of the best alternative. The second result is empty if there are
        no alternatives, or no users to validate on.
        """
        model, most = self.model, self.model.config.validation_users
        alternatives = model.score_alternatives() if len(validation_users(self.data)[1]) else ()
        if not alternatives:
            return validation_ndcg(model, self.data, most=most), {}
        values = []
        for settings in alternatives:
            _set_buffers(model, settings)
            values.append(validation_ndcg(model, self.data, most=most))
        best = int(np.argmax(values))
        _set_buffers(model, alternatives[best])
        return values[best], alternatives[best]

    def _load_best(self) -> None:
        if self.weights is not None:
            self.model.load_state_dict(self.weights)


def _set_buffers(model: TorchModel, values: Mapping[str, float]) -> None:
    """Sets buffers that hold one number each."""
    for name, value in values.items():
        model.get_buffer(name).fill_(value)


def _take_step(step: Step, defense: Defense, optimiser: torch.optim.Optimizer) -> None:
    """Takes one optimiser step on the training loss, with a clipped gradient.

    The loss is that of the defence, or the model's own loss if the defence defines none.

    Raises:
        PluginError: if the loss is not a tensor with one number and a gradient, or is not finite.
    """
    optimiser.zero_grad(set_to_none=True)
    loss = defense.loss(step) if type(defense).overrides("loss") else step.losses(step.embed()).value.mean()
    single = isinstance(loss, Tensor) and loss.numel() == 1
    if single and not bool(torch.isfinite(loss)):
        raise PluginError(f"the training loss is {float(loss.detach())} in epoch {step.epoch + 1}")
    if not single or not loss.requires_grad:
        raise PluginError(f"the training loss is {_describe_loss(loss)}, not a tensor with one number and a gradient")
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for backward
    clip_grad_norm_(step.model.parameters(), step.model.config.clip)
    optimiser.step()


def _describe_loss(loss: object) -> str:
    """Describes what is wrong with a training loss, for a message."""
    if not isinstance(loss, Tensor):
        return f"of type {type(loss).__name__}"
    return f"a tensor of shape {tuple(loss.shape)}" if loss.numel() != 1 else "a tensor without a gradient"
