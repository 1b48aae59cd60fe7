"""PGA: gradients by the optimality of a surrogate's item vectors."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from robench.api import Interactions
from robench_plugins.attacks.poisoning.gradient_attack import GradientAttack, GradientConfig
from robench_plugins.attacks.poisoning.outer_loss import OuterLoss
from robench_plugins.attacks.poisoning.surrogate import Surrogate


class Pga(GradientAttack[Surrogate]):
    """Adds fake users that are improved by an implicit gradient of a surrogate.

    This is the projected gradient ascent of Li et al. (NeurIPS 2016) on implicit feedback. After a fit by alternating
    least squares, the vector y_j of each item solves M_j y_j = b_j, with M_j = Σ_u c_uj x_u x_uᵀ + λI and
    b_j = Σ_u c_uj r_uj x_u. The sums run over all users u with their vectors x_u. The entry r_uj is 1 if u has j, and 0
    otherwise, and c_uj = 1 + α r_uj is the weight of the pair. Let a be the entry of item j in the profile of a fake
    user with the vector x. If the vectors of users are fixed, the derivative is
    dy_j/da = M_j⁻¹ x ((1 + α) − α ⟨x, y_j⟩). The paper derives it in the same way from the optimality of the item
    vectors, but for losses of observed ratings alone. The derivative dL/da of the outer loss L is the inner product of
    dL/dy_j and dy_j/da. So one solution z_j of M_j z_j = dL/dy_j per item serves all fake users, and all items are
    solved in one call.

    The outer loss, the start, the projection, the choice of the candidate and ``sharpness`` are those of ``revadv``.
    The paper has a different goal and no targets in the profiles.
    """

    class Config(GradientConfig):
        """Settings of PGA."""

        learning_rate: float = Field(default=10.0, gt=0, description="Length of a step along the accumulated gradient")

    config: Config
    surrogate = "wmf"

    def make_surrogate(self, train: Interactions, n_users: int, generator: np.random.Generator) -> Surrogate:
        """Returns the weighted matrix factorisation with its first item vectors."""
        return self.make_factorisation(train, generator)

    def cost_of_a_fit(self) -> tuple[str, int]:
        """Returns ``rounds``, and the number of rounds of least squares in a fit."""
        return "rounds", self.config.rounds

    def loss_and_gradient(self, surrogate: Surrogate, profiles: Tensor, loss: OuterLoss) -> tuple[float, Tensor]:
        """Returns the outer loss and its gradient through the item vectors."""
        with torch.no_grad():
            vectors = surrogate.fit(profiles, self.config.rounds)
            slope = loss.slope(vectors, self.config.sharpness)
            left, _ = surrogate.item_systems(vectors.real, vectors.fake, profiles)
            solutions = torch.linalg.solve(left, slope.items.unsqueeze(2)).squeeze(2)
            alpha = surrogate.confidence
            weights = (1 + alpha) - alpha * (vectors.fake @ vectors.items.mT)
            return slope.value, (vectors.fake @ solutions.mT) * weights
