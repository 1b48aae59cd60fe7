"""Finds the references to other modules in the source code of a module.

References are imports, and strings of the form ``module:Class``.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

_TARGET = re.compile(r"(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<attribute>[A-Za-z_]\w*)\Z")
_HOOK = "robench_"


@dataclass(frozen=True)
class Reference:
    """A reference to another module.

    Args:
        module: the name of the module, for example ``package.module``, or ``.module`` if the name is relative.
        attribute: the name that is imported from the module, which may be a submodule or ``*``. The string is empty if
            the module itself is imported.
    """

    module: str
    attribute: str = ""


def references(tree: ast.AST) -> Iterator[Reference]:
    """Yields the references in a syntax tree, including those inside functions.

    Imports that are only for type checkers are left out. The bodies of plugin hooks are also left out. A hook lists all
    components of a plugin, and no component depends on this list.
    """
    for node in _nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Reference(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (Reference(module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and (target := _TARGET.match(node.value)):
            yield Reference(target["module"], target["attribute"])


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        children: list[ast.AST] = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            children = list(node.orelse)
        waiting += [child for child in children if not _is_hook(child)]


def _is_hook(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith(_HOOK)
