"""The surface ``text``: titles of items are rewritten. The host measures the distance, re-scores and keeps the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from robench.api.attacks.base import Attack
from robench.api.attacks.text import (
    Exposure,
    TextAttack,
    TokenSlopes,
    Unit,
    edits_allowed,
    edits_between,
    pieces,
    printable,
)
from robench.api.data import Catalogue, IntArray
from robench.api.errors import PluginError
from robench.api.rng import Rng
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.ensemble import MemberLog
from robench.engine.surfaces.text.reader import HeldOutGoal, PromotionGoal, Reader
from robench.engine.surfaces.text.slopes import Sloper

Titles = Sequence[str]


@dataclass(eq=False)
class TitleOracle:
    """A ``TextOracle`` over a whole victim.

    Args:
        reader: the victim.
        aim: what the attack is after; names the items whose titles may change.
        epsilon: the budget.
        unit: words or characters.
    """

    reader: Reader
    goal: PromotionGoal | HeldOutGoal
    epsilon: float
    unit: Unit
    costs: Costs = field(default_factory=Costs)
    diagnosis: Diagnosis = field(default_factory=Diagnosis)

    def __post_init__(self) -> None:
        """Look up the genuine titles."""
        self.genuine = [self.catalogue.items[row].title for row in self.items]
        self.limit = [edits_allowed(title, self.epsilon, self.unit) for title in self.genuine]

    @property
    def items(self) -> IntArray:
        """int64 [A]."""
        return self.goal.items.copy()

    @property
    def catalogue(self) -> Catalogue:
        """The genuine one."""
        return self.reader.catalogue

    @property
    def counts(self) -> IntArray:
        """int64 [n_items]."""
        return self.reader.history.counts()

    @property
    def n_users(self) -> int:
        """How many users one look scores."""
        return sum(len(chunk.users) for chunk in self.reader.chunk)

    def titles(self) -> list[str]:
        """The genuine titles of ``items``."""
        return list(self.genuine)

    def budget(self) -> list[int]:
        """Edits per title."""
        return list(self.limit)

    def spent(self, titles: Titles) -> list[int]:
        """Edits of each title."""
        return [edits_between(old, new, self.unit) for old, new in zip(self.genuine, titles, strict=True)]

    def of_all(self, titles: Titles) -> dict[int, str]:
        """By row of the catalogue."""
        return dict(zip(self.items.tolist(), titles, strict=True))

    def look(self, titles: Titles) -> tuple[Tensor, Tensor, Tensor]:
        """The host's own look, not counted: damage, loss, share of users reached, float64 [A] each."""
        victim = self.reader.victim(self.of_all(titles))
        sums = torch.zeros(4, len(self.items), dtype=torch.float64)
        for context in self.reader.draws.host():
            with torch.no_grad(), context:
                for chunk in self.reader.chunk:
                    sums += self.goal.sums(self.reader.scores(victim, chunk), chunk)
        loss, reached, gain, count = sums
        return gain / count.clamp_min(1), loss / count.clamp_min(1), reached / count.clamp_min(1)

    def evaluate(self, titles: Titles) -> Exposure:
        """Loss and outcome with these titles."""
        self.costs.queries += self.n_users
        _, loss, reached = self.look(titles)
        return Exposure(loss, reached)

    def slopes(self, titles: Titles) -> TokenSlopes | None:
        """By the tokens of the titles as the model reads them."""
        sloper = Sloper(self.reader, self.goal, self.costs, self.diagnosis)
        return sloper.slopes(titles)


@dataclass
class Kept:
    """The titles that the host keeps, what was spent on them, and what they do."""

    titles: list[str]
    edits: list[int]
    damage: Tensor
    loss: Tensor


def best_titles(attack: Attack, oracle: TitleOracle, rng: Rng) -> Kept:
    """The genuine titles, everything that the attack proposes, and, where items are promoted, the best title of each
    item together: whatever does the most damage on average is kept, ties by loss.

    Raises:
        TypeError: the attack rewrites no titles.
        PluginError: a proposal is no title per item.
    """
    if not isinstance(attack, TextAttack):
        raise TypeError(f"{type(attack).__name__} rewrites no titles")
    kept = _looked(oracle, oracle.genuine)
    single = kept
    for proposed in attack.rewrite(oracle, rng):
        titles = checked(proposed, oracle)
        oracle.costs.queries += oracle.n_users
        found = _looked(oracle, titles)
        kept = max(kept, found, key=_mean)
        single = _each(single, found)
    return _together(oracle, kept, single)


