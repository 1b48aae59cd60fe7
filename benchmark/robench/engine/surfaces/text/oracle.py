"""Answers an attack's queries about rewritten titles and counts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from robench.api.attacks.text import Exposure, TokenSlopes
from robench.api.data import Catalogue, IntArray
from robench.api.title_rules import Unit
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.surfaces.text.budget import TitleBudget
from robench.engine.surfaces.text.goal import TitleGoal
from robench.engine.surfaces.text.reader import TextReader
from robench.engine.surfaces.text.slopes import Sloper
from robench.engine.surfaces.text.stealth import Candidate, Stealth


class TitleJudgement(NamedTuple):
    """The host's judgement of a candidate with A titles, item by item.

    Args:
        damage: the damage that each item's title does, float64 [A]. Higher damage is worse for the defender.
        loss: the loss of each item, float64 [A].
        reached: the share of users for which the goal is reached, float64 [A].
    """

    damage: Tensor
    loss: Tensor
    reached: Tensor


@dataclass(eq=False)
class TitleOracle:
    """A ``TextOracle`` for all users of a victim.

    Args:
        reader: the victim.
        goal: the goal of the attack, which also determines the items with titles that may change.
        epsilon: the budget, as a share of each title's length.
        unit: the unit of edits, words or characters.
        costs: the counts of the attack's queries.
        diagnosis: the diagnosis of the attack's gradients.
        stealth: the rules for titles, or None if the threat model has no such rules.
    """

    reader: TextReader
    goal: TitleGoal
    epsilon: float
    unit: Unit
    costs: Costs = field(default_factory=Costs)
    diagnosis: Diagnosis = field(default_factory=Diagnosis)
    stealth: Stealth | None = None

    @cached_property
    def allowed(self) -> TitleBudget:
        """The limits on edits of the genuine titles."""
        genuine = tuple(self.catalogue.items[row].title for row in self.items)
        return TitleBudget(genuine, self.epsilon, self.unit, self.stealth)

    @property
    def items(self) -> IntArray:
        """The catalogue rows of the items with titles that may change, int64 [A]."""
        return self.goal.items.copy()

    @property
    def catalogue(self) -> Catalogue:
        """The catalogue with the genuine titles."""
        return self.reader.catalogue

    @property
    def counts(self) -> IntArray:
        """The number of times that each item occurs in histories, int64 [n_items]."""
        return self.reader.history.counts()

    @property
    def n_users(self) -> int:
        """The number of users that one evaluation scores."""
        return sum(len(chunk.users) for chunk in self.reader.chunks)

    def titles(self) -> list[str]:
        """Returns the genuine titles of ``items``."""
        return list(self.allowed.genuine)

    def budget(self) -> list[int]:
        """Returns the maximum number of edits per title."""
        return list(self.allowed.limit)

    def passes(self, candidates: Sequence[Candidate]) -> list[bool]:
        """Returns which titles the host would accept, without a query to the victim.

        Args:
            candidates: the titles. Each title has the index of its item in ``items``.
        """
        self.costs.checks += len(candidates)
        return self.allowed.passes(candidates)

    def by_row(self, titles: Sequence[str]) -> dict[int, str]:
        """Maps the catalogue rows of ``items`` to the given titles."""
        return dict(zip(self.items.tolist(), titles, strict=True))

    def judge(self, titles: Sequence[str]) -> TitleJudgement:
        """Returns the host's judgement of the titles, averaged over all scorings.

        No query is counted.
        """
        victim = self.reader.victim(self.by_row(titles))
        sums = torch.zeros(4, len(self.items), dtype=torch.float64)
        for context in self.reader.draws.host():
            with torch.no_grad(), context:
                for chunk in self.reader.chunks:
                    sums += self.goal.sums(self.reader.scores(victim, chunk), chunk)
        loss, reached, gain, count = sums
        return TitleJudgement(gain / count.clamp_min(1), loss / count.clamp_min(1), reached / count.clamp_min(1))

    def evaluate(self, titles: Sequence[str]) -> Exposure:
        """Returns the loss and the outcome at these titles of ``items``."""
        self.costs.queries += self.n_users
        judgement = self.judge(titles)
        return Exposure(judgement.loss, judgement.reached)

    def slopes(self, titles: Sequence[str]) -> TokenSlopes | None:
        """Returns the slopes with respect to the tokens of these titles.

        The tokens are those of the titles after the defence has cleaned them. The result is None if the model offers no
        slopes for the goal.
        """
        return Sloper(self.reader, self.goal, self.costs, self.diagnosis).slopes(titles)
