"""Computes digests of the source code that can change a result.

Cache keys and records contain these digests. If a module of a plugin is edited, only the digests of classes that depend
on this module change. No module is imported to compute a digest, because imports are read from source code.
"""

from __future__ import annotations

import ast
import hashlib
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from importlib.machinery import ModuleSpec, PathFinder
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import resolve_name
from pathlib import Path

from robench.api.component import Component
from robench.files.references import Reference, references

# The parts of robench that fit, attack and judge models.
CORE = ("api", "engine", "spec.py", "run/device.py", "run/victim.py")
SHARED = "robench.pretrained"
INSTALLED = ("site-packages", "dist-packages", "lib-dynload")
STANDARD_LIBRARY = Path(ast.__file__).parent


class Sources:
    """An object that computes digests of source code.

    An instance reads every file only once, so a new instance is needed after a change to the code.
    """

    def __init__(self) -> None:
        self._contents: dict[str, bytes | None] = {}
        self._neighbours: dict[str, tuple[Reference, ...]] = {}
        self._digests: dict[type, str] = {}

    def code_of(self, classes: Iterable[type]) -> dict[str, str]:
        """Returns the digests of robench itself and of each class.

        The keys are ``robench`` and ``module:Class``.
        """
        own = {f"{cls.__module__}:{cls.__qualname__}": self.digest(cls) for cls in classes}
        return {"robench": self.core, **dict(sorted(own.items()))}

    @cached_property
    def core(self) -> str:
        """The digest of the parts of robench on which all results depend."""
        root = files("robench")
        return _digest(item for name in CORE for item in _python_files(root / name, name))

    @cached_property
    def _shared(self) -> str:
        return _digest(_python_files(files("robench") / "pretrained", "pretrained"))

    def digest(self, cls: type) -> str:
        """Returns the digest of all modules on which a class depends.

        The digest covers the modules that define the class, and those that define its bases. Bases that are not
        components count only if they belong to the same top-level package. The digest also covers modules of these
        top-level packages that are imported there, directly or indirectly. If a top-level module is a single file, the
        other modules in the same folder count as part of its package. Of robench, only ``robench.pretrained`` can be
        included, because ``core`` covers the other parts that can change a result.

        Args:
            cls: the class of a component.
        """
        if cls not in self._digests:
            self._digests[cls] = _digest(self._contents_of(cls))
        return self._digests[cls]

    def _contents_of(self, cls: type) -> Iterator[tuple[str, bytes]]:
        packages = {_top(base.__module__) for base in cls.__mro__ if base is cls or issubclass(base, Component)}
        packages -= {"robench"}
        waiting = [Reference(base.__module__) for base in cls.__mro__ if _top(base.__module__) in packages]
        folders = {self._folder_of(name) for name in packages if self._is_file(name)} - {None}
        modules = {reference.module for reference in waiting}
        shared = False
        waiting += [reference for name in sorted(modules) for reference in self._references(name)]
        while waiting:
            reference = waiting.pop()
            shared = shared or f"{reference.module}.".startswith(f"{SHARED}.")
            if _top(reference.module) in packages or self._folder_of(_top(reference.module)) in folders:
                fresh = {name for name in self._imported(reference) if name not in modules}
                modules |= fresh
                waiting += [further for name in fresh for further in self._references(name)]
        yield from ((name, content) for name in sorted(modules) if (content := self._content(name)) is not None)
        if shared:
            yield SHARED, self._shared.encode()

    def _is_file(self, name: str) -> bool:
        """Returns whether a top-level module is a single file, rather than a package."""
        spec = self._spec(name)
        return spec is not None and spec.submodule_search_locations is None

    def _folder_of(self, name: str) -> Path | None:
        """Returns the folder that contains a top-level module.

        The result is None if the module has no file, is in an installed package, or is in the standard library.
        """
        spec = self._spec(name)
        if spec is None or not spec.has_location or spec.origin is None:
            return None
        file = Path(spec.origin)
        folder = file.parent if spec.submodule_search_locations is None else file.parent.parent
        return None if folder.name in INSTALLED or folder == STANDARD_LIBRARY else folder

    def _imported(self, reference: Reference) -> Iterator[str]:
        """Yields the names of the modules on which an import depends.

        The ``__init__`` of a top-level package is included only if the import takes a name from this package, other
        than a submodule.
        """
        parts = reference.module.split(".")
        yield from (".".join(parts[:count]) for count in range(2, len(parts)))
        below = f"{reference.module}.{reference.attribute}"
        is_module = bool(reference.attribute) and self._spec(below) is not None
        if is_module:
            yield below
        if len(parts) > 1 or (reference.attribute and not is_module) or self._is_file(reference.module):
            yield reference.module

    def _references(self, name: str) -> tuple[Reference, ...]:
        """Returns a module's references to other modules, with absolute names.

        The result is empty if the module has no source code.
        """
        if name not in self._neighbours:
            spec, content = self._spec(name), self._content(name)
            self._neighbours[name] = ()
            if spec is not None and content is not None and str(spec.origin).endswith(".py"):
                package = name if spec.submodule_search_locations is not None else name.rpartition(".")[0]
                self._neighbours[name] = tuple(_absolute(_parsed(content), package))
        return self._neighbours[name]

    def _content(self, name: str) -> bytes | None:
        """Returns the content of the file that defines a module.

        The file may be in a folder or in a zip file. The result is None if the module has no file.
        """
        if name not in self._contents:
            spec = self._spec(name)
            try:
                self._contents[name] = spec.loader.get_data(spec.origin)  # type: ignore[union-attr]
            except (AttributeError, TypeError, OSError):  # a namespace package, a module without a file, a deleted file
                self._contents[name] = None
        return self._contents[name]

    def _spec(self, name: str) -> ModuleSpec | None:
        """Returns the import spec of a module, or None if there is no such module.

        The module is not imported.
        """
        loaded: ModuleSpec | None = getattr(sys.modules.get(name), "__spec__", None)
        if loaded is not None:
            return loaded
        parent = name.rpartition(".")[0]
        above = self._spec(parent) if parent else None
        if parent and (above is None or above.submodule_search_locations is None):
            return None
        locations: Sequence[str] | None = None if above is None else list(above.submodule_search_locations or ())
        try:
            return PathFinder.find_spec(name, locations)
        except (ImportError, OSError, ValueError):
            return None


def _top(name: str) -> str:
    return name.partition(".")[0]


def _parsed(content: bytes) -> ast.AST:
    """Returns the syntax tree of a module, or an empty tree if it cannot be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _absolute(tree: ast.AST, package: str) -> Iterator[Reference]:
    for reference in references(tree):
        try:
            yield Reference(resolve_name(reference.module, package), reference.attribute)
        except ImportError:  # more dots than packages
            continue


def _python_files(path: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    """Yields the name and the content of each Python file at or below a path.

    The files in a folder are sorted by name.
    """
    if path.is_dir():
        for child in sorted(path.iterdir(), key=lambda child: child.name):
            yield from _python_files(child, f"{name}/{child.name}")
    elif name.endswith(".py") and path.is_file():
        yield name, path.read_bytes()


def _digest(contents: Iterable[tuple[str, bytes]]) -> str:
    """Returns the digest of named contents as 16 hex digits."""
    total = hashlib.sha256()
    for name, content in contents:
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()[:16]
