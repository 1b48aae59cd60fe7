"""Searches an attack's proposals for the titles that do the most damage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robench.api.attacks.base import Attack
from robench.api.attacks.text import TextAttack
from robench.api.rng import Rng
from robench.engine.attack.arena import in_turn
from robench.engine.attack.costs import Costs
from robench.engine.attack.ensemble import MemberLog
from robench.engine.attack.judgement import worse
from robench.engine.attack.measurement import TitleChange
from robench.engine.surfaces.text.goal import PromotionGoal
from robench.engine.surfaces.text.oracle import TitleOracle


@dataclass(frozen=True, eq=False)
class RewrittenTitles:
    """Titles of A items within the budget, with the damage and the loss of each.

    Args:
        titles: the title of each item.
        damage: the damage that each item's title does, float64 [A]. After ``mean``, the value is a scalar.
        loss: the loss of each item, float64 [A]. After ``mean``, the value is a scalar.
    """

    titles: list[str]
    damage: Tensor
    loss: Tensor

    @classmethod
    def judge(cls, oracle: TitleOracle, titles: Sequence[str]) -> RewrittenTitles:
        """Judges titles with an oracle, without counting queries."""
        judgement = oracle.judge(titles)
        return cls(list(titles), judgement.damage, judgement.loss)

    def mean(self) -> RewrittenTitles:
        """Returns the same titles, with the damage and the loss averaged over the items."""
        return replace(self, damage=self.damage.mean(), loss=self.loss.mean())

    def rows(self, oracle: TitleOracle) -> list[TitleChange]:
        """Returns the record's entry for each changed title."""
        genuine = oracle.titles()
        rows = zip(oracle.items.tolist(), genuine, self.titles, oracle.allowed.edits(self.titles), strict=True)
        return [
            {"item": oracle.catalogue.ids[item], "row": item, "before": old, "after": new, "edits": edits}
            for item, old, new, edits in rows
            if new != old
        ]


@dataclass
class WorstTitles:
    """The worst titles so far, both as a whole and item by item.

    Args:
        together: the candidate with the highest mean damage.
        single: the worst title of each item. These titles may come from several candidates.
    """

    together: RewrittenTitles
    single: RewrittenTitles

    @classmethod
    def genuine(cls, oracle: TitleOracle) -> WorstTitles:
        """Starts a search with the genuine titles as the worst so far."""
        titles = RewrittenTitles.judge(oracle, oracle.titles())
        return cls(titles, titles)

    def update(self, titles: RewrittenTitles) -> None:
        """Replaces the titles that are worse in a new candidate."""
        self._update_together(titles)
        old = self.single
        better = worse(titles, old)
        choices = zip(old.titles, titles.titles, better.tolist(), strict=True)
        self.single = RewrittenTitles(
            [new if take else title for title, new, take in choices],
            torch.where(better, titles.damage, old.damage),
            torch.where(better, titles.loss, old.loss),
        )

    def finish(self, oracle: TitleOracle) -> RewrittenTitles:
        """Returns the titles with the highest mean damage.

        If items are promoted, the combination of each item's worst title is also judged.
        """
        if isinstance(oracle.goal, PromotionGoal) and self.single.titles != self.together.titles:
            oracle.costs.queries += oracle.n_users
            self._update_together(RewrittenTitles.judge(oracle, self.single.titles))
        return self.together

    def _update_together(self, titles: RewrittenTitles) -> None:
        if bool(worse(titles.mean(), self.together.mean())):
            self.together = titles


def search_titles(attack: Attack, oracle: TitleOracle, rng: Rng) -> RewrittenTitles:
    """Runs an attack and returns the titles with the highest mean damage.

    If the mean damage of two candidates is equal, the mean loss decides. The candidates are the genuine titles and
    everything that the attack proposes. If items are promoted, the combination of each item's worst title is also a
    candidate.

    Raises:
        TypeError: if the attack is not a ``TextAttack``.
        PluginError: if a proposal is not a sequence of strings with one title per item.
    """
    if not isinstance(attack, TextAttack):
        raise TypeError(f"{type(attack).__name__} rewrites no titles")
    worst = WorstTitles.genuine(oracle)
    for proposal in in_turn(attack, attack.rewrite(oracle, rng)):
        titles = oracle.allowed.enforce(proposal, oracle.costs)
        oracle.costs.queries += oracle.n_users
        worst.update(RewrittenTitles.judge(oracle, titles))
    return worst.finish(oracle)


def search_members(log: MemberLog, oracle: TitleOracle, rng: Rng) -> RewrittenTitles:
    """Runs all members of an ensemble and returns the worst titles.

    The worst titles are those with the highest mean damage over the items. The genuine titles also count. If items are
    promoted, the combination of each item's worst title also counts.
    """
    worst = WorstTitles.genuine(oracle)
    for member in log.members:
        own = replace(oracle, costs=Costs())
        titles = search_titles(member.attack, own, rng.child(member.name))
        log.note(member.name, own.costs, own.n_users)
        log.damage[member.name] = float(titles.damage.mean())
        oracle.costs.add(own.costs)
        worst.update(titles)
    return worst.finish(oracle)
