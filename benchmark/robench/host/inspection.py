"""Imports, checks and describes the classes that plugins register."""

from __future__ import annotations

import importlib
from typing import Any, get_args

from robench.api.component import BaseConfig, Component

HOOKS = ("sanitise", "privatise", "train_privately", "clean_text", "loss", "wrap")  # what a defence may override


def import_attribute(target: str) -> Any:
    """Imports and returns the object that a string ``module:attribute`` names."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def find_fault(cls: Any, base: type[Any]) -> str:
    """Returns the reason why an object is not a valid component, or an empty string.

    Args:
        cls: the object that a plugin has registered.
        base: the base class from which components of this kind must derive.
    """
    if not (isinstance(cls, type) and issubclass(cls, base)):
        return f"is not a subclass of {base.__name__}"
    config = getattr(cls, "Config", None)
    if not (isinstance(config, type) and issubclass(config, BaseConfig)):
        return "has a Config that is not a subclass of BaseConfig"
    # Components have no metaclass that prevents instances of an incomplete class.
    missing = [name for name in dir(cls) if getattr(getattr(cls, name, None), "__isabstractmethod__", False)]
    missing += [name for name in ("surface", "stage") if name in base.__annotations__ and not hasattr(cls, name)]
    return f"lacks {', '.join(missing)}" if missing else ""


def describe_component(cls: type[Component]) -> str:
    """Returns a line that describes a component.

    The line lists the component's settings, surfaces and default threat model. If the component has none of these, the
    line is ``ok``.
    """
    settings = [field.alias or name for name, field in cls.Config.model_fields.items()]
    parts = [f"settings: {', '.join(settings)}"] if settings else []
    surfaces = getattr(cls, "surfaces", None)
    if surfaces:
        parts.append(f"surfaces: {', '.join(sorted(surfaces))}")
    if hasattr(cls, "threat"):
        parts.append(describe_threat(cls))
    return "; ".join(parts) or "ok"


def list_facts(kind: str, cls: Any) -> list[tuple[str, str]]:
    """Returns what a component declares, as pairs of a name and a value.

    Args:
        kind: the kind of the component.
        cls: the class of the component.
    """
    if kind == "model":
        return [("Surfaces", ", ".join(f"`{name}`" for name in sorted(cls.surfaces)))] if cls.surfaces else []
    if kind == "attack":
        field = cls.Config.model_fields.get("surface")
        surface = f"`{cls.surface}`" if field is None else ", ".join(f"`{one}`" for one in get_args(field.annotation))
        return [("Surface", surface), ("Kind", cls.kind() if cls.stage == "test" else cls.adaptive)]
    if kind == "defense":
        hooks = [name for name in HOOKS if cls.overrides(name)]
        return [("Changes", ", ".join(f"`{name}`" for name in hooks))] if hooks else []
    if kind == "dataset":
        return [("Licence", cls.licence), ("Source", cls.source)]
    if kind == "metric":
        better = "higher" if cls.higher_is_better else "lower"
        return [("Needs", cls.needs), ("Better", better), ("Version", str(cls.version))]
    return []


def describe_threat(cls: Any) -> str:
    """Returns an attack's default threat model: ``threat: embedding, test, ...``."""
    try:
        fields = cls().threat().as_dict()
    except Exception:  # a setting has no default, or the plugin has a bug; surface and stage are known nevertheless
        return f"threat: {cls.surface}, {cls.stage}"
    return "threat: " + ", ".join(f"k {value}" if name == "k" else str(value) for name, value in fields.items())
