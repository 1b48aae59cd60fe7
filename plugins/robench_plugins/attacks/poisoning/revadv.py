"""RevAdv: gradients through the last rounds of a surrogate's fit."""

from __future__ import annotations

from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from robench.api import Interactions
from robench.api.component import LATER
from robench_plugins.attacks.poisoning.gradient_attack import GradientAttack, GradientConfig
from robench_plugins.attacks.poisoning.item_autoencoder import ItemAutoencoder, ItemAutoencoderConfig
from robench_plugins.attacks.poisoning.outer_loss import OuterLoss
from robench_plugins.attacks.poisoning.surrogate import Surrogate

OF_WMF = (
    "learning_rate",
    "factors",
    "confidence",
    "weight_decay",
    "rounds",
    "unrolled",
)  # the settings of the surrogate wmf


class RevAdv(GradientAttack[Surrogate | ItemAutoencoder]):
    """Improves fake users by gradients through the fit of a surrogate.

    This is the attack of Tang, Wen & Wang (RecSys 2020). It fits a surrogate on the real rows and the profiles. The
    outer loss for promoted targets is the mean of −log softmax(s_u)_t over all real users u and targets t. Here s_u are
    the surrogate's scores of all items for u. ``OuterLoss`` also covers other goals. The profiles follow the gradient
    of this loss. The gradient flows back through the last ``unrolled`` rounds of the fit, which bounds the memory. It
    includes the effects on the vectors of items, fake users and real users. The surrogate is a weighted matrix
    factorisation (``wmf``) or an autoencoder of items (``item-ae``), which are two of the paper's surrogates.

    The attack differs from the paper:

    - The targets are in every profile.
    - The candidate with the lowest outer loss is returned. If a target has few interactions, its hit rate stays at 0,
      and a choice by hit rates returns the first candidate.
    - A profile has a fixed size, while the paper keeps all entries above a threshold.
    - The surrogate ``wmf`` is fitted by alternating least squares with a fixed number of rounds, and ``item-ae`` with a
      fixed number of steps. The paper uses 50 epochs of gradient descent, whose number of steps grows with the data.
    - A fit of ``item-ae`` starts from new weights, so the outer losses of two candidates also differ by chance.
    - A fit treats an entry between 0 and 1 as a mixture of an interaction and no interaction. ``Surrogate`` and
      ``ItemAutoencoder`` give the details.

    With ``sharpness``, the gradient is taken at a worse surrogate. This is the step of SharpAP (Xie et al., 2026),
    which approximates the surrogate with the largest outer loss within a radius. It is written from the paper's
    published summary. Here the radius is relative to the norm of the surrogate's vectors.
    """

    class Config(GradientConfig):
        """Settings of RevAdv."""

        unrolled: int = Field(
            default=2,
            ge=1,
            description="Last rounds through which gradients flow; the paper's share of a fit, 10 of 50 epochs",
        )
        surrogate: Literal["wmf", "item-ae"] = Field(
            default="wmf",
            description="What the attack fits in place of the victim: the weighted matrix factorisation, or the "
            "autoencoder of items",
            json_schema_extra=LATER,
        )
        autoencoder: ItemAutoencoderConfig = Field(
            default=ItemAutoencoderConfig(), description="Settings of the surrogate item-ae", json_schema_extra=LATER
        )

        @model_validator(mode="after")
        def _check_surrogate(self) -> Self:
            fields = type(self).model_fields
            idle = ["autoencoder"] if self.surrogate == "wmf" else list(OF_WMF)
            for name in idle:
                if getattr(self, name) != fields[name].get_default(call_default_factory=True):
                    raise ValueError(f"{name} has no effect with surrogate: {self.surrogate}")
            return self

    config: Config

    @property
    def surrogate(self) -> str:
        """The surrogate that the settings name."""
        name: str = self.config.surrogate
        return name

    def make_surrogate(
        self, train: Interactions, n_users: int, generator: np.random.Generator
    ) -> Surrogate | ItemAutoencoder:
        """Returns the surrogate that the settings name."""
        if self.config.surrogate == "wmf":
            return self.make_factorisation(train, generator)
        return ItemAutoencoder(train, n_users, self.config.autoencoder, generator)

    @property
    def step_length(self) -> float:
        """The length of a step of the profiles, which depends on the surrogate."""
        c = self.config
        return c.learning_rate if c.surrogate == "wmf" else c.autoencoder.step_length

    def cost_of_a_fit(self) -> tuple[str, int]:
        """Returns ``rounds`` or ``steps``, and their number in a fit."""
        if self.config.surrogate == "wmf":
            return "rounds", self.config.rounds
        return "steps", self.config.autoencoder.steps

    def loss_and_gradient(
        self, surrogate: Surrogate | ItemAutoencoder, profiles: Tensor, loss: OuterLoss
    ) -> tuple[float, Tensor]:
        """Returns the outer loss and its gradient through the last part of the fit."""
        with torch.enable_grad():
            variable = profiles.detach().requires_grad_()
            if isinstance(surrogate, ItemAutoencoder):
                vectors = surrogate.fit(variable)
            else:
                vectors = surrogate.fit(variable, self.config.rounds, self.config.unrolled)
            slope = loss.slope(vectors, self.config.sharpness)
            outputs = [(vectors.items, slope.items), (vectors.real, slope.real)]
            used = [pair for pair in outputs if pair[0].requires_grad]  # one unrolled round fits real users before A
            tensors, gradients = zip(*used, strict=True)
            return slope.value, torch.autograd.grad(tensors, variable, gradients)[0]
