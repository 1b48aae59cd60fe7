"""The rules for edits of histories, which are a part of the threat model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Place = Literal["anywhere", "end"]
PATTERN = r"edits(?P<end>-at-end)?(-plausible-(?P<plausible>0\.\d+))?(?P<white>-white-box)?"


@dataclass(frozen=True)
class EditRules:
    """The rules that edits of a history must obey, in addition to the budget.

    Args:
        place: ``anywhere``, or ``end`` if items may only be inserted after the last item.
        plausible: the quantile that sets how often an inserted item must co-occur with the history, or None if any item
            may be inserted. The quantile is between 0 and 1, and is taken over genuine next items.
        white_box: whether the attacker may use gradients.
    """

    place: Place = "anywhere"
    plausible: float | None = None
    white_box: bool = False

    @property
    def norm(self) -> str:
        """The norm of the threat model, such as ``edits-at-end-plausible-0.1``."""
        end = "-at-end" if self.place == "end" else ""
        plausible = "" if self.plausible is None else f"-plausible-{self.plausible}"
        return f"edits{end}{plausible}{'-white-box' if self.white_box else ''}"

    @classmethod
    def of(cls, norm: str) -> EditRules | None:
        """Returns the rules that a norm states, or None if the norm does not count edits."""
        parts = re.fullmatch(PATTERN, norm)
        if parts is None:
            return None
        plausible = None if parts["plausible"] is None else float(parts["plausible"])
        return cls("end" if parts["end"] else "anywhere", plausible, bool(parts["white"]))
