"""A suite -> victims -> cells. Pure: no data is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from robench.api.attack import Attack, Corruption, EmbeddingAttack, MinimumNormAttack, PoisoningAttack
from robench.api.defense import Defense
from robench.api.errors import UserError, UserErrors, did_you_mean
from robench.api.metric import Metric
from robench.api.model import Model
from robench.registry import Registry
from robench.spec import PROTOCOL_VERSION, Cell, Part, Poison, TargetChoice, UserSample, Victim
from robench.suite.expand import Expanded
from robench.suite.load import Suite
from robench.suite.schema import RankingEntry
from robench.suite.yaml import scalar

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
        UserErrors: an ``exclude`` entry that matches nothing, a ``ranking`` entry that means no threat of the suite.
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
    ranking = _ranking(suite, kept, registry, errors)
    if errors:
        raise UserErrors(errors)
    excluded = len(cells) - len(kept)
    return Plan(suite.name, tuple(kept), suite.metrics, ranking, suite.targets, suite.seeds, excluded)


def _victims(suite: Suite, attacks: Sequence[tuple[Expanded, type[Attack]]]) -> Iterable[Victim]:
    poisons: list[Poison | None] = [None]
    # Without an attack on training data nothing is promoted, and a small catalogue needs no target items.
    poisoned = any(cls.stage == "train" for _, cls in attacks)
    targets = suite.targets if poisoned else TargetChoice(0, suite.targets.pick, 0)
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
        skip = misfit or attack_misfit(entry.part, cls)
        if not skip and cls.surface not in model.surfaces:
            skip = f"{victim.model.name} has no surface '{cls.surface}' for {entry.part.label}"
        for epsilon in entry.epsilons:
            threat = _threat(entry.part, cls)
            yield Cell(victim, entry.part, epsilon, suite.users, threat, cls.adaptive, skip, kind_of(cls))


def kind_of(cls: type[Attack]) -> str:
    """What an attack is to the flags; see ``Cell.kind``."""
    if issubclass(cls, MinimumNormAttack):
        return "minimum-norm"
    return "gradient" if cls.gradient else "floor" if cls.heuristic_floor else ""


def defense_misfit(victim: Victim, model: type[Model], defense: type[Defense]) -> str:
    """Why a defence does not fit a model, or empty."""
    if not defense.overrides("loss"):
        return ""
    if not hasattr(model, "loss_from"):
        return f"{victim.model.name} has no training loss that {victim.defense.label} could change"
    own_margins = any("margins_from" in base.__dict__ for base in model.__mro__ if base.__name__ != "TorchModel")
    if victim.defense.config.get("loss") == "hinge" and not own_margins:
        return f"{victim.model.name} has no margins_from, which the hinge loss of {victim.defense.label} needs"
    return ""


def attack_misfit(part: Part, cls: type[Attack]) -> str:
    """Why this version cannot carry out an attack, or empty."""
    able: tuple[type[Attack], ...] = (EmbeddingAttack,) if cls.stage == "test" else (PoisoningAttack, Corruption)
    if issubclass(cls, able):
        return ""
    return f"this version measures no attack like {part.label} on '{cls.surface}' at {cls.stage} time"


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


def _ranking(
    suite: Suite, cells: Sequence[Cell], registry: Registry, errors: list[UserError]
) -> tuple[dict[str, Any], ...]:
    """The tables: as asked for, or one per threat model at its largest ε."""
    threats = {_key(cell.threat): cell for cell in cells if cell.threat}
    if suite.ranking is None:
        tables = []
        for cell in threats.values():
            same = [c for c in cells if c.threat == cell.threat]
            largest = max(c.columns()["epsilon"] for c in same)
            metric = "t-hr@10" if cell.threat["goal"] != "untargeted" else "ndcg@10"
            if metric in suite.metrics:
                tables.append({**cell.threat, "metric": metric, "epsilon": largest})
        return tuple(tables)
    found = []
    for index, entry in enumerate(suite.ranking):
        meant = [cell.threat for cell in threats.values() if _fits(entry, cell.threat)]
        problem = ""
        if not meant:
            known = "; ".join(sorted(_in_words(cell.threat) for cell in threats.values())) or "none"
            problem = f"no attack of this suite has this threat model (it has: {known})"
        elif len(meant) > 1:
            problem = f"several threat models are meant: {'; '.join(map(_in_words, meant))}"
        elif not any(c.threat == meant[0] and c.columns()["epsilon"] <= entry.epsilon for c in cells):
            problem = f"no cell has ε ≤ {entry.epsilon:g}"
        elif meant[0]["stage"] == "test" and _needs_targets(entry.metric, registry):
            problem = (
                f"'{entry.metric}' is measured on clean cells and poisoned victims, not under attacks at test time"
            )
        if problem:
            errors.append(UserError(problem, where=suite.tree.place(("ranking", index)), path=f"ranking[{index}]"))
        else:
            found.append({**meant[0], "metric": entry.metric, "epsilon": entry.epsilon})
    return tuple(found)


def _needs_targets(metric: str, registry: Registry) -> bool:
    cls: type[Metric] = registry.load("metric", metric.partition("@")[0])
    return cls.needs == "targets"


def _key(threat: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(sorted(threat.items()))


def _in_words(threat: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {threat[name]}" for name in ("surface", "stage", "norm", "scale", "goal", "k"))


def _fits(entry: RankingEntry, threat: Mapping[str, Any]) -> bool:
    wanted = entry.model_dump(include={"surface", "stage", "norm", "scale", "goal", "k"}, exclude_none=True)
    return all(threat[name] == value for name, value in wanted.items())


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


def cell_to_payload(cell: Cell) -> dict[str, Any]:
    """Plain data that can travel to a worker."""
    return asdict(cell)


def victim_from_payload(payload: Mapping[str, Any]) -> Victim:
    """The victim of ``dataclasses.asdict``; its id is the same."""
    poison = payload["poison"]
    return Victim(
        Part(**payload["dataset"]),
        Part(**payload["split"]),
        Part(**payload["model"]),
        Part(**payload["defense"]),
        payload["seed"],
        payload["threads"],
        TargetChoice(**payload["targets"]),
        poison and Poison(Part(**poison["attack"]), poison["epsilon"], poison["target_set"]),
    )


def cell_from_payload(payload: Mapping[str, Any]) -> Cell:
    """The cell of ``cell_to_payload``; its id is the same."""
    attack, users = payload["attack"], payload["users"]
    return Cell(
        victim_from_payload(payload["victim"]),
        attack and Part(**attack),
        payload["epsilon"],
        users and UserSample(**users),
        payload["threat"],
        payload["adaptive"],
        payload["skip"],
        payload["kind"],
    )
