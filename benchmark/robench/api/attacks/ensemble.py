"""The base class of ensembles, and the class of their members."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from robench.api.attacks.base import Attack, Kind
from robench.api.threat import Stage


@dataclass(frozen=True)
class Member:
    """One attack of an ensemble.

    Args:
        name: the name of the member in records and tables.
        attack: the attack, which must have the threat model of the ensemble.
        everyone: whether the member runs on every user that the ensemble attacks, so that members can be compared.
            Otherwise, the host may skip users that an earlier member has broken.
    """

    name: str
    attack: Attack
    everyone: bool = False


class Ensemble(Attack):
    """A fixed list of attacks that is judged by the worst outcome.

    If every user has a separate perturbation, the worst outcome is taken per user. Later members may then skip users
    that are already broken, and the host counts the users that each member broke first. ``Config`` must have a field
    ``version``, which tables show.

    Attributes:
        standard: whether leaderboards are ranked by this ensemble. Only an ensemble of robench itself can be standard.
    """

    stage: ClassVar[Stage] = "test"
    standard: ClassVar[bool] = False

    @classmethod
    def kind(cls) -> Kind:
        """Returns ``ensemble``."""
        return "ensemble"

    @abstractmethod
    def members(self, *, gradients: bool, stochastic: bool) -> Sequence[Member]:
        """Returns the members in the order in which they run.

        Cheap members should come first, so that costly members can skip users that are already broken.

        Args:
            gradients: whether the victim has gradients with respect to its inputs.
            stochastic: whether the victim's scores differ between two evaluations of the same inputs.
        """
