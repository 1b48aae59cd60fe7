"""DP-SGD: training on clipped gradients of users, with noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from robench.api import BaseConfig, DataError, Defense, Model, Rng, TorchModel, TrainData
from robench.api.privacy import NO_NOISE, NOTHING, Guarantee, PrivateFit
from robench_plugins.defenses.privacy.accountant import calibrate_steps, check_opacus
from robench_plugins.defenses.privacy.user_gradients import UserGradients, draw_users

COVERS = "all weights, and so all scores as a function of the history that they are asked for"


class DpSgd(Defense):
    """Trains a neural model on clipped gradients of users, with noise.

    The fit is differentially private, and one record is a user with all interactions. The method is DP-SGD of Abadi et
    al. (CCS 2016, algorithm 1), with the user in place of the example, as in McMahan et al. (ICLR 2018).

    **A step.** Each user takes part with the probability q, independently of the others (Poisson sampling). Let g_u be
    the gradient of user u's whole loss, which is the mean over the user's targets. Robench computes it from data in
    which the user is alone, one user after the other. The step is

        g̃ = (Σ_u g_u · min(1, C / ‖g_u‖) + N(0, (σ C)² I)) / (q · n),

    where the sum is over the users of the step, C is the setting ``clip``, and n is the number of users. It divides by
    the expected number of users, because the true one is a secret. Adam takes g̃ as its gradient, and reads nothing
    else. A step without users is a step of noise. Abadi et al. divide in the same way and use plain SGD.

    **Noise.** There are T = ``epochs`` · ⌈1 / q⌉ steps. This number is known beforehand. σ is the smallest value that
    gives ``eps_dp`` and ``delta`` after T steps, from the accountant of Gopi, Lee & Wutschitz (NeurIPS 2021). With
    ``eps_dp: inf``, everything is the same, but nothing is added.

    **Nothing else reads the data.** The model is built from empty rows, so counts and sizes of the training data do not
    reach it. Validation stops nothing and chooses neither weights nor settings, and the last weights are kept. Users
    without a history get the same score for each item, because counts of items are not private.

    The guarantee is that of noise and batches that nobody knows. Those of a benchmark come from the seed of the suite,
    so that anybody can repeat the numbers. Who knows the seed can subtract the noise. Therefore, a board measures the
    method, and its files protect no user. The noise also consists of floating-point numbers, which Mironov (CCS 2012)
    exploits.
    """

    class Config(BaseConfig):
        """Settings of DP-SGD."""

        eps_dp: Annotated[float, Field(gt=0)] | Literal["inf"] = Field(
            default=10.0, description="Bound on the privacy loss; with `inf`, no noise is added"
        )
        delta: float = Field(
            default=1e-5, gt=0, lt=1, description="Probability by which the bound may be missed; below 1 / users"
        )
        clip: float = Field(default=0.1, gt=0, description="Largest length C of the gradient of a user, in L2")
        rate: float = Field(default=0.1, gt=0, le=1, description="Probability q with which a user takes part in a step")
        epochs: int | None = Field(
            default=None, ge=1, description="Passes over the users; by default, the setting of the model"
        )
        learning_rate: float | None = Field(
            default=None, gt=0, description="Step size of Adam; by default, the setting of the model"
        )

    config: Config
    neural: ClassVar[bool] = True
    covers: ClassVar[str] = COVERS

    def problem(self, model: type[Model]) -> str:
        """Returns why the defence cannot protect a model, or an empty string if it can."""
        if problem := super().problem(model):
            return problem
        if "history" not in model.surfaces:
            return "has rows of its own for each user, which dp-sgd cannot cover"
        if model.candidates is not Model.candidates:
            return "reranks the candidates of a retriever that it fits to all users, which dp-sgd cannot cover"
        return ""

    def check_installed(self) -> None:
        """Checks that opacus is installed, unless no noise is added.

        Raises:
            DataError: if the package is missing.
        """
        if self.config.eps_dp != NO_NOISE:
            check_opacus()

    def steps_per_epoch(self) -> int:
        """Returns ⌈1 / q⌉, the steps in which a user takes part about once."""
        return math.ceil(1 / self.config.rate)

    def multiplier(self, epochs: int) -> float:
        """Returns the standard deviation σ of the noise in units of ``clip``, or 0."""
        c = self.config
        if c.eps_dp == NO_NOISE:
            return 0.0
        self.check_installed()
        return calibrate_steps(float(c.eps_dp), c.delta, c.rate, epochs * self.steps_per_epoch())

    def train_privately(
        self, model: TorchModel, data: TrainData, rng: Rng, report: Callable[[int, int], None]
    ) -> PrivateFit:
        """Trains the model for a fixed number of steps and returns the guarantee.

        Raises:
            DataError: if opacus is missing, or if ``delta`` is not below 1 / users. With a larger ``delta``, the
                guarantee would allow publishing the data of a random user.
        """
        c, users = self.config, int((data.train.lengths() > 0).sum())
        if c.eps_dp != NO_NOISE and users and c.delta >= 1 / users:
            raise DataError(
                f"delta {c.delta:g} is not below 1 / users, with {users} users", hint="give a smaller delta"
            )
        epochs = model.config.epochs if c.epochs is None else c.epochs
        sigma, per_epoch = self.multiplier(epochs), self.steps_per_epoch()
        gradients, optimiser = UserGradients(model, data, c.clip), self.optimiser(model)
        for epoch in range(epochs):
            gradients.begin_epoch(rng.child("epoch", epoch))
            for number in range(epoch * per_epoch, (epoch + 1) * per_epoch):
                drawn = draw_users(data.n_users, c.rate, rng.child("users", number))
                total = gradients.clipped_sum(drawn, epoch, epoch / epochs, rng.child("step", number))
                if sigma > 0:
                    self.add_noise(total, sigma * c.clip, rng.child("noise", number))
                for weight, part in zip(gradients.weights, total, strict=True):
                    weight.grad = part.div_(c.rate * data.n_users)
                optimiser.step()
            report(epoch + 1, epochs)
        facts = {"noise_multiplier": sigma, "sampling_rate": c.rate, "steps": float(epochs * per_epoch)}
        return PrivateFit(self.guarantee(), epochs, facts)

    def guarantee(self) -> Guarantee:
        """Returns the guarantee of the weights."""
        if self.config.eps_dp == NO_NOISE:
            return Guarantee(NO_NOISE, 0.0, NOTHING)
        return Guarantee(float(self.config.eps_dp), self.config.delta, self.covers)

    def optimiser(self, model: TorchModel) -> torch.optim.Optimizer:
        """Returns the optimiser of the model's weights."""
        rate = model.config.learning_rate if self.config.learning_rate is None else self.config.learning_rate
        return torch.optim.Adam(model.parameters(), lr=rate, weight_decay=model.config.weight_decay)

    def add_noise(self, total: list[Tensor], scale: float, rng: Rng) -> None:
        """Adds independent normal numbers to every entry, in place.

        Args:
            total: the sum of the clipped gradients, one tensor per weight.
            scale: the standard deviation of the noise.
            rng: the random stream of the noise.
        """
        generator = rng.torch(total[0].device)
        for part in total:
            noise = torch.randn(part.shape, generator=generator, device=part.device, dtype=part.dtype)
            part.add_(noise, alpha=scale)
