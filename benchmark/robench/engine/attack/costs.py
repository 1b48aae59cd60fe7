"""Counts the queries of an attack and diagnoses the gradients of the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Costs:
    """The costs of one attack: queries, gradients and the overshoot.

    Args:
        queries: the number of queries. Every scoring that the attack asks for, and every proposal that the host judges,
            counts once per user.
        gradients: the number of gradients. Every scoring with a gradient counts once per user.
        overshoot: the size of the largest proposal before the host enforced the budget, as a multiple of the budget.
        checks: the number of titles that the host checked for the attack, without a query to the victim.
    """

    queries: int = 0
    gradients: int = 0
    overshoot: float = 0.0
    checks: int = 0

    def add(self, other: Costs) -> None:
        """Adds other costs to these costs and keeps the larger overshoot."""
        self.queries += other.queries
        self.gradients += other.gradients
        self.checks += other.checks
        self.note_overshoot(other.overshoot)

    def note_overshoot(self, share: float) -> None:
        """Records the size of a proposal, as a multiple of the budget.

        Only the largest size is kept.
        """
        self.overshoot = max(self.overshoot, share)


@dataclass
class Diagnosis:
    """The counts of gradients that are unusable for an attack.

    A gradient is unusable if it is zero or if it is not finite. For each user, only the first gradient is diagnosed.
    For titles, every gradient is diagnosed.

    In an ensemble, each user is diagnosed only under the first member that computes gradients for this user. The users
    that remain for later members would be a biased sample.

    Args:
        judged: the number of diagnosed gradients.
        zero: the number of gradients that are zero.
        non_finite: the number of gradients that are not finite.
        users: the ids of the diagnosed users.
    """

    judged: int = 0
    zero: int = 0
    non_finite: int = 0
    users: set[int] = field(default_factory=set)

    def take_new(self, users: Sequence[int]) -> list[int]:
        """Returns the positions in ``users`` of the users without a diagnosis.

        After the call, all ``users`` count as diagnosed.
        """
        positions = [at for at, user in enumerate(users) if user not in self.users]
        self.users.update(users)
        return positions

    def note(self, sizes: Tensor) -> None:
        """Adds some gradients to the counts.

        Args:
            sizes: the largest absolute entry of each gradient, float [n].
        """
        self.judged += len(sizes)
        self.non_finite += int((~torch.isfinite(sizes)).sum())
        self.zero += int((sizes == 0).sum())