def best_of_members(member_log: MemberLog, oracle: TitleOracle, rng: Rng) -> Kept:
    """The same over everything that the members of an ensemble arrive at."""
    kept = single = _looked(oracle, oracle.genuine)
    for member in member_log.members:
        own = replace(oracle, costs=Costs())
        found = best_titles(member.attack, own, rng.child(member.name))
        member_log.note(member.name, own.costs, own.n_users)
        member_log.damage[member.name] = _mean(found)[0]
        oracle.costs.add(own.costs)
        kept, single = max(kept, found, key=_mean), _each(single, found)
    return _together(oracle, kept, single)


def _together(oracle: TitleOracle, kept: Kept, single: Kept) -> Kept:
    """Where items are promoted, their best titles at once may do more than what is kept: one look more."""
    if not isinstance(oracle.goal, PromotionGoal) or single.titles == kept.titles:
        return kept
    oracle.costs.queries += oracle.n_users
    return max(kept, _looked(oracle, single.titles), key=_mean)


def _looked(oracle: TitleOracle, titles: Titles) -> Kept:
    damage, loss, _ = oracle.look(titles)
    return Kept(list(titles), oracle.spent(titles), damage, loss)


def _mean(kept: Kept) -> tuple[float, float]:
    return float(kept.damage.mean()), float(kept.loss.mean())


def _each(one: Kept, two: Kept) -> Kept:
    """Per item the title of the higher damage, then of the higher loss."""
    better = (two.damage > one.damage) | ((two.damage == one.damage) & (two.loss > one.loss))
    chosen = better.tolist()
    titles = [new if take else old for old, new, take in zip(one.titles, two.titles, chosen, strict=True)]
    edits = [new if take else old for old, new, take in zip(one.edits, two.edits, chosen, strict=True)]
    return Kept(titles, edits, torch.where(better, two.damage, one.damage), torch.where(better, two.loss, one.loss))


def checked(proposed: Titles, oracle: TitleOracle) -> list[str]:
    """The genuine title where one is over budget, not printable or without an edit; notes how far the attack overshot.

    Raises:
        PluginError: not a title per item.
    """
    if isinstance(proposed, str) or len(proposed) != len(oracle.items) or not all(isinstance(t, str) for t in proposed):
        raise PluginError(f"the attack gave {len(proposed)} titles for {len(oracle.items)} items, or not text")
    found = []
    for old, new, limit, spent in zip(oracle.genuine, proposed, oracle.limit, oracle.spent(proposed), strict=True):
        used = spent if printable(new) else max(spent, limit + 1)
        share = used / limit if limit else float(used > 0) * (1 + used)
        oracle.costs.overshoot = max(oracle.costs.overshoot, share)
        found.append(new if 0 < used <= limit else old)
    return found


def told(oracle: TitleOracle, kept: Kept) -> list[dict[str, object]]:
    """A row per title that changed, for the record."""
    rows = zip(oracle.items.tolist(), oracle.genuine, kept.titles, kept.edits, strict=True)
    return [
        {"item": oracle.catalogue.ids[item], "row": item, "before": old, "after": new, "edits": edits}
        for item, old, new, edits in rows
        if new != old
    ]


def spent_on(oracle: TitleOracle, kept: Kept) -> dict[str, float]:
    """What of the budget was spent: edits, and ε as edits over the title's length."""
    length = np.array([max(1, len(pieces(title, oracle.unit))) for title in oracle.genuine])
    edits = np.array(kept.edits)
    share = edits / length
    added = [max(0, len(new) - len(old)) for old, new in zip(oracle.genuine, kept.titles, strict=True)]
    return {
        "epsilon": float(share.max(initial=0)),
        "epsilon_mean": float(share.mean()),
        "edits_max": float(edits.max(initial=0)),
        "edits_mean": float(edits.mean()),
        "characters_added_max": float(max(added, default=0)),
        "titles_changed": float((edits > 0).sum()),
    }
