"""Defines arenas and searches an attack's proposals for the worst candidate.

An attack proposes candidates, and the arena enforces ε on each candidate. The host judges the candidates and keeps the
worst candidate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robench.api.attacks.ball import wide
from robench.api.attacks.base import Attack
from robench.api.errors import PluginError
from robench.api.rng import Rng
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.judgement import Judgement, worse
from robench.engine.attack.measurement import CellArrays

Candidate = dict[str, Tensor]
Proposal = Mapping[str, Tensor]


class Arena(ABC):
    """A judge of the candidates that an attack proposes.

    An arena belongs to one victim, one surface and one budget. It covers one chunk of users, or all users if one
    perturbation serves all users. Axis 0 of a candidate's tensors indexes rows. A row is a user, or a row of the
    embedding tables if one perturbation serves all users. A subclass is a dataclass with a field ``oracle``.
    """

    oracle: Any

    @property
    def costs(self) -> Costs:
        """The costs of the attack in this arena."""
        costs: Costs = self.oracle.costs
        return costs

    @property
    def diagnosis(self) -> Diagnosis:
        """The diagnosis of the attack's gradients."""
        diagnosis: Diagnosis = self.oracle.diagnosis
        return diagnosis

    @property
    def to_break(self) -> Tensor:
        """True for each row that the attack still has to break: bool [B]."""
        rows: Tensor = self.oracle.to_break
        return rows

    @property
    def stops(self) -> bool:
        """True if an ensemble stops attacking a user once the user is broken.

        The default is True. A subclass returns False if items are promoted, because further gains count. It also
        returns False if the victim draws random numbers at test time, because different draws may change the judgement.
        """
        return True

    @property
    def gradients(self) -> bool:
        """True if the attack can ask for gradients with respect to perturbed inputs."""
        return True

    @property
    def concerned(self) -> Tensor:
        """True for each row that an ensemble attacks: bool [B].

        The default is ``to_break``. If items are promoted, a subclass also includes users that already have the items
        in the top k.
        """
        return self.to_break

    @property
    def n_users(self) -> int:
        """The number of users that one evaluation scores."""
        return len(self.to_break)

    @abstractmethod
    def genuine(self) -> Candidate:
        """Returns the candidate that leaves the genuine input unchanged."""

    def judge_genuine(self) -> Judgement:
        """Returns the judgement of the genuine input, without counting queries."""
        return self.judge(self.genuine())

    @abstractmethod
    def proposals(self, attack: Attack, rng: Rng) -> Iterator[Proposal]:
        """Yields the candidates that an attack proposes.

        Raises:
            TypeError: if the attack belongs to a different surface.
        """

    @abstractmethod
    def within_budget(self, proposal: Proposal) -> Candidate:
        """Enforces ε on a proposal and returns a candidate within the budget.

        The method also records the size of the proposal as a multiple of the budget.

        Raises:
            PluginError: if the proposal does not have the form of a candidate, or is not finite.
        """

    @abstractmethod
    def judge(self, candidate: Candidate) -> Judgement:
        """Returns the judgement of a candidate, without counting queries."""

    @abstractmethod
    def rows(self, chosen: Tensor, expectation: int = 1) -> Arena:
        """Returns an arena with only some of the rows and with costs of its own.

        Args:
            chosen: the positions of the rows, int64 [b].
            expectation: the number of scorings over which an evaluation averages.
        """

    @property
    def form(self) -> Hashable:
        """A value that arenas share if their users can be attacked together.

        The default, None, means that the users of this arena are attacked alone.
        """
        return None

    def pooled(self, arenas: Sequence[Any], places: Sequence[Tensor]) -> Arena:
        """Returns one arena with rows of several arenas.

        The new arena counts queries in the costs that the given arenas share.

        Args:
            arenas: arenas of the same form, this arena among them.
            places: for each arena, the positions of the rows to include, int64.

        Raises:
            TypeError: if the users of this kind of arena are attacked alone.
        """
        raise TypeError(f"the users of a {type(self).__name__} are attacked alone")

    @abstractmethod
    def stored(self, candidate: Candidate) -> CellArrays:
        """Returns the arrays that a cell stores for the final candidate."""

    def damage(self, candidate: Candidate) -> Tensor:
        """Returns the damage that a candidate does to each user, float64 [users].

        Higher damage is worse for the defender.
        """
        return self.judge(candidate).damage

    def spent(self, candidate: Candidate) -> dict[str, float]:
        """Returns the spent budget over all rows, by name.

        The default is an empty dict, for arenas in which ``stored`` returns the spent budget per user.
        """
        return {}


