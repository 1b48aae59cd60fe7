"""A suite -> victims -> cells. Pure: no data is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from robench.api.attack import Attack, EmbeddingAttack, Ensemble
from robench.api.defense import Defense
from robench.api.errors import UserError, UserErrors, counted, did_you_mean
from robench.api.history import HistoryAttack
from robench.api.model import Model
from robench.api.poisoning import Corruption, PoisoningAttack
from robench.api.text import TextAttack
from robench.registry import Registry
from robench.spec import PROTOCOL_VERSION, Cell, Part, Poison, TargetChoice, Victim
from robench.suite.expand import Expanded
from robench.suite.load import Suite
from robench.suite.yaml import dotted, scalar
from robench.wanted import tables_of

PLAN_VERSION = 1
MOST_NAMES = 40  # that a hint lists
# A key of ``exclude`` or ``--only`` matches any of these columns.
_SINGLE = [
    "dataset",
    "split",
    "model_label",
    "defense_label",
    "attack_label",
    "lambda",
    "train_epsilon",
    "epsilon",
    "seed",
    "surface",
    "norm",
    "stage",
    "goal",
    "target_set",
    "cell",
    "victim",
]
MATCHES: dict[str, tuple[str, ...]] = {
    **{name: (name, f"{name}_label") for name in ("model", "defense", "attack")},
    **{name: (name,) for name in _SINGLE},
}


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
    attacks = [(e, registry.load("attack", e.part.name)) for e in suite.attacks]
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
    model: type[Model] = registry.load("model", victim.model.name)
    defense: type[Defense] = registry.load("defense", victim.defense.name)
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


def defense_misfit(victim: Victim, model: type[Model], defense: type[Defense]) -> str:
    """Why a defence does not fit a model, or empty."""
    if defense.neural and not hasattr(model, "loss_from"):
        return f"{victim.model.name} is not neural, as {victim.defense.label} asks"
    if defense.overrides("clean_text") and "text" not in model.surfaces:
        return f"{victim.model.name} reads no texts that {victim.defense.label} could clean"
    if not defense.overrides("loss"):
        return ""
    if not hasattr(model, "loss_from"):
        return f"{victim.model.name} has no training loss that {victim.defense.label} could change"
    own_margins = any("margins_from" in base.__dict__ for base in model.__mro__ if base.__name__ != "TorchModel")
    if victim.defense.config.get("loss") == "hinge" and not own_margins:
        return f"{victim.model.name} has no margins_from, which the hinge loss of {victim.defense.label} needs"
    return ""


def _endless_warmups(suite: Suite, cells: Iterable[Cell], registry: Registry) -> list[UserError]:
    """Defences that would still be warming up when a model's training ends, once per defence and model."""
    errors = []
    victims = (cell.victim for cell in cells if not cell.skip)
    for defense, model in {(v.defense.label, v.model.label): (v.defense, v.model) for v in victims}.values():
        epochs, cls = model.config.get("epochs"), registry.load("defense", defense.name)
        if not cls.overrides("loss") or not isinstance(epochs, int):
            continue
        if cls(cls.Config.model_validate(dict(defense.config))).settled(epochs - 1):
            continue
        home = suite.homes["defense"][defense.label]
        path = next(filter(suite.tree.has, [(*home, "warmup"), (*home, "grid", "warmup")]), home)
        problem = f"{model.label} trains for {epochs} epochs, and {defense.label} is still warming up after them"
        hint = f"give it a warmup below {epochs}, or the model more epochs"
        errors.append(UserError(problem, where=suite.tree.place(path), path=dotted(path), hint=hint))
    return errors


def attack_misfit(part: Part, cls: type[Attack]) -> str:
    """Why this version cannot carry out an attack, or empty."""
    test = (EmbeddingAttack, HistoryAttack, TextAttack, Ensemble)
    able: tuple[type[Attack], ...] = test if cls.stage == "test" else (PoisoningAttack, Corruption)
    if issubclass(cls, able):
        return ""
    return f"this version measures no attack like {part.label} on '{cls.surface}' at {cls.stage} time"


