"""The base class of attacks that improve fake profiles by gradients."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robench.api import IntArray, Interactions, PoisoningAttack, PoisoningConfig, Profiles, Rng
from robench_plugins.attacks.poisoning.random_profiles import shuffled_profiles
from robench_plugins.attacks.poisoning.surrogate import Surrogate


class GradientConfig(PoisoningConfig):
    """The settings that ``revadv`` and ``pga`` share.

    The defaults of ``steps`` and ``momentum`` are those of Tang et al. (RecSys 2020). The surrogate has the defaults of
    the model ``wmf``, which validation chose on MovieLens, because the weights of 20 of the papers score far lower
    there.
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


class GradientAttack(PoisoningAttack):
    """An attack that improves fake profiles by the gradient of an outer loss.

    The first profiles are real rows with at most the profile size, to which the targets are added. Each step fits a
    new surrogate on the real rows and the profiles, and computes the outer loss and its gradient. The gradient of each
    profile is divided by its L2 norm and accumulated with momentum. A step subtracts the accumulated gradient, and a
    projection keeps the items with the largest entries. The targets stay in every profile. Of all candidates, the one
    with the lowest outer loss is returned.
    """

    config: GradientConfig

    @abstractmethod
    def gradient(self, surrogate: Surrogate, profiles: Tensor, targets: Tensor) -> tuple[float, Tensor]:
        """Returns the outer loss, and its gradient with respect to profiles.

        Args:
            surrogate: the surrogate, which holds the real rows.
            profiles: the fake profiles, float [F, I].
            targets: the promoted items, int64 [T].

        Returns:
            The loss, and the gradient [F, I].
        """

    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """Returns ``n_users`` profiles of ``profile_size`` distinct items.

        A profile always has all targets, even if there are more than ``profile_size``.
        """
        c = self.config
        surrogate = Surrogate(train, c.factors, c.confidence, c.weight_decay, rng.child("surrogate").numpy())
        size, promoted = max(profile_size, len(targets)), torch.tensor(targets)
        profiles = project(first_scores(train, n_users, size, rng.child("start").numpy()), promoted, size)
        velocity, best, lowest = torch.zeros_like(profiles), profiles, np.inf
        for _ in range(c.steps):
            loss, gradient = self.gradient(surrogate, profiles, promoted)
            if loss < lowest:
                best, lowest = profiles, loss
            length = gradient.norm(dim=1, keepdim=True).clamp_min(torch.finfo(gradient.dtype).tiny)
            velocity = c.momentum * velocity + gradient / length
            profiles = project(profiles - c.learning_rate * velocity, promoted, size)
        best[:, promoted] = 0
        fillers = [np.flatnonzero(row).astype(np.int64) for row in best.numpy()]
        shuffled = shuffled_profiles(targets, fillers, rng.child("order").numpy())
        costs = {"surrogate_fits": c.steps, "surrogate_rounds": c.steps * c.rounds, "outer_loss": lowest}
        return Profiles(shuffled.rows, costs)


def first_scores(train: Interactions, n_users: int, size: int, generator: np.random.Generator) -> Tensor:
    """Returns scores whose largest entries are real rows, float [F, I].

    The rows are drawn from the users with at most ``size`` items, if there are any, and otherwise from all users. No
    row is drawn twice unless there are too few. All other items have smaller random scores.

    Args:
        train: the training items of the real users that the attack sees.
        n_users: the number of fake users, F.
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


def project(scores: Tensor, targets: Tensor, size: int) -> Tensor:
    """Returns profiles with the targets and the items of the largest scores.

    Args:
        scores: a score of each item, [F, I].
        targets: the items that every profile has, int64 [T].
        size: the number of items of a profile.

    Returns:
        Ones at the items of each profile and zeros elsewhere, [F, I].
    """
    scores = scores.index_fill(1, targets, torch.inf)
    return torch.zeros_like(scores).scatter(1, scores.topk(min(size, scores.shape[1]), dim=1).indices, 1.0)