@dataclass
class Worst:
    """The worst candidate so far, row by row.

    A candidate is worse if it does more damage, or equal damage at a higher loss.
    """

    candidate: Candidate
    judgement: Judgement

    @classmethod
    def genuine(cls, arena: Arena) -> Worst:
        """Starts a search with the candidate that leaves the genuine input unchanged."""
        return cls(arena.genuine(), arena.judge_genuine())

    def update(self, candidate: Candidate, judgement: Judgement) -> None:
        """Replaces the rows that are worse in a new candidate."""
        better = worse(judgement, self.judgement)
        self.candidate = choose_rows(better, candidate, self.candidate)
        self.judgement = judgement.where(better, self.judgement)

    def update_rows(self, place: Tensor, part: Worst) -> None:
        """Replaces rows with those of the worst candidate of a smaller arena.

        A row is replaced only if the new row is worse.

        Args:
            place: the positions of the smaller arena's rows, int64 [b].
            part: the worst candidate of the smaller arena.
        """
        old = self.judgement
        pairs = zip(old, part.judgement, strict=True)
        judgement = Judgement(*(whole.index_copy(0, place, new.to(whole.dtype)) for whole, new in pairs))
        self.update(replace_rows(self.candidate, place, part.candidate), judgement)


def search_worst(arena: Arena, attack: Attack, rng: Rng) -> Worst:
    """Runs an attack and returns the worst candidate of each row.

    The genuine input is also a candidate.
    """
    worst = Worst.genuine(arena)
    for proposal in arena.proposals(attack, rng):
        candidate = arena.within_budget(proposal)
        arena.costs.queries += arena.n_users
        worst.update(candidate, arena.judge(candidate))
    return worst


def in_turn(attack: Attack, proposals: Any) -> Iterator[Any]:
    """Returns what an attack proposes as an iterator.

    Raises:
        PluginError: if the attack did not return an iterator or another iterable.
    """
    if not isinstance(proposals, Iterable):
        given = "nothing" if proposals is None else f"a {type(proposals).__name__}"
        raise PluginError(f"{type(attack).__name__} returned {given}, not its candidates in turn (does it use yield?)")
    return iter(proposals)


def choose_rows(better: Tensor, new: Candidate, old: Candidate) -> Candidate:
    """Combines the rows of two candidates.

    Rows for which ``better`` (bool [B]) is true come from ``new``, and all others come from ``old``. If two tensors of
    the same name differ in length, the shorter one is padded with −1 along axis 1.
    """
    chosen = {}
    for name, part in old.items():
        one, two = _equally_long(new[name], part)
        chosen[name] = torch.where(wide(better, one), one, two)
    return chosen


def replace_rows(whole: Candidate, place: Tensor, part: Candidate) -> Candidate:
    """Returns ``whole`` with ``part`` in place of the rows at ``place`` (int64 [b]).

    If the tensors of a name differ in length, the shorter rows are padded with −1.
    """
    candidate = {}
    for name, old in whole.items():
        length = max(old.shape[1], part[name].shape[1]) if old.dim() > 1 else 0
        full = _equally_long(old, old.new_empty(len(old), length, *old.shape[2:]))[0] if length else old
        full = full.clone()
        full[place] = _equally_long(part[name], full)[0]
        candidate[name] = full
    return candidate


def _equally_long(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
    """Returns two tensors of the same length, after padding the shorter one with −1.

    The padding is along axis 1. Only lists of items can differ in length.
    """
    if one.dim() < 2 or one.shape[1] == two.shape[1]:
        return one, two
    length = max(one.shape[1], two.shape[1])
    first, second = (torch.nn.functional.pad(x, (0, length - x.shape[1]), value=-1) for x in (one, two))
    return first, second
