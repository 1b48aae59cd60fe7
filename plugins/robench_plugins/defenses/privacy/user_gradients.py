"""Clipped gradients of single users, and random batches of users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from robench.api import IntArray, Interactions, PluginError, Rng, Step, TorchModel, TrainData


def draw_users(n_users: int, rate: float, rng: Rng) -> IntArray:
    """Returns a Poisson batch: each user is in it with the probability ``rate``.

    The draws are independent, so the size of the batch is random, and the batch may be empty.
    """
    drawn: IntArray = np.flatnonzero(rng.numpy().random(n_users) < rate).astype(np.int64)
    return drawn


def hide_all(rows: Interactions) -> Interactions:
    """Returns one row without items."""
    return Interactions.from_rows([()], rows.n_items)


class UserGradients:
    """The gradients of a model's training loss for single users.

    The loss of a user is the mean of the model's own loss over the user's targets. The model builds the batches of this
    loss from data in which the user is alone. So the loss reads no other user, whatever the model samples or counts.
    Buffers of the model keep their values while gradients are computed, for the same reason.

    Args:
        model: the model, in training mode.
        data: the training data.
        clip: the largest length C of a user's gradient.
    """

    def __init__(self, model: TorchModel, data: TrainData, clip: float) -> None:
        self.model, self.data, self.clip = model, data, clip
        self.weights = [weight for weight in model.parameters() if weight.requires_grad]

    @cached_property
    def nobody(self) -> TrainData:
        """The training data of one user without items."""
        none = hide_all(self.data.train)
        return replace(self.data, train=none, validation=none, known=None, profiles=())

    def begin_epoch(self, rng: Rng) -> None:
        """Lets the model count the epochs, with the batches of a user without items."""
        for _ in self.model.batches(self.nobody, rng):
            pass

    def clipped_sum(self, users: IntArray, epoch: int, progress: float, rng: Rng) -> list[Tensor]:
        """Returns the sum of the clipped gradients of some users, one tensor per weight.

        A user whose gradient g is longer than C adds g · C / ‖g‖. So a user changes the sum by at most C in L2.

        Args:
            users: the users, int64.
            epoch: the number of the epoch, from 0.
            progress: the share of the training that is done.
            rng: the random stream of the step. The draws of a user do not depend on the other users.
        """
        total = [torch.zeros_like(weight) for weight in self.weights]
        for user in users.tolist():
            gradients = self.gradient(user, epoch, progress, rng.child(user))
            if not gradients:
                continue
            length = float(get_total_norm(gradients))
            if not np.isfinite(length):
                raise PluginError(f"the gradient of a user is not finite in epoch {epoch + 1}")
            share = self.clip / max(length, self.clip)
            for part, gradient in zip(total, gradients, strict=True):
                part.add_(gradient, alpha=share)
        return total

    def gradient(self, user: int, epoch: int, progress: float, rng: Rng) -> Sequence[Tensor]:
        """Returns the gradient of one user's loss, one tensor per weight.

        The result is empty if the user has nothing to learn from.
        """
        row = self.data.train.rows_in(np.array([user], dtype=np.int64))
        if not len(row):
            return ()
        model, kept = self.model, [buffer.clone() for buffer in self.model.buffers()]
        values = []
        for number, batch in enumerate(model.batches(replace(self.nobody, train=row), rng.child("batches"))):
            if len(batch.users):
                step = Step(model, batch.to(model.device), epoch, progress, rng.child("step", number))
                values.append(step.losses(step.embed()).value)
        values = [part for part in values if len(part)]
        if not values:
            return ()
        gradients = torch.autograd.grad(torch.cat(values).mean(), self.weights, materialize_grads=True)
        for buffer, value in zip(model.buffers(), kept, strict=True):
            buffer.copy_(value)
        return gradients
