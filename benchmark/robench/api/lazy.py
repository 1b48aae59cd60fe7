"""Lazy exports of a package, as listed in the stub ``__init__.pyi``.

``robench.api``, ``robench.pretrained`` and ``robench.testing`` use this module, so listing names never imports torch.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Exports = tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]


def attach_stub(package: str, file: str) -> Exports:
    """Returns the ``__getattr__``, ``__dir__`` and ``__all__`` of a package.

    The stub has one line ``from module import Name as Name`` per public name. Type checkers read the same lines, so the
    names are listed only once. The module that defines a name is imported when the name is first used (PEP 562).

    Args:
        package: the package's ``__name__``.
        file: the package's ``__file__``, which is in the folder of the stub.

    Returns:
        The functions ``__getattr__`` and ``__dir__``, and the list ``__all__`` in the order of the stub.
    """
    tree = ast.parse(Path(file).with_name("__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    modules = {alias.name: str(node.module) for node in imports for alias in node.names}

    def get_attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        value = getattr(importlib.import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return get_attribute, lambda: sorted(modules), list(modules)
