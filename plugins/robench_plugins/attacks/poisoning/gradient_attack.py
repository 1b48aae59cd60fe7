"""The base class of attacks that improve fake profiles by gradients."""

from __future__ import annotations

from abc import abstractmethod
from typing import Generic, TypeVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robench.api import FloatArray, IntArray, Interactions, Profiles, Rng
from robench.api.threat import GoalName
from robench_plugins.attacks.poisoning.evading_attack import EvadingAttack, EvadingConfig
from robench_plugins.attacks.poisoning.evasion import Fillers, Judge
from robench_plugins.attacks.poisoning.outer_loss import OuterLoss
from robench_plugins.attacks.poisoning.surrogate import Surrogate

Model = TypeVar("Model")  # the class of the surrogate


class GradientConfig(EvadingConfig):
    """The settings that ``revadv`` and ``pga`` share.

    The defaults of ``steps`` and ``momentum`` are those of Tang et al. (RecSys 2020). The defaults of the surrogate are
    those of the model ``wmf``. They were chosen by validation on MovieLens. The papers give interactions the weight 20,
    with which the validation values on MovieLens are far lower.
    """

    steps: int = Field(default=30, ge=1, description="Candidates that are tried, one after the other")
    learning_rate: float = Field(default=1.0, gt=0, description="Length of a step along the accumulated gradient")
    momentum: float = Field(default=0.95, ge=0, lt=1, description="Share of earlier gradients that a step keeps")
    factors: int = Field(default=32, ge=1, description="Dimensions of the surrogate's vectors")
    confidence: float = Field(default=2.0, ge=0, description="Weight α of interactions in the surrogate, as in wmf")
    weight_decay: float = Field(default=20.0, gt=0, description="Weight λ of the surrogate's L2 penalty, as in wmf")
    rounds: int = Field(default=10, ge=1, description="Rounds of least squares in every fit of the surrogate")
    sharpness: float = Field(
        default=0.0,
        ge=0,
        description="Length of the step to a worse surrogate (SharpAP), as a share of the norm of its vectors; "
        "0 takes no step",
    )


