"""What a suite measures, as frozen data: parts, victims, cells and their ids. Every package uses it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from robench.api.threat import Threat

PROTOCOL_VERSION = 1  # of the measurement itself: raise it when equal specs would no longer give equal numbers
Content = dict[str, object]  # plain data from which an id is made


def digest(content: object, length: int = 16) -> str:
    """Returns the hex digest of plain data, taken over its canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


@dataclass(frozen=True)
class Part:
    """One configured component of a suite.

    Args:
        name: the identity of the component, see ``Registry.identity``.
        config: resolved settings, defaults spelled out, JSON types. λ is under ``lambda``; ε of an attack is not here.
        label: its name in tables.
        passed: the settings that the suite's author wrote.
        owner: ``distribution:entry`` of the plugin.
    """

    name: str
    config: Mapping[str, Any]
    label: str
    passed: Mapping[str, Any] = field(default_factory=dict)
    owner: str = ""

    def content(self) -> Content:
        """Returns the data that identifies the part."""
        return {"name": self.name, "config": dict(self.config)}


NO_DEFENSE = Part("none", {}, "none")  # the default defence, which overrides nothing


@dataclass(frozen=True)
class TargetChoice:
    """Which items are promoted: ``sets`` disjoint draws of ``count`` items."""

    count: int = 5
    pick: str = "unpopular"
    sets: int = 1

    def content(self) -> Content:
        """Returns the data that identifies the choice."""
        return {"count": self.count, "pick": self.pick, "sets": self.sets}


@dataclass(frozen=True)
class UserSample:
    """A seeded sample of ``sample`` users; only they are evaluated."""

    sample: int
    seed: int = 0

    def content(self) -> Content:
        """Returns the data that identifies the sample."""
        return {"sample": self.sample, "seed": self.seed}


@dataclass(frozen=True)
class Poison:
    """An attack on the training data at one ε, for one target set."""

    attack: Part
    epsilon: float
    target_set: int

    def content(self) -> Content:
        """Returns the data that identifies the poisoning."""
        return {"attack": self.attack.content(), "epsilon": self.epsilon, "target_set": self.target_set}


@dataclass(frozen=True)
class Victim:
    """One fitted model: data, split, poisoning or none, model, defence and seed."""

    dataset: Part
    split: Part
    model: Part
    defense: Part
    seed: int
    threads: int
    targets: TargetChoice
    poison: Poison | None = None

    def content(self) -> Content:
        """Returns the data that identifies the victim. Target sets matter to the fit only if they are poisoned."""
        return {
            "dataset": self.dataset.content(),
            "split": self.split.content(),
            "model": self.model.content(),
            "defense": self.defense.content(),
            "seed": self.seed,
            "threads": self.threads,
            "poison": None if self.poison is None else {**self.poison.content(), "targets": self.targets.content()},
            "protocol": PROTOCOL_VERSION,
        }

    @cached_property
    def id(self) -> str:
        """16 hex digits."""
        return digest(self.content())

    @property
    def strength(self) -> tuple[float, float | None]:
        """λ and the training ε of the defence: (1.0, None) if it has neither."""
        epsilon = self.defense.config.get("epsilon")
        return float(self.defense.config.get("lambda", 1.0)), None if epsilon is None else float(epsilon)


