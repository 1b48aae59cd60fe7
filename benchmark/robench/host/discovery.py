"""The plugin host: finds plugins one by one, so that a broken one is reported and never fatal."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import metadata
from typing import Any

import pluggy

from robench.api import hooks

GROUP = "robench"
EXTRA = "ROBENCH_PLUGINS"
log = logging.getLogger("robench")


class Host:
    """Loaded plugins by owner (``distribution:entry``), those that have no hook, and why others failed to load."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("robench")
        self.manager.add_hookspecs(hooks)
        self.broken: dict[str, str] = {}
        self.owners: list[str] = []
        self.idle: list[str] = []

    @classmethod
    def discover(cls) -> Host:
        """Every plugin of this environment: the entry points of group ``robench``, then the modules that the
        variable ``ROBENCH_PLUGINS`` names (comma-separated), for a plugin that is not packaged yet.
        """
        host = cls()
        points = sorted(metadata.entry_points(group=GROUP), key=lambda p: (_owner(p), p.value))
        seen: set[tuple[str, str]] = set()
        for point in points:
            if (_owner(point), point.value) not in seen:  # an editable install can be listed twice
                seen.add((_owner(point), point.value))
                host._load(_owner(point), point.load)
        for name in filter(None, (part.strip() for part in os.environ.get(EXTRA, "").split(","))):
            host._load(f"{name}:{EXTRA}", partial(_module, name))
        return host

    @classmethod
    def with_plugins(cls, plugins: Mapping[str, Any]) -> Host:
        """A host of given plugins: owner -> module or object with hooks."""
        host = cls()
        for owner, plugin in plugins.items():
            host._load(owner, partial(_given, plugin))
        return host

    def _load(self, owner: str, load: Callable[[], Any]) -> None:
        """Register one plugin; whatever goes wrong is its own failure."""
        try:
            plugin = load()
        except (Exception, SystemExit) as error:  # a plugin may raise anything when it is imported
            self.broken[owner] = _reason(error)
            return
        try:
            self.manager.register(plugin, name=owner)
            self.manager.check_pending()
        except Exception as error:  # a hook of another shape, an unknown one, the same plugin twice
            # A hook refused half-way leaves those before it registered.
            if self.manager.get_plugin(owner) is plugin:
                self.manager.unregister(plugin)
            self.broken[owner] = _reason(error)
            return
        self.owners.append(owner)
        if not self.manager.get_hookcallers(plugin):
            self.idle.append(owner)

    def _calls(self, hook: str) -> Iterator[tuple[str, Any]]:
        """The implementations of a hook with their owners, first registered first."""
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            yield implementation.plugin_name, implementation

    def registered(self, hook: str) -> Iterator[tuple[str, dict[str, type[Any] | str]]]:
        """What each plugin offers under a registration hook: (owner, {name: class or "module:Class"})."""
        for owner, implementation in self._calls(hook):
            try:
                offered = _checked(hook, implementation.function())
            except Exception as error:  # as above
                self.broken[owner] = f"{hook}: {_reason(error)}"
                continue
            yield owner, offered

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call a lifecycle hook of every plugin; a failure is logged and never fatal."""
        for owner, implementation in self._calls(hook):
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception:
                log.exception("%s of plugin %s failed", hook, owner)


def _given(plugin: Any) -> Any:
    return plugin


def _module(name: str) -> Any:
    # The name is the distribution of what the module offers. A colon in it would pass for another distribution's.
    if not all(part.isidentifier() for part in name.split(".")):
        raise ImportError(f"'{name}' is not the name of a module")
    return importlib.import_module(name)


def _checked(hook: str, offered: Any) -> dict[str, type[Any] | str]:
    if not isinstance(offered, Mapping):
        raise TypeError(f"{hook} must return a mapping, not {type(offered).__name__}")
    for name, target in offered.items():
        if not isinstance(name, str) or not name or "/" in name or "@" in name:
            raise TypeError(f"a name is text without '/' and '@', not {name!r}")
        if not isinstance(target, type | str):
            raise TypeError(f"'{name}' must be a class or 'module:Class', not {type(target).__name__}")
    return dict(offered)


def _reason(error: BaseException) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def _owner(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name if point.dist else '?'}:{point.name}"
