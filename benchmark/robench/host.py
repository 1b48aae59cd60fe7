"""The plugin host: finds plugins one by one, so that a broken one is reported and never fatal."""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from typing import Any

import pluggy

from robench.api import hooks

GROUP = "robench"
EXTRA = "ROBENCH_PLUGINS"
log = logging.getLogger("robench")


class Host:
    """Loaded plugins by owner (``distribution:entry``), and why others could not be loaded."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("robench")
        self.manager.add_hookspecs(hooks)
        self.broken: dict[str, str] = {}
        self.owners: list[str] = []

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
            host._load(f"{name}:{EXTRA}", lambda name=name: importlib.import_module(name))
        return host

    @classmethod
    def with_plugins(cls, plugins: Mapping[str, Any]) -> Host:
        """A host of given plugins: owner -> module or object with hooks."""
        host = cls()
        for owner, plugin in plugins.items():
            host._load(owner, lambda plugin=plugin: plugin)
        return host

    def _load(self, owner: str, load: Any) -> None:
        """Register one plugin; whatever goes wrong is its own failure."""
        try:
            plugin = load()
            self.manager.register(plugin, name=owner)
        except Exception as error:  # a plugin may raise anything when it is imported
            self.broken[owner] = f"{type(error).__name__}: {error}"
            return
        try:
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            self.manager.unregister(plugin)
            self.broken[owner] = str(error)
            return
        self.owners.append(owner)

    def _calls(self, hook: str) -> Iterator[tuple[str, Any]]:
        """The implementations of a hook with their owners, first registered first."""
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            yield implementation.plugin_name, implementation

    def registered(self, hook: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """What each plugin offers under a registration hook: (owner, {name: class or "module:Class"})."""
        for owner, implementation in self._calls(hook):
            try:
                offered = implementation.function()
                if not isinstance(offered, Mapping):
                    raise TypeError(f"{hook} must return a mapping, not {type(offered).__name__}")
            except Exception as error:  # as above
                self.broken[owner] = f"{hook}: {type(error).__name__}: {error}"
                continue
            yield owner, offered

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call a lifecycle hook of every plugin; a failure is logged and never fatal."""
        for owner, implementation in self._calls(hook):
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception:
                log.exception("%s of plugin %s failed", hook, owner)


def _owner(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name if point.dist else '?'}:{point.name}"
