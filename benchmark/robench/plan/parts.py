"""Creates the components of a suite for the other modules of this package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from robench.api.attacks.base import Attack
from robench.api.attacks.ensemble import Ensemble
from robench.api.component import Component
from robench.api.defense import Defense
from robench.api.models.base import Model
from robench.api.threat import Threat
from robench.host.registry import Registry
from robench.spec import Part
from robench.suite.load import Suite

C = TypeVar("C", bound=Component)


@dataclass(frozen=True)
class Planned(Generic[C]):
    """A part of a suite, with an instance of the component.

    Args:
        part: the part as the suite names it.
        component: an instance of the component with the settings of the part.
        own: whether robench itself offers the component. A component of another package can be neither the baseline
            nor the standard ensemble.
    """

    part: Part
    component: C
    own: bool

    @property
    def cls(self) -> type[C]:
        """The class of the component."""
        return type(self.component)


@dataclass(frozen=True)
class PlannedAttack(Planned[Attack]):
    """An attack of a suite, with the threat model and the budgets.

    Args:
        threat: the threat model of the attack.
        epsilons: the values of ε at which the suite measures the attack.
    """

    threat: Threat
    epsilons: tuple[float, ...]


@dataclass(frozen=True)
class PlannedParts:
    """The models, defences and attacks of a suite, in the order of the suite file."""

    models: tuple[Planned[Model], ...]
    defenses: tuple[Planned[Defense], ...]
    attacks: tuple[PlannedAttack, ...]


def make_parts(suite: Suite, registry: Registry) -> PlannedParts:
    """Creates the components for all models, defences and attacks in a suite.

    Raises:
        UserError: if no plugin or more than one plugin offers a component, or if the class of a component cannot be
            imported or is not valid.
    """
    attacks = []
    for entry in suite.attacks:
        attack, own = registry.make("attack", entry.part), registry.resolve("attack", entry.part.name).own
        attacks.append(PlannedAttack(entry.part, attack, own, attack.threat(), entry.epsilons))
    return PlannedParts(
        tuple(Planned(p, registry.make("model", p), registry.resolve("model", p.name).own) for p in suite.models),
        tuple(Planned(p, registry.make("defense", p), registry.resolve("defense", p.name).own) for p in suite.defenses),
        tuple(attacks),
    )


def is_baseline(model: Planned[Model]) -> bool:
    """Returns whether a model is the baseline that other models must beat."""
    return model.own and model.component.baseline


def is_standard(attack: Planned[Attack]) -> bool:
    """Returns whether an attack is the ensemble that ranks the rows of leaderboards."""
    return attack.own and isinstance(attack.component, Ensemble) and attack.component.standard