def surface_misfit(part: Part, cls: type[Attack], threat: Mapping[str, Any], name: str, model: type[Model]) -> str:
    """Why an attack cannot touch a model, or empty. Args: threat: its ``surface`` and ``goal``."""
    surface, goal = threat["surface"], threat["goal"]
    if surface not in model.surfaces:
        return f"{name} has no surface '{surface}' for {part.label}"
    if getattr(cls, "instructs", False) and not model.follows:
        return f"{name} answers no prompt, so {part.label} has nobody to instruct"
    if cls.gradient and not hasattr(model, "loss_from"):
        return f"{name} has no gradient for {part.label}"
    if cls.gradient and surface == "text" and goal not in (goals := getattr(model, "token_goals", ())):
        only = f" but to {' or '.join(goals)}" if goals else ""
        return f"{name} offers no gradient by its tokens for {part.label}{only}"
    if surface == "parameters" and not getattr(model, "tables", ()):
        return f"{name} declares no tables for {part.label}"
    return ""


def skip_notes(reasons: Iterable[str]) -> list[str]:
    """Why cells are skipped, a line per reason with its count; empty reasons are cells that are not."""
    return [f"skipped: {counted(count, 'cell')}: {reason}" for reason, count in Counter(filter(None, reasons)).items()]


def _threat(part: Part, cls: type[Attack]) -> dict[str, Any]:
    return cls(cls.Config.model_validate(dict(part.config))).threat().as_dict()


def matcher(conditions: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a cell's columns match every key; a list means any of its values."""

    def matches(columns: Mapping[str, Any]) -> bool:
        for key, wanted in conditions.items():
            values = wanted if isinstance(wanted, list) else [wanted]
            if not any(columns[name] == value for name in MATCHES[key] for value in values):
                return False
        return True

    return matches


def _without_excluded(suite: Suite, cells: list[Cell], errors: list[UserError]) -> list[Cell]:
    for index, conditions in enumerate(suite.exclude):
        path: tuple[str | int, ...] = ("exclude", index)
        place = suite.tree.place(path)
        unknown = [key for key in conditions if key not in MATCHES]
        if unknown or not conditions:
            for key in unknown:
                hint = did_you_mean(key, MATCHES)
                errors.append(UserError(f"unknown key '{key}'", where=place, path=f"exclude[{index}]", hint=hint))
            if not conditions:
                errors.append(
                    UserError("an empty entry would exclude everything", where=place, path=f"exclude[{index}]")
                )
            continue
        matches = matcher(conditions)
        kept = [cell for cell in cells if not matches(cell.columns())]
        if len(kept) == len(cells):
            text = ", ".join(f"{key}: {value}" for key, value in conditions.items())
            hint = "it may be covered by an entry above, or a name may be misspelt"
            errors.append(UserError(f"no cell matches {{{text}}}", where=place, path=f"exclude[{index}]", hint=hint))
        cells = kept
    return cells


def chosen(cells: Sequence[Cell], conditions: Sequence[str]) -> list[Cell]:
    """The cells that ``--only`` means, and the clean cells that tables need beside them; all without a condition.

    Args:
        conditions: ``["model=mf", "seed=0"]``. A cell matches all keys; several values of one key mean any of them.

    Raises:
        UserError: not ``key=value``, an unknown key, a value that no cell has, or nothing is left.
    """
    if not conditions:
        return list(cells)
    columns = {cell.id: cell.columns() for cell in cells}
    wanted: dict[str, Any] = {}
    for condition in conditions:
        key, equals, value = condition.partition("=")
        path = f"--only {condition}"
        if not equals:
            raise UserError("a filter is written key=value", path=path)
        if key not in MATCHES:
            raise UserError(f"unknown key '{key}'", path=path, hint=did_you_mean(key, MATCHES))
        values = [scalar(value), value]  # as text too: an id or a label may look like a number
        if not any(map(matcher({key: values}), columns.values())):
            known = {_text(c[name]) for c in columns.values() for name in MATCHES[key]} - {""}
            hint = did_you_mean(value, known) if len(known) < MOST_NAMES else ""
            raise UserError(f"no cell has {key} '{value}'", path=path, hint=hint)
        wanted.setdefault(key, []).extend(values)
    matches = matcher(wanted)
    found = {cell.id for cell in cells if matches(columns[cell.id])}
    if not found:
        raise UserError("no cell matches all of them", path=" ".join(f"--only {c}" for c in conditions))
    twins = {_twin(cell) for cell in cells if cell.id in found}
    clean = {c.id for c in cells if c.attack is None and c.victim.poison is None and _twin(c) in twins}
    return [cell for cell in cells if cell.id in found | clean]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else "" if value is None else str(value)


def _twin(cell: Cell) -> str:
    """The unpoisoned victim of a cell."""
    return replace(cell.victim, poison=None).id
