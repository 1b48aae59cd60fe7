"""Enforces ε on edits of titles.

The genuine title replaces a title that is over budget, is not printable or has no edits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from robench.api.attacks.text import Unit, edits_allowed, edits_between, pieces, printable
from robench.api.errors import PluginError
from robench.engine.attack.costs import Costs


@dataclass(frozen=True)
class TitleBudget:
    """The limits at ε on edits of titles.

    Args:
        genuine: the genuine titles.
        epsilon: the largest number of edits as a share of the title's length.
        unit: the unit of edits, words or characters.
    """

    genuine: tuple[str, ...]
    epsilon: float
    unit: Unit

    @cached_property
    def limit(self) -> list[int]:
        """The largest allowed number of edits per title."""
        return [edits_allowed(title, self.epsilon, self.unit) for title in self.genuine]

    def edits(self, titles: Sequence[str]) -> list[int]:
        """Returns the number of edits that turn each genuine title into the new title."""
        return [edits_between(old, new, self.unit) for old, new in zip(self.genuine, titles, strict=True)]

    def enforce(self, proposal: Sequence[str], costs: Costs) -> list[str]:
        """Returns titles that are within the budget, and records the overshoot.

        The genuine title replaces a title that is over budget, is not printable or has no edits.

        Raises:
            PluginError: if the proposal is not a sequence of strings with one title per item.
        """
        texts = not isinstance(proposal, str) and all(isinstance(title, str) for title in proposal)
        if not texts or len(proposal) != len(self.genuine):
            raise PluginError(f"the attack gave {len(proposal)} titles for {len(self.genuine)} items, or not text")
        applied = []
        for old, new, limit, edits in zip(self.genuine, proposal, self.limit, self.edits(proposal), strict=True):
            spent = edits if printable(new) else max(edits, limit + 1)
            costs.note_overshoot(spent / limit if limit else float(spent > 0) * (1 + spent))
            applied.append(new if 0 < spent <= limit else old)
        return applied

    def achieved(self, titles: Sequence[str]) -> dict[str, float]:
        """Returns statistics of the edits, by name.

        The spent budget is given in edits and as a share of the title's length. Further numbers count added characters
        and changed titles.
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
        }
