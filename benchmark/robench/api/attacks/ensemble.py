"""TODO-DOC."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from robench.api.threat import Stage

if TYPE_CHECKING:
    pass
from robench.api.attacks.base import Attack, Kind


@dataclass(frozen=True)
class Member:
    """One attack of an ensemble.

    Args:
        name: as it is reported.
        attack: of the ensemble's own threat model.
        everyone: run on every user to be broken, whatever members before it did (so that members can be compared);
            else only on those who still stand.
    """

    name: str
    attack: Attack
    everyone: bool = False


class Ensemble(Attack):
    """A fixed list of attacks; per user the worst outcome over the members.

    The host runs the members in order, stops for users who are broken, and reports every member's share of first
    breaks and its cost. ``Config`` carries a ``version``, which so stands in every record.
    """

    stage: ClassVar[Stage] = "test"

    @classmethod
    def kind(cls) -> Kind:
        """An ensemble."""
        return "ensemble"

    @abstractmethod
    def members(self, *, gradients: bool, stochastic: bool) -> Sequence[Member]:
        """The attacks, in the order in which they break users first; cheap ones before dear ones.

        Args:
            gradients: whether the victim has gradients by its inputs.
            stochastic: whether two looks at the victim's scores differ.
        """
