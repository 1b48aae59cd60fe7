"""What the surfaces share on which every user has a perturbation of their own."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from robench.api.data import IntArray
from robench.engine.aim import Aim
from robench.engine.arena import Arena, Arrays, Candidate, Look, judged, per_user
from robench.engine.oracle import UserOracle
from robench.engine.ranking import Questions


class UserArena(Arena):
    """One chunk of users of one victim; a dataclass beneath it holds these fields.

    Args:
        oracle: of these users.
        unit: float [B], what ε = 1 stands for.
        targets: int64 [T], items whose ranks are stored.
    """

    oracle: UserOracle[Any]
    unit: Tensor
    targets: IntArray | None

    @property
    def stops(self) -> bool:
        """Where held-out items fall, for sure."""
        return self.oracle.aim.goal == "untargeted" and not self.oracle.draws.stochastic

    @property
    def concerned(self) -> Tensor:
        """bool [B]."""
        aim = self.oracle.aim
        return self.to_break if aim.goal == "untargeted" else (aim.items >= 0).any(1)

    def read(self, candidate: Candidate) -> Any:
        """The candidate as the oracle takes it."""
        return candidate

    @abstractmethod
    def distances(self, candidate: Candidate) -> Arrays:
        """What of the budget was spent, per user: ``spent`` in ε, and in other measures."""

    def look(self, candidate: Candidate) -> Look:
        """Through the oracle."""
        return self.oracle.look(self.read(candidate))

    def stored(self, candidate: Candidate) -> Arrays:
        """Ranks and lists, losses, and what of the budget was spent, per user."""
        oracle = self.oracle
        looks = oracle.looks(self.read(candidate), last=True)
        arrays = outcome(looks, oracle.questions, oracle.aim, self.targets)
        arrays |= {"clean_loss": oracle.at_clean.loss.cpu().numpy(), "loss": self.look(candidate).loss.cpu().numpy()}
        return arrays | self.distances(candidate) | {"hit": self.to_break.cpu().numpy()}


def outcome(looks: Iterable[Tensor], questions: Questions, aim: Aim, targets: IntArray | None) -> Arrays:
    """What is stored of several looks at the same users: ``per_user`` by the damage to an aim.

    Args:
        looks: masked scores, float [B, n_items] each.
    """
    found, damages = [], []
    for scores in looks:
        found.append(judged(scores, questions, targets))
        damages.append(aim.damage(scores))
    return per_user(questions, found, damages, scores.shape[1], targets)
