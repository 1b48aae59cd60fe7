"""Checks whether a plugin fits the version of the API.

A plugin may declare the versions that it was written for, in a variable of its module:
``requires_api = ">=1.0,<2"``. The value is a version specifier as in PEP 440.
"""

from __future__ import annotations

import ast
import importlib.util
from typing import Any

from robench.api.stability import API_VERSION, written_for

VARIABLE = "requires_api"


def find_misfit(requirement: Any) -> str:
    """Returns the reason why a requirement excludes this version of the API.

    If the requirement is not a valid specifier, the reason says so. The result is an empty string if the version fits,
    or if there is no requirement.

    Args:
        requirement: the value of ``requires_api``, or None.
    """
    if requirement is None:
        return ""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # noqa: PLC0415  # few plugins need it

    try:
        fits = SpecifierSet(requirement).contains(API_VERSION)
    except (InvalidSpecifier, TypeError, AttributeError):
        return f"{VARIABLE} must be a version specifier such as '{written_for()}', not {requirement!r}"
    return "" if fits else f"it needs version {requirement} of robench.api, and this robench has {API_VERSION}"


def read_requirement(module: str) -> Any:
    """Reads a module's requirement from its source, without importing the module.

    A plugin for a later version may import names that this version lacks. The import then fails, and the requirement
    of the plugin explains why.

    Args:
        module: the name of the module.

    Returns:
        The literal that the module assigns to ``requires_api``, or None.
    """
    try:
        spec = importlib.util.find_spec(module)
        source = spec.loader.get_source(module) if spec and spec.loader else None  # type: ignore[attr-defined]
        body = ast.parse(source or "").body
    except Exception:  # not a module with a source, or one that cannot be found or parsed
        return None
    for node in body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if any(isinstance(one, ast.Name) and one.id == VARIABLE for one in targets):
            return node.value.value if isinstance(node.value, ast.Constant) else None
    return None
