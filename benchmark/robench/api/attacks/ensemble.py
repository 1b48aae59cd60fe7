"""The base class of attack ensembles, and the members of an ensemble."""

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
        attack: an attack of the ensemble's own threat model.
        everyone: whether the member runs on every user to be broken, so that members can be compared. Otherwise the
            member runs only on users that no earlier member has broken.
    """

    name: str
    attack: Attack
    everyone: bool = False


class Ensemble(Attack):
    """A fixed list of attacks that counts, for each user, the worst outcome.

    The host runs the members in order and skips users that are already broken. For each member, the host reports the
    cost and the share of users that this member broke first. ``Config`` must have a field ``version``, which tables
    show.

    Attributes:
        standard: whether this is the ensemble by which leaderboards are ranked. Only robench's own ensemble is
            standard.
    """

    stage: ClassVar[Stage] = "test"
    standard: ClassVar[bool] = False

    @classmethod
    def kind(cls) -> Kind:
        """Returns ``ensemble``."""
        return "ensemble"

    @abstractmethod
    def members(self, *, gradients: bool, stochastic: bool) -> Sequence[Member]:
        """Returns the members in the order in which they run, cheap members first.

        Args:
            gradients: whether the victim has gradients with respect to its inputs.
            stochastic: whether the victim's scores differ between two evaluations of the same inputs.
        """
