"""Finds the models and the defences with settings that ``robench tune`` searches.

A subject is a component of the suite with searched settings. A model is judged alone, without a defence. A defence is
judged on all models that the suite combines it with. The chosen settings are the same for all its λ and ε.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from robench.host.registry import Registry
from robench.spec import NO_DEFENSE, Cell, Part, TargetChoice, Victim
from robench.suite.trials import fixed_settings
from robench.tune.space import Axis, read_axes, with_settings

Settings = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Subject:
    """One component with settings to search.

    Args:
        kind: the kind of the component.
        label: the label in the suite.
        parts: the parts with this label. The parts of a defence differ in λ and ε.
        axes: the searched settings.
        cells: the clean cells on which the component is judged.
    """

    kind: Literal["model", "defense"]
    label: str
    parts: tuple[Part, ...]
    axes: Mapping[str, Axis]
    cells: tuple[Cell, ...]

    @property
    def part(self) -> Part:
        """The first part. All parts have the same name and the same searched settings."""
        return self.parts[0]

    def fixed(self) -> dict[str, Any]:
        """Returns the settings that are not searched, without λ and ε of a defence."""
        return fixed_settings(self.kind, self.part, self.axes)

    def part_with(self, part: Part, number: int, settings: Settings, registry: Registry) -> Part:
        """Returns one of the parts with the settings of a trial.

        Trial 0 uses the part as the suite gives it, so the fit may still choose a setting by validation.

        Args:
            part: one of ``parts``.
            number: the number of the trial.
            settings: the settings of the trial.
            registry: the plugins.

        Raises:
            UserError: if the component refuses the settings.
        """
        return part if number == 0 else with_settings(registry.class_of(self.kind, part.name), part, settings)

    def fits(self, number: int, settings: Settings, models: Mapping[str, Part], registry: Registry) -> list[Cell]:
        """Returns the clean cells of a trial with these settings.

        Args:
            number: the number of the trial.
            settings: the searched settings.
            models: the models with their chosen settings, by label.
            registry: the plugins.

        Raises:
            UserError: if the component refuses the settings.
        """
        cells = {}
        for cell in self.cells:
            victim = cell.victim
            if self.kind == "model":
                model = self.part_with(victim.model, number, settings, registry)
                victim = replace(victim, model=model, defense=NO_DEFENSE)
            else:
                defense = self.part_with(victim.defense, number, settings, registry)
                victim = replace(victim, model=models.get(victim.model.label, victim.model), defense=defense)
            new = replace(cell, victim=victim)
            cells[new.victim.id] = new
        return list(cells.values())


def find_subjects(cells: Iterable[Cell], seed: int, registry: Registry) -> list[Subject]:
    """Returns the subjects of a plan, models first.

    Args:
        cells: the cells of the plan.
        seed: the seed of every fit.
        registry: the plugins.

    Raises:
        UserError: if a plugin declares a search that cannot be read.
    """
    clean = [
        replace(cell, victim=_without_targets(cell.victim))
        for cell in cells
        if cell.attack is None and not cell.skip and cell.victim.poison is None and cell.victim.seed == seed
    ]
    subjects = []
    kinds: tuple[Literal["model", "defense"], ...] = ("model", "defense")
    for kind in kinds:
        groups: dict[str, list[Cell]] = {}
        for cell in clean:
            part: Part = getattr(cell.victim, kind)
            if part.content() != NO_DEFENSE.content():
                groups.setdefault(part.label, []).append(cell)
        for label, some in groups.items():
            parts = tuple({part.id: part for part in (getattr(cell.victim, kind) for cell in some)}.values())
            axes = read_axes(registry.class_of(kind, parts[0].name), parts[0])
            if axes:
                subjects.append(Subject(kind, label, parts, axes, tuple(some)))
    return subjects


def _without_targets(victim: Victim) -> Victim:
    return replace(victim, targets=TargetChoice(0, victim.targets.pick, 0))
