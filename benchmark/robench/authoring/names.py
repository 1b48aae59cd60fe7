"""Checks the name of a new plugin and derives the names in its package."""

from __future__ import annotations

import ast
import importlib.util
import keyword
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from robench.api.errors import UserError
from robench.authoring.kinds import Layout
from robench.host.registry import Registry

NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*", re.ASCII)


@dataclass(frozen=True)
class Names:
    """The names that follow from the name of a plugin.

    Args:
        name: the name of the distribution and of the component, such as ``my-model``.
        package: the name of the package to import, such as ``my_model``.
        cls: the name of the class, such as ``MyModel``.
    """

    name: str
    package: str
    cls: str


def derive_names(name: str) -> Names:
    """Returns the names that follow from the name of a plugin.

    Raises:
        UserError: if the name is not allowed for a plugin.
    """
    package = name.replace("-", "_")
    if not NAME.fullmatch(name):
        hint = "a name has lower-case letters, digits and single hyphens, and starts with a letter, such as my-model"
        raise _refuse(name, "not a name for a package", hint)
    if keyword.iskeyword(package):
        raise _refuse(name, "a keyword of Python", f"for example my-{name}")
    if package in sys.stdlib_module_names:
        raise _refuse(name, "a module of Python's standard library", f"for example my-{name}")
    if package.startswith("test"):
        raise _refuse(name, "pytest would collect its class as a test", f"for example my-{name}")
    return Names(package.replace("_", "-"), package, "".join(part.capitalize() for part in package.split("_")))


def check_free(names: Names, layout: Layout, registry: Registry) -> None:
    """Checks that nothing in this environment has one of the names.

    Raises:
        UserError: if a plugin offers a component with this name, or if a distribution or a module has this name.
    """
    name = names.name
    for entry in registry.entries[layout.component] if layout.component else ():
        if entry.name == name:
            raise _refuse(name, f"already {layout.component} '{name}' of plugin {entry.owner}", "choose another name")
    try:
        installed = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        pass
    else:
        raise _refuse(
            name, f"already the installed package {installed.name} {installed.version}", "choose another name"
        )
    try:
        module = importlib.util.find_spec(names.package)
    except (ImportError, ValueError):  # a module without a specification, or one that cannot be imported
        module = None
    if module is not None and not _in_current_folder(names.package, module.origin):
        raise _refuse(name, f"already the module {names.package}", "choose another name")


def check_class_name(names: Names, files: Mapping[str, str]) -> None:
    """Checks that the class's name does not clash with a name that a file imports.

    Args:
        names: the names of the plugin.
        files: the content of each file of the package, by path.

    Raises:
        UserError: if a file imports an object with the name of the class from another package.
    """
    for path, content in files.items():
        if not path.endswith(".py"):
            continue
        for node in ast.walk(ast.parse(content)):
            if not isinstance(node, ast.ImportFrom) or (node.module or "").partition(".")[0] == names.package:
                continue
            if any(alias.name == names.cls for alias in node.names):
                problem = f"its class would have the name {names.cls} of {node.module}"
                raise _refuse(names.name, problem, f"for example my-{names.name}")


def _in_current_folder(package: str, origin: str | None) -> bool:
    """Returns whether a module belongs to the current folder.

    A module belongs to the current folder if its file is in this folder, or in the folder ``package`` below it. A
    module without a file also counts. A module of an environment below the current folder does not count.
    """
    return origin is None or Path(origin).parent in (Path.cwd(), Path.cwd() / package)


def _refuse(name: str, problem: str, hint: str) -> UserError:
    return UserError(problem, where=f"new-plugin {name}", hint=hint)