class GradientAttack(EvadingAttack, Generic[Model]):
    """An attack that improves fake profiles by the gradient of an outer loss.

    The first profiles are real rows with at most the profile size. Targets that are promoted are added, and random
    items fill the remaining places. Each step fits a new surrogate on the real rows and the profiles, and computes the
    outer loss and its gradient. The gradient of each profile, with zeros at the targets, is divided by its L2 norm and
    accumulated with momentum. A step subtracts ``step_length`` times the accumulated gradient, and a projection keeps
    the items with the largest entries. Targets that are promoted stay in every profile, and other targets in none. Of
    all candidates, the one with the lowest outer loss is returned. The outer loss, which ``OuterLoss`` defines, is low
    if the surrogate ranks the items as the goal requires.
    """

    config: GradientConfig
    evasion_rounds = 8

    @abstractmethod
    def make_surrogate(self, train: Interactions, n_users: int, generator: np.random.Generator) -> Model:
        """Returns the surrogate with its first parameters.

        Args:
            train: the training items of the real users that the attack sees.
            n_users: the number of fake users.
            generator: the source of the first parameters.
        """

    @property
    def step_length(self) -> float:
        """The length of a step of the profiles along the accumulated gradient."""
        return self.config.learning_rate

    @abstractmethod
    def cost_of_a_fit(self) -> tuple[str, int]:
        """Returns the unit that counts the work of a fit, and the number of units."""

    def make_factorisation(self, train: Interactions, generator: np.random.Generator) -> Surrogate:
        """Returns the weighted matrix factorisation that the settings describe."""
        c = self.config
        return Surrogate(train, c.factors, c.confidence, c.weight_decay, generator)

    @abstractmethod
    def loss_and_gradient(self, surrogate: Model, profiles: Tensor, loss: OuterLoss) -> tuple[float, Tensor]:
        """Returns the outer loss, and its gradient with respect to profiles.

        Args:
            surrogate: the surrogate, which holds the real rows.
            profiles: the fake profiles, float [fakes, items].
            loss: the outer loss.

        Returns:
            The loss, and the gradient [fakes, items].
        """

    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """Returns ``n_users`` profiles of ``profile_size`` distinct items.

        A profile that promotes always has all targets, even if there are more than ``profile_size``. A profile is
        shorter if the catalogue has too few items.
        """
        c, goal = self.config, self.config.goal
        surrogate = self.make_surrogate(train, n_users, rng.child("surrogate").numpy())
        loss, fixed = OuterLoss(train, targets, goal), torch.tensor(targets)
        size = profile_size if goal != "promote" else max(profile_size, len(targets))
        scores = first_scores(train, n_users, size, rng.child("start").numpy())
        profiles = best = project(scores, fixed, size, goal)
        velocity, lowest = torch.zeros_like(profiles), np.inf
        for _ in range(c.steps):
            value, gradient = self.loss_and_gradient(surrogate, profiles, loss)
            if value < lowest:
                best, lowest = profiles, value
            gradient = gradient.index_fill(1, fixed, 0)
            length = gradient.norm(dim=1, keepdim=True).clamp_min(torch.finfo(gradient.dtype).tiny)
            velocity = c.momentum * velocity + gradient / length
            profiles = project(profiles - self.step_length * velocity, fixed, size, goal)
        fillers = [np.flatnonzero(row).astype(np.int64) for row in best.index_fill(1, fixed, 0).numpy()]
        arranged = self.arranged(targets, fillers, train, rng.child("order").numpy())
        unit, count = self.cost_of_a_fit()
        costs = {"surrogate_fits": c.steps, f"surrogate_{unit}": c.steps * count, "outer_loss": lowest}
        return Profiles(arranged.rows, costs)

    def judge(self, train: Interactions, targets: IntArray, n_users: int, rng: Rng) -> Judge:
        """Returns a function that computes the outer loss and its gradient.

        The value of a filler is minus the gradient of the loss with respect to its entry.
        """
        surrogate = self.make_surrogate(train, n_users, rng.child("surrogate").numpy())
        loss = OuterLoss(train, targets, self.config.goal)
        held = targets if self.config.goal == "promote" else targets[:0]

        def judge(fillers: Fillers) -> tuple[float, FloatArray]:
            profiles = torch.zeros(len(fillers), train.n_items)
            for profile, row in zip(profiles, fillers, strict=True):
                profile[torch.tensor(np.concatenate([held, row]))] = 1
            value, gradient = self.loss_and_gradient(surrogate, profiles, loss)
            return value, -gradient.double().numpy()

        return judge


def first_scores(train: Interactions, n_users: int, size: int, generator: np.random.Generator) -> Tensor:
    """Returns random scores of items, largest at the items of real users.

    A real user is drawn for each fake user, from those with 1 to ``size`` items, or from all users if there are none.
    No real user is drawn twice unless there are too few. Each fake user's largest scores are those of the real user's
    items. The result is float [fakes, items].

    Args:
        train: the training items of the real users that the attack sees.
        n_users: the number of fake users.
        size: the number of items of a profile.
        generator: the source of the rows and of the random scores.
    """
    lengths = train.lengths()
    pool = np.flatnonzero((lengths > 0) & (lengths <= size))
    pool = pool if len(pool) else np.arange(train.n_users)
    scores = generator.random((n_users, train.n_items), dtype=np.float32)
    for score, user in zip(scores, generator.choice(pool, n_users, replace=len(pool) < n_users), strict=True):
        score[train.row(user)] += 1
    return torch.from_numpy(scores)


def project(scores: Tensor, targets: Tensor, size: int, goal: GoalName) -> Tensor:
    """Returns profiles of the items with the largest scores.

    Args:
        scores: a score of each item, [fakes, items].
        targets: the targets, int64 [T]. They are in every profile if the goal is ``promote``, and in none otherwise.
        size: the number of items of a profile.
        goal: the goal of the attack.

    Returns:
        Ones at the items of each profile and zeros elsewhere, [fakes, items].
    """
    scores = scores.index_fill(1, targets, torch.inf if goal == "promote" else -torch.inf)
    free = scores.shape[1] if goal == "promote" else scores.shape[1] - len(targets)
    return torch.zeros_like(scores).scatter(1, scores.topk(min(size, free), dim=1).indices, 1.0)
