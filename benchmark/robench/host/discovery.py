"""Loads plugins, so that a broken plugin does not affect the others."""

from __future__ import annotations

import copy
import importlib
import logging
import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import metadata
from typing import Any

import pluggy

from robench.api import hooks
from robench.api.escapes import describe_error
from robench.host.compatibility import VARIABLE, find_misfit, read_requirement
from robench.host.nearby import EXTRA, find_module

GROUP = "robench"
log = logging.getLogger("robench")


class Host:
    """The plugins of one environment.

    A plugin is identified by its owner, a string of the form ``distribution:entry``.

    Attributes:
        owners: the owners of the loaded plugins, in order.
        idle: the owners of the loaded plugins that implement no hook.
        broken: the reason why a plugin could not be loaded, or why its registration failed, by owner.
    """

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("robench")
        self.manager.add_hookspecs(hooks)
        self.broken: dict[str, str] = {}
        self.owners: list[str] = []
        self.idle: list[str] = []
        self._warned: set[str] = set()

    @classmethod
    def discover(cls) -> Host:
        """Returns a host with every plugin of this environment.

        Plugins are the entry points of the group ``robench``, and the modules that the environment variable
        ``ROBENCH_PLUGINS`` names. The variable holds a comma-separated list of modules, which need not belong
        to a distribution.
        """
        host = cls()
        # An editable install can list the same entry point twice.
        points = {(_owner(point), point.value): point for point in metadata.entry_points(group=GROUP)}
        for (owner, _), point in sorted(points.items(), key=lambda pair: pair[0]):
            host._load(owner, point.load, point.value)
        for name in dict.fromkeys(filter(None, (part.strip() for part in os.environ.get(EXTRA, "").split(",")))):
            host._load(f"{name}:{EXTRA}", partial(_import, name), name)
        return host

    @classmethod
    def with_plugins(cls, plugins: Mapping[str, Any]) -> Host:
        """Returns a host with only these plugins.

        Args:
            plugins: the plugins by owner. A plugin is a module or another object with hooks.
        """
        host = cls()
        for owner, plugin in plugins.items():
            host._register(owner, plugin)
        return host

    def _load(self, owner: str, load: Callable[[], Any], place: str) -> None:
        """Loads and registers one plugin, or records why the plugin is broken.

        Args:
            owner: the owner of the plugin.
            load: the function that imports the plugin.
            place: the module of the plugin, which may be followed by a colon and an attribute.
        """
        try:
            plugin = load()
        except (Exception, SystemExit) as error:  # a plugin may raise anything when it is imported
            module = place.partition(":")[0].strip()
            self.broken[owner] = find_misfit(read_requirement(module)) or describe_error(error)
            return
        self._register(owner, plugin)

    def _register(self, owner: str, plugin: Any) -> None:
        """Registers one plugin, or records why the plugin is broken."""
        if misfit := find_misfit(getattr(plugin, VARIABLE, None)):
            self.broken[owner] = misfit
            return
        try:
            self.manager.register(plugin, name=owner)
            self.manager.check_pending()
        except Exception as error:  # an unknown hook, a hook with wrong arguments, or a plugin that is registered twice
            # If pluggy refuses a hook, it keeps the hooks that it has already registered.
            if self.manager.get_plugin(owner) is plugin:
                self.manager.unregister(plugin)
            self.broken[owner] = describe_error(error)
            return
        self.owners.append(owner)
        if not self.manager.get_hookcallers(plugin):
            self.idle.append(owner)

    def _calls(self, hook: str) -> Iterator[tuple[str, Any]]:
        """Yields the owner and the implementation for each plugin that implements a hook.

        The order is pluggy's order of hook implementations.
        """
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            yield implementation.plugin_name, implementation

    def hooks_of(self, owner: str) -> list[str]:
        """Returns the names of the hooks that a plugin implements, sorted."""
        return sorted(caller.name for caller in self.manager.get_hookcallers(self.manager.get_plugin(owner)) or ())

    def registered(self, hook: str) -> Iterator[tuple[str, dict[str, type[Any] | str]]]:
        """Yields the owner and the components of each plugin with a registration hook.

        The components have the form ``{name: class or "module:Class"}``. If a hook fails or returns anything else, its
        plugin is recorded as broken and left out.

        Args:
            hook: the name of the hook.
        """
        for owner, implementation in self._calls(hook):
            try:
                offered = _checked(hook, implementation.function())
            except Exception as error:  # a plugin may raise anything
                self.broken[owner] = f"{hook}: {describe_error(error)}"
                continue
            yield owner, offered

    def notify(self, hook: str, **arguments: Any) -> None:
        """Calls a hook of every plugin and logs failures instead of raising them.

        Each plugin gets copies of the arguments. A failure is logged as a warning, which is not repeated if the plugin
        fails again in the same way.

        Args:
            hook: the name of a hook that follows a run.
            arguments: the arguments of the hook.
        """
        for owner, implementation in self._calls(hook):
            try:
                implementation.function(*(copy.deepcopy(arguments[name]) for name in implementation.argnames))
            except (Exception, SystemExit) as error:  # a report may raise anything
                warning = f"{hook} of plugin {owner} failed: {describe_error(error)}{_place(error)}"
                if warning not in self._warned:
                    self._warned.add(warning)
                    log.warning("%s", warning)

    def call(self, hook: str, **arguments: Any) -> None:
        """Calls a hook of every plugin and lets exceptions propagate.

        Conformance tests use this method instead of ``notify``.

        Args:
            hook: the name of a hook that follows a run.
            arguments: the arguments of the hook.
        """
        for _, implementation in self._calls(hook):
            implementation.function(*(arguments[name] for name in implementation.argnames))


def _place(error: BaseException) -> str:
    """Returns the file and line where a plugin raised an error, or an empty string."""
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first frame is the host's own call
    return f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""


def _import(name: str) -> Any:
    # The module's name takes the place of a distribution in the owner. Since a colon ends the distribution, a module
    # called "robench:x" would count as part of robench.
    if not all(part.isidentifier() for part in name.split(".")):
        raise ImportError(f"'{name}' is not the name of a module")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name == name.partition(".")[0] and (found := find_module(name)):
            hint = f"{found} is in the current folder: set PYTHONPATH=."
            raise ModuleNotFoundError(f"No module named '{error.name}'; {hint}", name=error.name) from None
        raise


def _checked(hook: str, offered: Any) -> dict[str, type[Any] | str]:
    if not isinstance(offered, Mapping):
        raise TypeError(f"{hook} must return a mapping, not {type(offered).__name__}")
    for name, target in offered.items():
        if not isinstance(name, str) or not name.isprintable() or not name or "/" in name or "@" in name:
            raise TypeError(f"a name is printable text without '/' and '@', not {name!r}")
        if not isinstance(target, type | str):
            raise TypeError(f"'{name}' must be a class or 'module:Class', not {type(target).__name__}")
    return dict(offered)


def _owner(point: metadata.EntryPoint) -> str:
    return f"{point.dist.name if point.dist else '?'}:{point.name}"
