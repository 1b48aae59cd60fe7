"""Replaces torch for the tests of suites, plans, tables and reports.

With the replacement, these tests run in seconds. Plugins can define their classes on the replacement, but their code
must not run, because every call to torch fails. ``conftest.py`` installs the replacement for ``pytest -m unit``.
"""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Class(type):
    """The metaclass of the objects that stand in for the names of torch.

    Such an object can be subclassed and has further names as attributes, but cannot be called.
    """

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _named(name)

    def __call__(cls, *arguments: Any, **settings: Any) -> Any:
        if cls.__module__ == __name__:
            raise RuntimeError(f"a test with the mark 'unit' calls torch's {cls.__name__}")
        return super().__call__(*arguments, **settings)


def _named(name: str) -> type:
    return _Class(name, (), {"__module__": __name__, "__init__": lambda self, *arguments, **settings: None})


class _Module(ModuleType):
    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        setattr(self, name, _named(name))
        return vars(self)[name]


class Finder:
    """An import finder and loader for ``torch`` and its submodules."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] == "torch" else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Does nothing, because a module creates its names when they are first requested."""


def install() -> None:
    """Installs the replacement of torch in this process."""
    if "torch" in sys.modules:
        raise RuntimeError("torch is imported already")
    sys.meta_path.insert(0, Finder())
