"""The knowledge that an attack with fake users states in its threat model."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

ModelKnowledge = Literal["none", "surrogate", "victim"]
PATTERN = r"users(-seen-(?P<seen>0\.\d+))?(?P<model>-surrogate|-victim)?"


@dataclass(frozen=True)
class Knowledge:
    """The knowledge of an attack with fake users.

    Attacks with different knowledge have different threat models.

    Args:
        data: the share of the real users whose training items the attack sees, in (0, 1].
        model: ``none`` if the attack knows nothing about the victim's model, ``surrogate`` if it may fit the victim's
            model and defence with different random numbers, and ``victim`` if it may fit them with the victim's own
            random numbers.
    """

    data: float = 1.0
    model: ModelKnowledge = "none"

    @property
    def norm(self) -> str:
        """The norm of the threat model, such as ``users-seen-0.2-surrogate``."""
        seen = "" if self.data == 1 else f"-seen-{self.data}"
        return f"users{seen}{'' if self.model == 'none' else f'-{self.model}'}"

    @classmethod
    def of(cls, norm: str) -> Knowledge | None:
        """Returns the knowledge that a norm states.

        The result is None if the norm does not count users.
        """
        parts = re.fullmatch(PATTERN, norm)
        if parts is None:
            return None
        data = 1.0 if parts["seen"] is None else float(parts["seen"])
        model: dict[str | None, ModelKnowledge] = {"-surrogate": "surrogate", "-victim": "victim"}
        return cls(data, model.get(parts["model"], "none"))
