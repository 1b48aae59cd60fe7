"""What is to be measured, as plain frozen data: parts, victims, cells, and their ids."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

PROTOCOL_VERSION = 1  # of the measurement itself: raise it when equal specs would no longer give equal numbers


def digest(content: Any, length: int = 16) -> str:
    """Hex digest of plain data in canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


@dataclass(frozen=True)
class Part:
    """One configured component.

    Args:
        name: the plugin's registered name.
        config: resolved settings, defaults spelled out, JSON types (λ under ``lambda``; an attack's ε is not in it).
        label: how tables call it.
        passed: the settings as typed in the suite.
        owner: ``distribution:entry`` of the plugin.
    """

    name: str
    config: Mapping[str, Any]
    label: str
    passed: Mapping[str, Any] = field(default_factory=dict)
    owner: str = ""

    def content(self) -> dict[str, Any]:
        """What identifies it."""
        return {"name": self.name, "config": dict(self.config)}


@dataclass(frozen=True)
class TargetChoice:
    """Which items are promoted: ``sets`` disjoint draws of ``count`` items."""

    count: int = 5
    pick: str = "unpopular"
    sets: int = 1

    def content(self) -> dict[str, Any]:
        """What identifies it."""
        return {"count": self.count, "pick": self.pick, "sets": self.sets}


@dataclass(frozen=True)
class UserSample:
    """Evaluate a seeded sample of the users."""

    sample: int
    seed: int = 0

    def content(self) -> dict[str, Any]:
        """What identifies it."""
        return {"sample": self.sample, "seed": self.seed}


@dataclass(frozen=True)
class Poison:
    """A train-stage attack at one ε against one target set."""

    attack: Part
    epsilon: float
    target_set: int

    def content(self) -> dict[str, Any]:
        """What identifies it."""
        return {"attack": self.attack.content(), "epsilon": self.epsilon, "target_set": self.target_set}


@dataclass(frozen=True)
class Victim:
    """One fitted model: (data, split, poisoning or none, model, defence, seed)."""

    dataset: Part
    split: Part
    model: Part
    defense: Part
    seed: int
    threads: int
    targets: TargetChoice
    poison: Poison | None = None

    def content(self) -> dict[str, Any]:
        """What identifies it. Target sets matter to the fit only where they are attacked."""
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
        """(λ, training ε) of the defence: (1.0, None) where it has none."""
        epsilon = self.defense.config.get("epsilon")
        return float(self.defense.config.get("lambda", 1.0)), None if epsilon is None else float(epsilon)


@dataclass(frozen=True)
class Cell:
    """One measurement of one victim: clean (``attack`` None), or one test-time attack at one ε.

    ``threat`` holds the fields of the attack's threat model, for tables. ``skip`` says why it cannot be measured.
    ``kind`` says what an attack at test time is to the flags: ``gradient`` (climbs the loss within its budget),
    ``minimum-norm``, ``floor`` (what a gradient attack must beat), ``black-box`` (through scores) or ``ensemble``.
    ``target_set``: the items that an attack at test time promotes.
    """

    victim: Victim
    attack: Part | None = None
    epsilon: float = 0.0
    users: UserSample | None = None
    threat: Mapping[str, Any] = field(default_factory=dict)
    adaptive: str = ""
    skip: str = ""
    kind: str = ""
    target_set: int | None = None

    def content(self) -> dict[str, Any]:
        """What identifies it. Clean cells also measure the target items."""
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

    def columns(self) -> dict[str, Any]:
        """The cell's columns of cells.csv; a poisoned victim's cells carry the poisoning as attack."""
        v, poison = self.victim, self.victim.poison
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
            "stage": self.threat.get("stage", ""),
            "surface": self.threat.get("surface", ""),
            "norm": self.threat.get("norm", ""),
            "scale": self.threat.get("scale", ""),
            "goal": self.threat.get("goal", ""),
            "k": self.threat.get("k"),
            "epsilon": self.epsilon if poison is None else poison.epsilon,
            "adaptive": self.adaptive,
            "kind": self.kind,
            "target_set": self.target_set if poison is None else poison.target_set,
            "seed": v.seed,
        }


def label_of(victim: Victim) -> str:
    """A victim in words: ``mf, adversarial-training λ=0.5, seed 0, bandwagon ε=0.01``."""
    weight, _ = victim.strength
    defense = victim.defense.label if weight == 1 else f"{victim.defense.label} λ={weight:g}"
    parts = [victim.model.label, *([] if victim.defense.name == "none" else [defense]), f"seed {victim.seed}"]
    if victim.poison is not None:
        parts.append(f"{victim.poison.attack.label} ε={victim.poison.epsilon:g}")
    return ", ".join(parts)


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
        payload["target_set"],
    )
