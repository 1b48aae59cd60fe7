"""Changes settings of a suite from the command line: ``--set a.b=c``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from robench.api.errors import UserError, UserErrors, did_you_mean
from robench.suite.numerals import has_leading_zero, suggest_without_zero
from robench.suite.yaml import KeyPath, Tree, format_path, parse, parse_scalar


def apply_overrides(tree: Tree, overrides: Iterable[str]) -> None:
    """Sets values in a tree, as given on the command line.

    Examples are ``models.mf.factors=32``, ``attacks[0].steps=5`` and ``seeds=[0]``.

    An entry of a list is selected by its index, or by a name or label that no other entry has. Values are parsed like
    values in the file. Unknown keys are not refused here, because the schema reports them later.

    Raises:
        UserError: if an override does not have the form ``path=value``, if its value is not valid YAML or has a number
            with a leading zero, or if its path does not select exactly one place.
    """
    for override in overrides:
        try:
            _apply(tree, override)
        except UserErrors as several:
            option = f"--set {override}"
            raise UserErrors([UserError(one.problem, path=option, hint=one.hint) for one in several.errors]) from None
        except UserError as error:
            raise UserError(error.problem, path=f"--set {override}", hint=error.hint) from None


def _apply(tree: Tree, override: str) -> None:
    written, equals, text = override.partition("=")
    steps = [part for part in re.split(r"[.\[\]]+", written) if part]
    if not equals or not steps:
        raise UserError("an override is written path=value")
    value = _parse_value(text)
    node = tree.data
    path: KeyPath = ()
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
            if isinstance(node[key], str):  # a bare name is the short form of {name: ...}
                node[key] = {"name": node[key]}
            node = node[key]
    tree.origins[path] = f"--set {override}"


def _parse_value(text: str) -> Any:
    if has_leading_zero(text):
        raise UserError(f"the number {text} begins with a zero", hint=suggest_without_zero(text, None))
    return parse(text, "").data if text[:1] in ("[", "{", "'", '"') else parse_scalar(text)


def _key(node: Any, step: str, path: KeyPath) -> Any:
    """Returns the key or index in ``node`` that a step of a path selects.

    A mapping has keys, and a list has indices.

    Raises:
        UserError: if no entry or several entries match, or if ``node`` is neither a mapping nor a list.
    """
    if isinstance(node, dict):
        return step
    if not isinstance(node, list):
        raise UserError(f"nothing can be set below '{format_path(path)}'")
    if step.isdecimal():
        if int(step) < len(node):
            return int(step)
        raise UserError(f"'{format_path(path)}' has no entry {step}", hint=f"it has {len(node)}, counted from 0")
    names = [_names(entry) for entry in node]
    matches = [index for index, known in enumerate(names) if step in known]
    if len(matches) == 1:
        return matches[0]
    if matches:
        hint = "pick one: " + ", ".join(format_path((*path, index)) for index in matches)
        raise UserError(f"several entries of '{format_path(path)}' are called '{step}'", hint=hint)
    hint = did_you_mean(step, {name for known in names for name in known})
    raise UserError(f"'{format_path(path)}' has no entry '{step}'", hint=hint)


def _names(entry: Any) -> set[str]:
    names = [entry.get("label"), entry.get("name")] if isinstance(entry, dict) else [entry]
    return {name for name in names if isinstance(name, str)}
