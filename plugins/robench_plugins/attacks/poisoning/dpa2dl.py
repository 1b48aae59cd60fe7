"""DPA2DL: fillers that a poisoned model gives to its fake users."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from robench.api import IntArray
from robench_plugins.attacks.poisoning.pointwise import (
    FillerState,
    PointwiseAttack,
    PointwiseConfig,
    PointwiseSurrogate,
)
from robench_plugins.models.sparse_matrix import interaction_matrix

USERS = 512  # the most real users whose scores a poison step reads


class Dpa2dl(PointwiseAttack):
    """Adds fake users with the items that a poisoned model gives to them.

    This is the attack of Huang et al. (NDSS 2021). A poison model is trained on its own loss plus λ · G, with
    G = ‖ŷ_v‖² + η Σ_u l_u. Here ŷ_v are the predicted probabilities of a new fake user v. The loss of a real user u is
    l_u = max(min_{i in L_u} log ŷ_ui − log ŷ_ut, −κ). Here L_u is the list of u with k items, and t is the target that
    should enter the list. The fillers of v are the items j with the largest ŷ_vj · p_j. The selection probability p_j
    of each filler is then multiplied by δ. If the selection probabilities of all items except targets are below 1, all
    become 1 again.

    The attack differs from the paper in four points. The surrogate is a matrix factorisation instead of NeuMF. ‖ŷ_v‖²
    is a mean over the items that are not targets, and Σ_u l_u is a mean over users and targets. So λ and η do not
    depend on the size of the data. There may be several targets, and a user who has a target does not count for it. The
    poison model starts from the surrogate and takes a fixed number of steps. Each step reads up to 512 random real
    users.
    """

    class Config(PointwiseConfig):
        """Settings of DPA2DL, with the paper's κ, η, λ and δ."""

        poison_steps: int = Field(default=50, ge=1, description="Steps of the poison model for every group")
        kappa: float = Field(default=1.0, ge=0, description="Largest gap κ to the last item of a list that counts")
        eta: float = Field(default=100.0, ge=0, description="Weight η of the real users' lists in G")
        poison_weight: float = Field(default=0.01, ge=0, description="Weight λ of G")
        decay: float = Field(
            default=0.9, gt=0, le=1, description="Factor δ of the selection probability of an item that was chosen"
        )

    config: Config

    def fillers(self, surrogate: PointwiseSurrogate, fakes: range, state: FillerState) -> list[IntArray]:
        """Returns the fillers that a poison model gives to the new fake users."""
        users = surrogate.n_real + torch.arange(fakes.start, fakes.stop)
        targets = torch.tensor(state.targets)
        matrix = interaction_matrix(state.train)

        def extra() -> Tensor:
            chosen = torch.randperm(surrogate.n_real, generator=state.generator)[:USERS]
            known = torch.from_numpy(matrix[chosen.numpy()].toarray() > 0)
            lists = list_loss(surrogate.scores(chosen), known, targets, self.config.k, self.config.kappa)
            loss = size_loss(surrogate.scores(users), targets) + self.config.eta * lists
            return self.config.poison_weight * loss

        with surrogate.restored():
            surrogate.train_steps(self.config.poison_steps, extra)
            with torch.no_grad():
                predicted = surrogate.scores(users).sigmoid().double().numpy()
        return [self.choose(row, state) for row in predicted]

    def choose(self, predicted: np.ndarray, state: FillerState) -> IntArray:
        """Returns the fillers of one fake user and lowers their selection probabilities.

        If the selection probabilities of all items except targets are then below 1, all become 1 again.

        Args:
            predicted: the predicted probabilities of the fake user, float64 [I].
            state: the state, which holds the selection probabilities.
        """
        value = predicted * state.preference
        value[state.targets] = -np.inf
        chosen = np.argsort(-value, kind="stable")[: state.count].astype(np.int64)
        state.preference[chosen] *= self.config.decay
        others = np.delete(state.preference, state.targets)
        if (others < 1).all():
            state.preference[:] = 1
        return chosen


def size_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Returns the mean squared probability over fake users and items except targets.

    Args:
        logits: the scores of the new fake users, [F, I].
        targets: the targets, int64 [T].
    """
    squares = logits.sigmoid().square().index_fill(1, targets, 0.0)
    return squares.sum() / (len(logits) * max(1, logits.shape[1] - len(targets)))


def list_loss(logits: Tensor, known: Tensor, targets: Tensor, k: int, kappa: float) -> Tensor:
    """Returns the mean loss of the real users' lists, over users and targets.

    The loss of a user u and a target t is max(log ŷ_u(k) − log ŷ_ut, −κ). Here ŷ are the predicted probabilities, and
    (k) is the last item of the list of u. A user who has a target does not count for it.

    Args:
        logits: the scores of real users, [B, I].
        known: the training items of these users, which are in no list, bool [B, I].
        targets: the targets, int64 [T].
        k: the length of a list.
        kappa: the gap κ.
    """
    logs = functional.logsigmoid(logits)
    last = logs.masked_fill(known, -torch.inf).topk(min(k, logs.shape[1]), dim=1).values[:, -1:]
    counted = ~known[:, targets]
    loss = torch.where(counted, (last - logs[:, targets]).clamp_min(-kappa), 0.0)
    return loss.sum() / counted.sum().clamp_min(1)
