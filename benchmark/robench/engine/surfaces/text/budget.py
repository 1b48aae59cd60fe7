"""Enforces ε on edits of titles.

The genuine title replaces a title that is over budget, is not printable or has no edits. If the threat model has rules
for titles, the genuine title also replaces a title that breaks one of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from robench.api.attacks.text import edits_allowed, edits_between, pieces, printable
from robench.api.errors import PluginError
from robench.api.title_rules import Unit
from robench.engine.attack.costs import Costs
from robench.engine.surfaces.text.stealth import Candidate, Stealth, words_allowed


@dataclass(frozen=True)
class TitleBudget:
    """The limits at ε on edits of titles.

    Args:
        genuine: the genuine titles.
        epsilon: the maximum number of edits as a share of the title's length.
        unit: the unit of edits, words or characters.
        stealth: the rules for titles, or None if the threat model has no such rules.
    """

    genuine: tuple[str, ...]
    epsilon: float
    unit: Unit
    stealth: Stealth | None = None

    @cached_property
    def limit(self) -> list[int]:
        """The maximum number of edits per title."""
        limits = [edits_allowed(title, self.epsilon, self.unit) for title in self.genuine]
        if self.stealth is None or self.unit == "characters":
            return limits
        return [min(limit, words_allowed(title)) for limit, title in zip(limits, self.genuine, strict=True)]

    def edits(self, titles: Sequence[str]) -> list[int]:
        """Returns the number of edits that turn each genuine title into the new title."""
        return [edits_between(old, new, self.unit) for old, new in zip(self.genuine, titles, strict=True)]

    def passes(self, candidates: Sequence[Candidate]) -> list[bool]:
        """Returns which titles are within the budget, are printable and obey the rules.

        Args:
            candidates: the titles. Each title has the index of its item.
        """
        plain = [(index, str.__str__(title)) for index, title in candidates]
        within = [
            edits_between(self.genuine[index], title, self.unit) <= self.limit[index] and printable(title)
            for index, title in plain
        ]
        if self.stealth is None:
            return within
        answers = iter(self.stealth.passes([one for one, inside in zip(plain, within, strict=True) if inside]))
        return [inside and next(answers) for inside in within]

    def enforce(self, proposal: Sequence[str], costs: Costs) -> list[str]:
        """Returns titles that are within the budget and records the overshoot.

        The genuine title replaces a title that is over budget, is not printable, has no edits or breaks a rule.

        Raises:
            PluginError: if the proposal is not a sequence of strings with one title per item.
        """
        if isinstance(proposal, str) or not isinstance(proposal, Collection):
            raise PluginError(f"the attack gave a {type(proposal).__name__}, not titles for {len(self.genuine)} items")
        if len(proposal) != len(self.genuine) or not all(isinstance(title, str) for title in proposal):
            raise PluginError(f"the attack gave {len(proposal)} titles for {len(self.genuine)} items, or not text")
        # The host reads each title once, and as plain text: a class of an attack may answer differently each time.
        titles = [str.__str__(title) for title in proposal]
        applied = []
        rows = zip(self.genuine, titles, self.limit, self.edits(titles), self.passes([*enumerate(titles)]), strict=True)
        for old, new, limit, edits, passes in rows:
            spent = edits if passes else max(edits, limit + 1)
            costs.note_overshoot(spent / limit if limit else float(spent > 0) * (1 + spent))
            applied.append(new if 0 < spent <= limit else old)
        return applied

    def achieved(self, titles: Sequence[str]) -> dict[str, float]:
        """Returns statistics of the edits, by name.

        The spent budget is given in edits and as a share of the title's length. Other statistics count added characters
        and changed titles. If there are rules for titles, statistics of these rules are included.
        """
        length = np.array([max(1, len(pieces(title, self.unit))) for title in self.genuine])
        edits = np.array(self.edits(titles))
        share = edits / length
        added = [max(0, len(new) - len(old)) for old, new in zip(self.genuine, titles, strict=True)]
        return {
            "epsilon": float(share.max(initial=0)),
            "epsilon_mean": float(share.mean()),
            "edits_max": float(edits.max(initial=0)),
            "edits_mean": float(edits.mean()),
            "characters_added_max": float(max(added, default=0)),
            "titles_changed": float((edits > 0).sum()),
            **({} if self.stealth is None else self.stealth.measure(titles)),
        }
