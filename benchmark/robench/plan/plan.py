"""A suite -> victims -> cells. Pure: no data is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from robench.api.attacks.base import Attack
from robench.api.attacks.poisoning import Corruption
from robench.api.defense import Defense
from robench.api.errors import UserError, UserErrors
from robench.api.models.base import Model
from robench.host.registry import Registry
from robench.plan.filters import _without_excluded
from robench.plan.misfits import _endless_warmups, attack_misfit, defense_misfit, surface_misfit
from robench.plan.tables import tables_of
from robench.spec import PROTOCOL_VERSION, Cell, Part, Poison, TargetChoice, Victim
from robench.suite.expand import Expanded
from robench.suite.load import Suite

PLAN_VERSION = 1


@dataclass(frozen=True)
class Plan:
    """Every cell of a suite in order, and the tables that are wanted. ``excluded``: cells that ``exclude`` removed."""

    suite: str
    cells: tuple[Cell, ...]
    metrics: tuple[str, ...]
    ranking: tuple[dict[str, Any], ...]
    targets: TargetChoice
    seeds: tuple[int, ...]
    excluded: int = 0

    def to_json(self) -> dict[str, Any]:
        """plan.json: what tables need besides the records."""
        return {
            "format_version": PLAN_VERSION,
            "suite": self.suite,
            "protocol_version": PROTOCOL_VERSION,
            "metrics": list(self.metrics),
            "ranking": list(self.ranking),
            "targets": self.targets.content(),
            "seeds": list(self.seeds),
            "cells": [
                {**cell.columns(), "status": "skipped" if cell.skip else "planned", "reason": cell.skip}
                for cell in self.cells
            ],
        }


def make_plan(suite: Suite, registry: Registry) -> Plan:
    """Cells in the order data set, model, defence, seed, poisoning, attack, ε.

    Raises:
        UserErrors: an ``exclude`` entry that matches nothing, a ``ranking`` entry that means no threat of the suite, a
            warm-up as long as the training.
    """
    attacks = [(e, registry.class_of("attack", e.part.name)) for e in suite.attacks]
    cells: dict[str, Cell] = {}
    for victim in _victims(suite, attacks):
        for cell in _cells(suite, victim, attacks, registry):
            cells.setdefault(cell.id, cell)
    errors: list[UserError] = []
    kept = _without_excluded(suite, list(cells.values()), errors)
    if not kept and not errors:
        raise UserError("nothing is left of the suite", where=suite.tree.place(("exclude",)), path="exclude")
    errors += _endless_warmups(suite, kept, registry)
    ranking = tables_of(suite, kept, registry, errors)
    if errors:
        raise UserErrors(errors)
    excluded = len(cells) - len(kept)
    return Plan(suite.name, tuple(kept), suite.metrics, ranking, suite.targets, suite.seeds, excluded)


def _victims(suite: Suite, attacks: Sequence[tuple[Expanded, type[Attack]]]) -> Iterable[Victim]:
    poisons: list[Poison | None] = [None]
    # Where nothing is promoted a small catalogue needs no target items.
    promoted = any(cls.stage == "train" or _threat(e.part, cls)["goal"] != "untargeted" for e, cls in attacks)
    targets = suite.targets if promoted else TargetChoice(0, suite.targets.pick, 0)
    for entry, cls in attacks:
        if cls.stage == "train":
            # A corruption aims at no item: more target sets would only fit the same victim again.
            sets = range(1 if issubclass(cls, Corruption) else suite.targets.sets)
            poisons += [Poison(entry.part, epsilon, number) for epsilon in entry.epsilons for number in sets]
    for dataset in suite.datasets:
        for model in suite.models:
            for defense in suite.defenses:
                for seed in suite.seeds:
                    for poison in poisons:
                        yield Victim(dataset, suite.split, model, defense, seed, suite.threads, targets, poison)


def _cells(
    suite: Suite, victim: Victim, attacks: Sequence[tuple[Expanded, type[Attack]]], registry: Registry
) -> Iterable[Cell]:
    model: type[Model] = registry.class_of("model", victim.model.name)
    defense: type[Defense] = registry.class_of("defense", victim.defense.name)
    misfit = defense_misfit(victim, model, defense)
    if victim.poison is not None:
        cls = next(c for e, c in attacks if e.part is victim.poison.attack)
        skip = misfit or attack_misfit(victim.poison.attack, cls)
        yield Cell(victim, None, 0.0, suite.users, _threat(victim.poison.attack, cls), cls.adaptive, skip)
        return
    yield Cell(victim, None, 0.0, suite.users, {}, "", misfit)
    for entry, cls in attacks:
        if cls.stage != "test":
            continue
        threat = _threat(entry.part, cls)
        skip = (
            misfit
            or attack_misfit(entry.part, cls)
            or surface_misfit(entry.part, cls, threat, victim.model.name, model)
        )
        sets: list[int | None] = [None] if threat["goal"] == "untargeted" else list(range(suite.targets.sets))
        for epsilon in entry.epsilons:
            for number in sets:
                yield Cell(victim, entry.part, epsilon, suite.users, threat, cls.adaptive, skip, cls.kind(), number)


def _threat(part: Part, cls: type[Attack]) -> dict[str, Any]:
    return cls(cls.Config.model_validate(dict(part.config))).threat().as_dict()