@dataclass(frozen=True)
class Cell:
    """One measurement of one victim: clean, or under one attack at one ε.

    Args:
        victim: the model that is measured.
        attack: an attack at test time; None for a clean cell and for a poisoned victim.
        epsilon: the budget of ``attack``.
        users: who is evaluated; None for all users.
        threat: the threat model of the attack or the poisoning; None for a clean cell.
        adaptive: whether the attack is made against this victim, see ``Attack.adaptive``.
        skip: why the cell cannot be measured, or empty.
        kind: what an attack at test time is to the flags, see ``Attack.kind``.
        target_set: the number of the target set that an attack at test time promotes.
        baseline: the model is the line that other models must clear.
        standard: the attack is the ensemble by which leaderboards are published.
    """

    victim: Victim
    attack: Part | None = None
    epsilon: float = 0.0
    users: UserSample | None = None
    threat: Threat | None = None
    adaptive: str = ""
    skip: str = ""
    kind: str = ""
    target_set: int | None = None
    baseline: bool = False
    standard: bool = False

    def content(self) -> Content:
        """Returns the data that identifies the cell. A clean cell also measures the target items."""
        targets = self.victim.targets.content() if self.attack is None or self.target_set is not None else None
        return {
            "victim": self.victim.content(),
            "attack": None if self.attack is None else self.attack.content(),
            "epsilon": self.epsilon,
            "users": None if self.users is None else self.users.content(),
            "targets": targets if self.target_set is None else {**(targets or {}), "set": self.target_set},
        }

    @cached_property
    def id(self) -> str:
        """16 hex digits."""
        return digest(self.content())

    @property
    def budget(self) -> float:
        """ε of the attack or of the poisoning; 0 for a clean cell."""
        return self.epsilon if self.victim.poison is None else self.victim.poison.epsilon

    def columns(self) -> dict[str, Any]:
        """Returns the cell's columns of cells.csv and plan.json. The attack of a poisoned victim is its poisoning."""
        v, poison, threat = self.victim, self.victim.poison, self.threat
        attack = poison.attack if poison is not None else self.attack
        weight, train_epsilon = v.strength
        return {
            "cell": self.id,
            "victim": v.id,
            "dataset": v.dataset.label,
            "split": v.split.label,
            "model": v.model.name,
            "model_label": v.model.label,
            "defense": v.defense.name,
            "defense_label": v.defense.label,
            "lambda": weight,
            "train_epsilon": train_epsilon,
            "attack": "none" if attack is None else attack.name,
            "attack_label": "none" if attack is None else attack.label,
            "stage": "" if threat is None else threat.stage,
            "surface": "" if threat is None else threat.surface,
            "norm": "" if threat is None else threat.norm,
            "scale": "" if threat is None else threat.scale,
            "goal": "" if threat is None else threat.goal,
            "k": None if threat is None else threat.k,
            "epsilon": self.budget,
            "adaptive": self.adaptive,
            "kind": self.kind,
            "target_set": self.target_set if poison is None else poison.target_set,
            "seed": v.seed,
            **({"baseline": True} if self.baseline else {}),
            **({"standard": True} if self.standard else {}),
        }


def describe_victim(victim: Victim) -> str:
    """Returns a victim in words: ``mf, adversarial-training λ=0.5, seed 0, bandwagon ε=0.01``."""
    weight, _ = victim.strength
    defense = victim.defense.label if weight == 1 else f"{victim.defense.label} λ={weight:g}"
    undefended = victim.defense.name == NO_DEFENSE.name
    parts = [victim.model.label, *([] if undefended else [defense]), f"seed {victim.seed}"]
    if victim.poison is not None:
        parts.append(f"{victim.poison.attack.label} ε={victim.poison.epsilon:g}")
    return ", ".join(parts)


def cell_to_payload(cell: Cell) -> Mapping[str, Any]:
    """Returns the cell as plain data that can travel to a worker."""
    return asdict(cell)


def victim_from_payload(payload: Mapping[str, Any]) -> Victim:
    """Returns the victim of which a payload is ``dataclasses.asdict``; it has the same id."""
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
    """Returns the cell of ``cell_to_payload``; it has the same id."""
    attack, users, threat = payload["attack"], payload["users"], payload["threat"]
    parts = {
        "victim": victim_from_payload(payload["victim"]),
        "attack": attack and Part(**attack),
        "users": users and UserSample(**users),
        "threat": threat and Threat(**threat),
    }
    return Cell(**{**payload, **parts})
