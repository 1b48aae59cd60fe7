"""TODO-DOC."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from robench.api.attacks.base import Attack
from robench.api.attacks.embedding import EmbeddingAttack
from robench.api.attacks.ensemble import Ensemble
from robench.api.attacks.history import HistoryAttack
from robench.api.attacks.poisoning import Corruption, PoisoningAttack
from robench.api.attacks.text import TextAttack
from robench.api.defense import Defense
from robench.api.errors import UserError, counted
from robench.api.models.base import Model
from robench.host.registry import Registry
from robench.spec import Cell, Part, Victim
from robench.suite.load import Suite
from robench.suite.yaml import dotted


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
        epochs, cls = model.config.get("epochs"), registry.class_of("defense", defense.name)
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
