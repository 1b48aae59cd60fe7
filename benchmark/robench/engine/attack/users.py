"""What the surfaces share on which every user has a perturbation of their own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Generic

from torch import Tensor

from robench.api.attacks.ball import Delta, linf
from robench.api.attacks.base import Evaluation, LossName
from robench.api.data import IntArray
from robench.engine.attack.arena import Arena, Arrays, Candidate, judged, per_user
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.draws import Draws, Input, Judgement, diagnose, finite, mean, mean_look, mostly
from robench.engine.attack.goal import Goal
from robench.engine.rank.ranking import EvaluationChunk


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
        return self.oracle.goal.name == "untargeted" and not self.oracle.draws.stochastic

    @property
    def concerned(self) -> Tensor:
        """bool [B]."""
        goal = self.oracle.goal
        return self.to_break if goal.name == "untargeted" else (goal.items >= 0).any(1)

    def read(self, candidate: Candidate) -> Any:
        """The candidate as the oracle takes it."""
        return candidate

    @abstractmethod
    def distances(self, candidate: Candidate) -> Arrays:
        """What of the budget was spent, per user: ``spent`` in ε, and in other measures."""

    def look(self, candidate: Candidate) -> Judgement:
        """Through the oracle."""
        return self.oracle.look(self.read(candidate))

    def stored(self, candidate: Candidate) -> Arrays:
        """Ranks and lists, losses, and what of the budget was spent, per user."""
        oracle = self.oracle
        looks = oracle.looks(self.read(candidate), last=True)
        arrays = outcome(looks, oracle.chunk, oracle.goal, self.targets)
        arrays |= {"clean_loss": oracle.at_clean.loss.cpu().numpy(), "loss": self.look(candidate).loss.cpu().numpy()}
        return arrays | self.distances(candidate) | {"hit": self.to_break.cpu().numpy()}


def outcome(looks: Iterable[Tensor], chunk: EvaluationChunk, goal: Goal, targets: IntArray | None) -> Arrays:
    """What is stored of several looks at the same users: ``per_user`` by the damage to an aim.

    Args:
        looks: masked scores, float [B, n_items] each.
    """
    found, damages = [], []
    for scores in looks:
        found.append(judged(scores, chunk, targets))
        damages.append(goal.damage(scores))
    return per_user(chunk, found, damages, scores.shape[1], targets)


class UserOracle(ABC, Generic[Input]):
    """One chunk of users of one victim, each with a perturbation of their own; a dataclass beneath it holds the fields.

    Args:
        questions: masks and held-out items of these users.
        aim: the goal for them.
        draws: streams where the victim draws at test time.
    """

    chunk: EvaluationChunk
    goal: Goal
    draws: Draws
    costs: Costs
    diagnosis: Diagnosis
    _first_gradient = True

    @abstractmethod
    def seen(self, perturbed: Input) -> Tensor:
        """Masked scores without a graph, not counted: float [B, n_items]."""

    def start(self, genuine: Input) -> None:
        """Judge the genuine input: ``at_clean``, and ``to_break`` bool [B], whose goal is not reached there."""
        self.at_clean = self.look(genuine)
        self._to_break = ~self.at_clean.broken & (self.goal.items >= 0).any(1)

    @property
    def users(self) -> Tensor:
        """int64 [B]; like all that an attack is handed, its own to write in."""
        return self.chunk.users.clone()

    @property
    def to_break(self) -> Tensor:
        """bool [B]: the goal is not reached at clean."""
        return self._to_break.clone()

    def looks(self, perturbed: Input, *, last: bool = False) -> Iterator[Tensor]:
        """Masked scores as the host judges them, once per draw (``last``: for what is stored); not counted."""
        for context in self.draws.host(last=last):
            with context:
                yield self.seen(perturbed)

    def look(self, perturbed: Input) -> Judgement:
        """The host's own look, not counted: means over its draws; broken where at least half of the draws are."""
        return mean_look(self.goal, self.looks(perturbed))

    def counted(self, *, gradients: bool = False) -> Iterator[AbstractContextManager[None]]:
        """A context per draw of one look of the attack's, with or without gradients."""
        for context in self.draws.attack():
            self.costs.queries += len(self.chunk.users)
            self.costs.gradients += len(self.chunk.users) if gradients else 0
            yield context

    def evaluated(self, perturbed: Input, loss: LossName) -> Evaluation:
        """Loss and outcome."""
        values, looks = [], []
        for context in self.counted():
            with context:
                looks.append(self.seen(perturbed))
            values.append(self.goal.loss(looks[-1], loss))
        return self.told(values, looks)

    def told(self, values: list[Tensor], looks: list[Tensor], gradient: Delta | None = None) -> Evaluation:
        """Means over the draws of one look of the attack's."""
        return Evaluation(mean(values), lambda: mostly([self.goal.broken(scores) for scores in looks]), gradient)

    def settled(self, slopes: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The mean gradient over the draws, finite. The first one is judged, of each user to be broken who was not
        judged before: a defence that hides it shows here.
        """
        gradient = {name: mean([part[name] for part in slopes]) for name in slopes[0]}
        if self._first_gradient:
            self._first_gradient = False
            size = linf(gradient).to(self._to_break.device)[self._to_break]
            hit = self.chunk.users.to(self._to_break.device)[self._to_break]
            diagnose(self.diagnosis, size[self.diagnosis.fresh(hit.tolist())])
        return finite(gradient)
