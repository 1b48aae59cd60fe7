"""Finds cells that cannot be measured, and warm-ups that are too long.

A warm-up is too long if training ends first. ``plan.py`` skips the cells, and reports the warm-ups as errors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import product

from robench.api.attacks.ensemble import Ensemble
from robench.api.defense import Defense
from robench.api.errors import SettingError, UserError, counted
from robench.api.models.base import Model
from robench.api.surfaces import SURFACES
from robench.plan.parts import Planned, PlannedAttack, PlannedParts
from robench.spec import Cell, Part
from robench.suite.load import Suite
from robench.suite.yaml import format_path


def find_defense_misfit(model: Planned[Model], defense: Planned[Defense]) -> str:
    """Returns the reason why a defence does not fit a model, or an empty string."""
    problem = defense.component.problem(model.cls)
    return f"{model.part.name} {problem}, so {defense.part.label} does not fit" if problem else ""


def find_split_misfit(model: Planned[Model], split: Part) -> str:
    """Returns the reason why a model does not fit a split, or an empty string."""
    if split.name == "cold-users" and model.cls.cold_user == "fold-in":
        return f"{model.part.name} learns a vector per user, and cold-users tests users that no fit sees"
    return ""


def find_attack_misfit(attack: PlannedAttack) -> str:
    """Returns the reason why robench cannot measure an attack, or an empty string."""
    component = attack.component
    bases = {f"{base.__module__}:{base.__qualname__}" for base in type(component).__mro__}
    rules = SURFACES.get(component.surface)
    if rules is not None and (isinstance(component, Ensemble) or bases & {*rules.attacks}):
        return ""
    place = f"on '{component.surface}' at {component.stage} time"
    return f"this version measures no attack like {attack.part.label} {place}"


def find_poisoning_misfit(attack: PlannedAttack, model: Planned[Model]) -> str:
    """Returns the reason why an attack on training data does not fit a model.

    The result is an empty string if the attack fits the model.
    """
    if model.cls.trained_elsewhere:
        return f"{model.part.name} was trained elsewhere, so {attack.part.label} cannot change its training data"
    return ""


def find_surface_misfit(attack: PlannedAttack, model: Planned[Model]) -> str:
    """Returns the reason why an attack at test time does not fit a model.

    The result is an empty string if the attack fits the model.
    """
    name, label, cls = model.part.name, attack.part.label, model.cls
    surface, gradient = attack.threat.surface, attack.component.gradient
    if surface not in cls.surfaces and SURFACES[surface].perturbs:
        return f"{name} has no surface '{surface}' for {label}"
    if attack.component.instructs and not cls.follows:
        return f"{name} answers no prompt, so {label} has nobody to instruct"
    if gradient and not cls.neural:
        return f"{name} has no gradient for {label}"
    if gradient and surface == "text" and attack.threat.goal not in cls.token_goals:
        only = f" but to {' or '.join(cls.token_goals)}" if cls.token_goals else ""
        return f"{name} offers no gradient by its tokens for {label}{only}"
    if surface == "parameters" and not cls.tables:
        return f"{name} declares no tables for {label}"
    return ""


def find_membership_misfit(attack: PlannedAttack, model: Planned[Model], split: Part) -> str:
    """Returns the reason why an attack on membership cannot be measured.

    The result is an empty string if it can, or if the attack is of another kind.
    """
    name, label = model.part.name, attack.part.label
    if SURFACES[attack.threat.surface].perturbs:
        return ""
    if split.name != "cold-users":
        return f"{label} needs users that no fit sees, which the split cold-users holds out"
    if model.cls.trained_elsewhere:
        return f"{name} was trained elsewhere, so {label} does not know its training data"
    if model.cls.uses_service():
        return f"{name} uses a service, which {label} would ask about every user twice"
    return ""


def find_endless_warmups(suite: Suite, cells: Iterable[Cell], parts: PlannedParts) -> list[UserError]:
    """Returns an error for each model and defence if training ends in the warm-up.

    Pairs without a cell that can be measured are left out.
    """
    planned = {(cell.victim.model.label, cell.victim.defense.label) for cell in cells if not cell.skip}
    errors: dict[tuple[str, str], UserError] = {}
    for model, defense in product(parts.models, parts.defenses):
        pair = model.part.label, defense.part.label
        if pair not in planned or not model.component.neural or model.component.trained_elsewhere:
            continue
        epochs = model.component.config.epochs
        try:
            defense.component.check_epochs(epochs)
        except SettingError as error:
            home = suite.homes["defense"][defense.part.label]
            path = next(filter(suite.tree.has, [(*home, error.field), (*home, "grid", error.field)]), home)
            problem = f"{pair[0]} trains for {epochs} epochs, and {pair[1]} {error}"
            errors[pair] = UserError(problem, where=suite.tree.place(path), path=format_path(path), hint=error.hint)
    return list(errors.values())


def note_skips(reasons: Iterable[str]) -> list[str]:
    """Returns one line per reason for skipping cells, with the number of cells.

    Args:
        reasons: the reason for skipping each cell, or an empty string for a cell that is not skipped.
    """
    return [f"skipped: {counted(count, 'cell')}: {reason}" for reason, count in Counter(filter(None, reasons)).items()]
