"""Arenas and oracles for surfaces with one perturbation per user."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from torch import Tensor

from robench.api.attacks.ball import Delta, linf
from robench.api.attacks.base import Evaluation, LossName, OwnLoss
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
    """The oracle that answers an attack's queries about one chunk of users.

    Every query by the attack is counted.

    A subclass is a dataclass with the following fields. A class method of the subclass builds an instance and calls
    ``judge_genuine``.

    Args:
        chunk: the masks and held-out items of these users.
        goal: the goal of these users.
        draws: the random streams for a victim that draws random numbers at test time.
        costs: the counts of the attack's queries.
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
        """Returns the masked scores at a perturbed input, float [B, n_items].

        The scores have no gradient, and the query is not counted.
        """

    def judge_genuine(self, genuine: Input) -> None:
        """Judges the genuine input and stores the judgement as ``at_clean``."""
        self.at_clean = self.judge(genuine)

    @property
    def users(self) -> Tensor:
        """The ids of the users, int64 [B].

        The tensor is a copy, so an attack cannot change the host's tensor.
        """
        return self.chunk.users.clone()

    @property
    def to_break(self) -> Tensor:
        """True for each user that the attack still has to break: bool [B]."""
        return ~self.at_clean.broken & self.goal.applies

    def host_scores(self, perturbed: Input, *, last: bool = False) -> Iterator[Tensor]:
        """Yields the masked scores of each scoring by the host, without counting queries.

        Args:
            perturbed: the perturbed input.
            last: whether to use the fresh streams for stored arrays.
        """
        for context in self.draws.host(last=last):
            with context:
                yield self.scores_at(perturbed)

    def judge(self, perturbed: Input) -> Judgement:
        """Judges an input by all scorings of the host, without counting queries."""
        return judge_scores(self.goal, self.host_scores(perturbed))

    def count_draws(self, *, gradients: bool = False) -> Iterator[AbstractContextManager[None]]:
        """Yields one context per scoring of an evaluation and counts the queries.

        Args:
            gradients: whether the scorings also count as gradients.
        """
        for context in self.draws.attack():
            self.costs.queries += len(self.chunk.users)
            self.costs.gradients += len(self.chunk.users) if gradients else 0
            yield context

    def evaluate_loss(self, perturbed: Input, loss: LossName | OwnLoss) -> Evaluation:
        """Returns the loss and the outcome at a perturbed input, without a gradient."""
        values, scores = [], []
        for context in self.count_draws():
            with context:
                scores.append(self.scores_at(perturbed))
            values.append(self.loss_of(scores[-1], loss))
        return self.evaluation(values, scores)

    def evaluation(self, values: list[Tensor], scores: list[Tensor], gradient: Delta | None = None) -> Evaluation:
        """Combines the scorings of one evaluation into the answer to the attack.

        Args:
            values: the loss of each user in each scoring, float [B].
            scores: the masked scores of each scoring, float [B, n_items].
            gradient: the gradient with respect to the perturbation, or None.
        """
        return Evaluation(mean(values), lambda: majority([self._broken(part) for part in scores]), gradient)

    def loss_of(self, scores: Tensor, loss: LossName | OwnLoss) -> Tensor:
        """Returns the loss of masked scores, computed on their device: float [B].

        The result is on the goal's device.
        """
        return self.goal.to(scores.device).loss(scores, loss).to(self.goal.items.device)

    def _broken(self, scores: Tensor) -> Tensor:
        return self.goal.to(scores.device).broken(scores).to(self.goal.items.device)

    def average_gradient(self, slopes: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Returns the mean of gradients, with zeros at entries that are not finite.

        The first call also diagnoses the gradients of the users that the attack still has to break. A user is diagnosed
        only once per cell. The diagnosis reveals defences that hide the gradient.

        Args:
            slopes: the gradient of each scoring.
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
        oracle: the oracle for these users.
        unit: the budget of each user at ε = 1, float [B].
        targets: the targets, for which ranks are also stored, int64 [T].
    """

    oracle: UserOracle[Any]
    unit: Tensor
    targets: IntArray | None = field(default=None, kw_only=True)

    @property
    def stops(self) -> bool:
        """True if an ensemble stops attacking a user once the user is broken.

        This is the case if the attack is untargeted and the victim is deterministic.
        """
        return self.oracle.goal.name == "untargeted" and not self.oracle.draws.stochastic

    @property
    def concerned(self) -> Tensor:
        """True for each user that an ensemble attacks: bool [B]."""
        goal = self.oracle.goal
        return self.to_break if goal.name == "untargeted" else goal.applies

    def input_of(self, candidate: Candidate) -> Any:
        """Converts a candidate to the form in which the oracle takes inputs."""
        return candidate

    @abstractmethod
    def distances(self, candidate: Candidate) -> CellArrays:
        """Returns how far a candidate is from the genuine input, per user.

        The array ``spent`` holds the spent budget, in the unit of ε. The other arrays describe the perturbation, for
        example by norms.
        """

    def judge_genuine(self) -> Judgement:
        """Returns the oracle's judgement of the genuine input."""
        return self.oracle.at_clean

    def judge(self, candidate: Candidate) -> Judgement:
        """Returns the oracle's judgement of a candidate, without counting queries."""
        return self.oracle.judge(self.input_of(candidate))

    def stored(self, candidate: Candidate) -> CellArrays:
        """Returns the outcome, the losses and the distances of the users.

        The array ``hit``, bool [B], is True for each user that the attack has to break.
        """
        oracle, perturbed = self.oracle, self.input_of(candidate)
        draws: Iterable[Tensor] = oracle.host_scores(perturbed, last=True)
        if oracle.draws.stochastic:
            loss = self.judge(candidate).loss
        else:  # a deterministic victim needs only one scoring for the outcome and the loss
            draws = list(draws)
            loss = oracle.loss_of(draws[0], "ce")
        arrays = outcome_arrays(draws, oracle.chunk, oracle.goal, self.targets)
        arrays |= {"clean_loss": oracle.at_clean.loss.cpu().numpy(), "loss": loss.cpu().numpy()}
        return arrays | self.distances(candidate) | {"hit": self.to_break.cpu().numpy()}
