"""``--set a.b=c``: values of a suite that the command line gives."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from robench.api.errors import UserError, did_you_mean
from robench.suite.yaml import Path, Tree, dotted, parse, scalar


def apply_overrides(tree: Tree, overrides: Iterable[str]) -> None:
    """Set values in place: ``models.mf.factors=32``, ``attacks[0].steps=5``, ``seeds=[0]``.

    Entries of a list are picked by index, or by name or label where only one has it. Values are read as in the file.

    Raises:
        UserError: not ``path=value``, or the path leads nowhere. (A key nobody knows is found by the schema.)
    """
    for override in overrides:
        try:
            _apply(tree, override)
        except UserError as error:
            raise UserError(error.problem, path=f"--set {override}", hint=error.hint) from None


def _apply(tree: Tree, override: str) -> None:
    written, equals, text = override.partition("=")
    steps = [part for part in re.split(r"[.\[\]]+", written) if part]
    if not equals or not steps:
        raise UserError("an override is written path=value")
    value = parse(text, "").data if text[:1] in ("[", "{", "'", '"') else scalar(text)
    node, path = tree.data, Path()
    for number, step in enumerate(steps):
        key = _key(node, step, path)
        path = (*path, key)
        if number == len(steps) - 1:
            node[key] = value
        elif isinstance(node, dict):
            if step not in node:
                tree.origins[path] = f"--set {override}"
            node = node.setdefault(step, {})
        else:
            if isinstance(node[key], str):  # the short form of {name: ...}
                node[key] = {"name": node[key]}
            node = node[key]
    tree.origins[path] = f"--set {override}"


def _key(node: Any, step: str, path: Path) -> Any:
    """``step`` as a key of ``node``: text of a mapping, an index of a list."""
    if isinstance(node, dict):
        return step
    if not isinstance(node, list):
        raise UserError(f"nothing can be set below '{dotted(path)}'")
    if step.isdecimal():
        if int(step) < len(node):
            return int(step)
        raise UserError(f"'{dotted(path)}' has no entry {step}", hint=f"it has {len(node)}, counted from 0")
    names = [_names(entry) for entry in node]
    found = [index for index, known in enumerate(names) if step in known]
    if len(found) == 1:
        return found[0]
    if found:
        hint = "pick one: " + ", ".join(dotted((*path, index)) for index in found)
        raise UserError(f"several entries of '{dotted(path)}' are called '{step}'", hint=hint)
    hint = did_you_mean(step, {name for known in names for name in known})
    raise UserError(f"'{dotted(path)}' has no entry '{step}'", hint=hint)


def _names(entry: Any) -> set[str]:
    found = [entry.get("label"), entry.get("name")] if isinstance(entry, dict) else [entry]
    return {name for name in found if isinstance(name, str)}
