"""Builds the text of a suite with the chosen settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from robench.spec import OWN_STRENGTHS
from robench.suite.load import Suite
from robench.suite.yaml import dump

KEYS = {"model": "models", "defense": "defenses"}
Chosen = Mapping[tuple[str, str], Mapping[str, Any]]  # the chosen settings by kind and label


def tuned_name(suite: Suite) -> str:
    """Returns a new name for the tuned suite, so that its results get another folder."""
    return f"{suite.name}-tuned"


def build_tuned_suite(suite: Suite, chosen: Chosen, claim: Mapping[str, Any]) -> str:
    """Returns the text of a suite with the chosen settings.

    The suite gets a new name. Settings that were not searched do not change. If the grid of an entry gives several
    components, each of them gets its own entry.

    Args:
        suite: the suite before the search.
        chosen: the chosen settings.
        claim: the value of the key ``tuned``.
    """
    data = {**suite.tree.data, "name": tuned_name(suite)}
    for kind, key in KEYS.items():
        if key in data:
            data[key] = _entries(suite, kind, data[key], chosen)
    return dump({**data, "tuned": dict(claim)})


def _entries(suite: Suite, kind: str, written: list[Any], chosen: Chosen) -> list[Any]:
    parts = {part.label: part for part in (suite.models if kind == "model" else suite.defenses)}
    by_entry: dict[int, list[str]] = {}
    for label, path in suite.homes[kind].items():
        by_entry.setdefault(int(path[1]), []).append(label)
    entries: list[Any] = []
    for number, one in enumerate(written):
        labels = [label for label in parts if label in by_entry.get(number, [])]
        if not any((kind, label) in chosen for label in labels):
            entries.append(one)
            continue
        entry = {"name": one} if isinstance(one, str) else one
        kept = {name: value for name, value in entry.items() if name in ("name", "limits", *_strengths(kind))}
        for label in labels:
            passed = {name: value for name, value in parts[label].passed.items() if name not in _strengths(kind)}
            settings = {**passed, **chosen.get((kind, label), {})}
            entries.append({"name": kept["name"], "label": label, **settings, **kept})
    return entries


def _strengths(kind: str) -> tuple[str, ...]:
    return OWN_STRENGTHS if kind == "defense" else ()
