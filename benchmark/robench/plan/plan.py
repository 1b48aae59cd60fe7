"""Turns a suite into victims, cells and tables, without reading any data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product

from robench.api.attacks.poisoning import VICTIM, PoisoningAttack
from robench.api.codec import encode
from robench.api.defense import Defense
from robench.api.errors import UserError, UserErrors
from robench.api.metric import Measure
from robench.api.models.base import Model
from robench.host.registry import Registry
from robench.plan.filters import without_excluded
from robench.plan.misfits import (
    find_attack_misfit,
    find_defense_misfit,
    find_endless_warmups,
    find_membership_misfit,
    find_poisoning_misfit,
    find_split_misfit,
    find_surface_misfit,
)
from robench.plan.parts import Planned, PlannedAttack, PlannedParts, is_baseline, is_standard, make_parts
from robench.plan.tables import plan_tables
from robench.spec import CLEANING_VERSION, PROTOCOL_VERSION, Cell, Poison, TargetChoice, Victim
from robench.store.plan_file import PLAN_VERSION, PlanFile, PlannedTable, PlannedTuning
from robench.suite.load import Suite


@dataclass(frozen=True)
class Plan:
    """The cells and the tables that a suite expects.

    Args:
        suite: the name of the suite.
        cells: the cells, in order.
        metrics: the names of the measures, such as ``ndcg@10``.
        ranking: the tables.
        targets: the number, the size and the kind of the target sets.
        seeds: the seeds.
        excluded: the number of cells that the suite's key ``exclude`` removed.
        tuned: the search by which the settings were chosen, or None if the suite names no such search.
    """

    suite: str
    cells: tuple[Cell, ...]
    metrics: tuple[str, ...]
    ranking: tuple[PlannedTable, ...]
    targets: TargetChoice
    seeds: tuple[int, ...]
    excluded: int = 0
    tuned: PlannedTuning | None = None

    def on_data(self, digests: Iterable[str]) -> Plan:
        """Returns the plan for a run on data with these digests.

        If settings were chosen on different data, their components do not count as tuned.
        """
        return self if self.tuned is None else replace(self, tuned=self.tuned.on_data(digests))

    def to_json(self) -> Mapping[str, object]:
        """Returns the part of plan.json that does not depend on the data."""
        file = PlanFile(
            PLAN_VERSION,
            self.suite,
            max(cell.victim.protocol for cell in self.cells),
            tuple(map(Measure.parse, self.metrics)),
            self.ranking,
            self.targets,
            self.seeds,
            tuple(cell.row() for cell in self.cells),
            tuned=self.tuned,
        )
        content: Mapping[str, object] = encode(file)
        return content


def make_plan(suite: Suite, registry: Registry) -> Plan:
    """Plans the cells and the tables of a suite.

    The cells are ordered by data set, model, defence, seed, poisoning, attack and ε.

    Raises:
        UserError: if ``exclude`` removes all cells, or if a component cannot be created.
        UserErrors: if an entry of ``exclude`` is wrong or matches no cell, if an entry of ``ranking`` gives no table,
            or if training ends during a warm-up.
    """
    parts = make_parts(suite, registry)
    cells: dict[str, Cell] = {}
    for cell in _cells(suite, parts):
        cells.setdefault(cell.id, cell)
    errors: list[UserError] = []
    remaining = without_excluded(suite, list(cells.values()), errors)
    if not remaining and not errors:
        raise UserError("no cell of the suite is left", where=suite.tree.place(("exclude",)), path="exclude")
    errors += find_endless_warmups(suite, remaining, parts)
    ranking = plan_tables(suite, remaining, registry, errors)
    if errors:
        raise UserErrors(errors)
    excluded = len(cells) - len(remaining)
    tuned = None if suite.tuning is None else suite.tuning.planned
    return Plan(suite.name, tuple(remaining), suite.metrics, ranking, suite.targets, suite.seeds, excluded, tuned)


def _cells(suite: Suite, parts: PlannedParts) -> Iterable[Cell]:
    # Without targeted attacks or attacks on training data, no targets are planned: a catalogue may be too small.
    promotes = any(attack.threat.stage == "train" or attack.threat.goal != "untargeted" for attack in parts.attacks)
    targets = suite.targets if promotes else TargetChoice(0, suite.targets.pick, 0)
    for dataset, model, defense, seed in product(suite.datasets, parts.models, parts.defenses, suite.seeds):
        protocol = CLEANING_VERSION if defense.cls.overrides("sanitise") else PROTOCOL_VERSION
        parts_of_victim = dataset, suite.split, model.part, defense.part
        victim = Victim(*parts_of_victim, seed, suite.threads, targets, protocol=protocol)
        yield from _test_cells(suite, victim, model, defense, parts.attacks)
        for attack in parts.attacks:
            if attack.component.stage == "train":
                yield from _poisoned_cells(suite, victim, model, defense, attack)


def _test_cells(
    suite: Suite, victim: Victim, model: Planned[Model], defense: Planned[Defense], attacks: Iterable[PlannedAttack]
) -> Iterable[Cell]:
    """Yields a victim's clean cell, and the cells under attacks at test time."""
    misfit = find_split_misfit(model, victim.split) or find_defense_misfit(model, defense)
    baseline = is_baseline(model)
    yield Cell(victim, users=suite.users, skip=misfit, baseline=baseline)
    for attack in attacks:
        if attack.component.stage != "test":
            continue
        skip = misfit or find_attack_misfit(attack) or find_membership_misfit(attack, model, victim.split)
        skip = skip or find_surface_misfit(attack, model)
        sets: list[int | None] = [None] if attack.threat.goal == "untargeted" else list(range(suite.targets.sets))
        for epsilon, number in product(attack.epsilons, sets):
            yield Cell(
                victim,
                attack.part,
                epsilon,
                suite.users,
                attack.threat,
                attack.component.adaptivity(),
                skip,
                attack.component.kind(),
                number,
                baseline,
                is_standard(attack),
            )


def _poisoned_cells(
    suite: Suite, clean: Victim, model: Planned[Model], defense: Planned[Defense], attack: PlannedAttack
) -> Iterable[Cell]:
    """Yields one cell for each poisoned version of a victim."""
    skip = find_split_misfit(model, clean.split) or find_defense_misfit(model, defense)
    skip = skip or find_attack_misfit(attack) or find_poisoning_misfit(attack, model)
    # An untargeted attack has no target items. More target sets would only repeat the same victim.
    sets = range(1 if attack.threat.goal == "untargeted" else suite.targets.sets)
    for epsilon, number in product(attack.epsilons, sets):
        victim = replace(clean, poison=Poison(attack.part, epsilon, number))
        yield Cell(
            victim,
            users=suite.users,
            threat=attack.threat,
            adaptive=attack.component.adaptivity(),
            skip=skip,
            baseline=is_baseline(model),
            surrogate=name_surrogate(attack, clean),
        )


def name_surrogate(attack: PlannedAttack, victim: Victim) -> str:
    """Returns the name of an attack's surrogate for a victim, or an empty string."""
    if not isinstance(attack.component, PoisoningAttack):
        return ""
    named = attack.component.surrogate
    return victim.model.name if named == VICTIM else named
