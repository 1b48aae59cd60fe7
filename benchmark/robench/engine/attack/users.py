"""Defines arenas and oracles for surfaces with one perturbation per user."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from torch import Tensor

from robench.api.attacks.ball import Delta, linf
from robench.api.attacks.base import Evaluation, LossName
from robench.api.data import IntArray
from robench.engine.attack.arena import Arena, Candidate
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.draws import Draws, majority, mean
from robench.engine.attack.goal import Goal
from robench.engine.attack.gradients import finite
from robench.engine.attack.judgement import Judgement, judge_scores
from robench.engine.attack.measurement import CellArrays, outcome_arrays
from robench.engine.rank.chunk import EvaluationChunk

Input = TypeVar("Input")  # the input that an attack perturbs, one row per user


class UserOracle(ABC, Generic[Input]):
    """An oracle through which an attack queries one chunk of a victim's users.

    Every query of the attack is counted.

    A subclass is a dataclass with these fields. A class method of the subclass builds an instance and calls
    ``judge_genuine``.

    Args:
        chunk: the masks and held-out items of these users.
        goal: the goal of these users.
        draws: the random streams for a victim that draws at test time.
        costs: the counters of the attack's queries.
        diagnosis: the diagnosis of the attack's gradients.
        at_clean: the judgement of the genuine input.
    """

    chunk: EvaluationChunk
    goal: Goal
    draws: Draws
    costs: Costs
    diagnosis: Diagnosis
    at_clean: Judgement
    _first_gradient = True

    @abstractmethod
    def scores_at(self, perturbed: Input) -> Tensor:
        """Returns masked scores without gradients, float [B, n_items].

        The query is not counted.
        """

    def judge_genuine(self, genuine: Input) -> None:
        """Judges the genuine input, and sets ``at_clean`` and ``to_break``."""
        self.at_clean = self.judge(genuine)

    @property
    def users(self) -> Tensor:
        """A copy of the users, int64 [B].

        An attack therefore cannot change the host's array.
        """
        return self.chunk.users.clone()

    @property
    def to_break(self) -> Tensor:
        """True for the users that miss the goal with their genuine input: bool [B]."""
        return ~self.at_clean.broken & self.goal.applies

    def host_scores(self, perturbed: Input, *, last: bool = False) -> Iterator[Tensor]:
        """Yields masked scores for each draw of the host, without counting the queries.

        Args:
            perturbed: the perturbed input.
            last: whether to use fresh streams, for arrays to be stored.
        """
        for context in self.draws.host(last=last):
            with context:
                yield self.scores_at(perturbed)

    def judge(self, perturbed: Input) -> Judgement:
        """Judges an input over the draws of the host, without counting the queries."""
        return judge_scores(self.goal, self.host_scores(perturbed))

    def count_draws(self, *, gradients: bool = False) -> Iterator[AbstractContextManager[None]]:
        """Yields and counts one context for each draw of the attack's evaluation."""
        for context in self.draws.attack():
            self.costs.queries += len(self.chunk.users)
            self.costs.gradients += len(self.chunk.users) if gradients else 0
            yield context

    def evaluate_loss(self, perturbed: Input, loss: LossName) -> Evaluation:
        """Returns the loss and the outcome at a perturbed input, without a gradient."""
        values, scores = [], []
        for context in self.count_draws():
            with context:
                scores.append(self.scores_at(perturbed))
            values.append(self._loss(scores[-1], loss))
        return self.evaluation(values, scores)

    def evaluation(self, values: list[Tensor], scores: list[Tensor], gradient: Delta | None = None) -> Evaluation:
        """Returns the means over the draws of one evaluation of the attack."""
        return Evaluation(mean(values), lambda: majority([self._broken(part) for part in scores]), gradient)

    def _loss(self, scores: Tensor, loss: LossName) -> Tensor:
        """Computes the loss on the scores' device, and moves it to the goal's device."""
        return self.goal.to(scores.device).loss(scores, loss).to(self.goal.items.device)

    def _broken(self, scores: Tensor) -> Tensor:
        return self.goal.to(scores.device).broken(scores).to(self.goal.items.device)

    def average_gradient(self, slopes: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Returns the mean gradient over the draws, with zeros at unusable entries.

        The method also diagnoses the first gradient of each user that is to be broken. The diagnosis reveals defences
        that hide the gradient.
        """
        gradient = {name: mean([part[name] for part in slopes]) for name in slopes[0]}
        if self._first_gradient:
            self._first_gradient = False
            to_break = self.to_break
            size = linf(gradient).to(to_break.device)[to_break]
            hit = self.chunk.users.to(to_break.device)[to_break]
            self.diagnosis.note(size[self.diagnosis.take_new(hit.tolist())])
        return finite(gradient)


@dataclass(eq=False)
class UserArena(Arena):
    """One chunk of a victim's users, each with a separate perturbation.

    Args:
        oracle: the oracle of these users.
        unit: the budget of each user at ε = 1, float [B].
        targets: the items for which ranks are stored, int64 [T].
    """

    oracle: UserOracle[Any]
    unit: Tensor
    targets: IntArray | None = field(default=None, kw_only=True)

    @property
    def stops(self) -> bool:
        """True if the attack is untargeted and the victim is deterministic."""
        return self.oracle.goal.name == "untargeted" and not self.oracle.draws.stochastic

    @property
    def concerned(self) -> Tensor:
        """True for the users that an ensemble attacks: bool [B]."""
        goal = self.oracle.goal
        return self.to_break if goal.name == "untargeted" else goal.applies

    def input_of(self, candidate: Candidate) -> Any:
        """Returns a candidate in the form that the oracle takes."""
        return candidate

    @abstractmethod
    def distances(self, candidate: Candidate) -> CellArrays:
        """Returns the budget that each user has spent.

        The array ``spent`` is in units of ε. Other arrays are distances.
        """

    def judge(self, candidate: Candidate) -> Judgement:
        """Judges a candidate through the oracle, without counting the queries."""
        return self.oracle.judge(self.input_of(candidate))

    def stored(self, candidate: Candidate) -> CellArrays:
        """Returns each user's ranks, lists, losses and spent budget."""
        oracle = self.oracle
        draws = oracle.host_scores(self.input_of(candidate), last=True)
        arrays = outcome_arrays(draws, oracle.chunk, oracle.goal, self.targets)
        arrays |= {"clean_loss": oracle.at_clean.loss.cpu().numpy(), "loss": self.judge(candidate).loss.cpu().numpy()}
        return arrays | self.distances(candidate) | {"hit": self.to_break.cpu().numpy()}
