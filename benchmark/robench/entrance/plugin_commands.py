"""The commands ``robench plugins`` and ``robench new-plugin``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from robench.api.errors import UserError
from robench.api.terminal import say, screen
from robench.authoring.kinds import PackageKind
from robench.host.discovery import Host
from robench.host.registry import Registry


def plugins(
    name: Annotated[str | None, typer.Argument(help="a component or a plugin to describe")] = None,
    check: Annotated[bool, typer.Option("--check", help="import each: what it offers and needs, or its error")] = False,
) -> None:
    """List every component with its owner, or describe one.

    A description has the settings with types, defaults and ranges. With --check, the exit code is 1 if a plugin or a
    component is faulty, or if a plugin registers nothing.
    """
    from robench.entrance.plugins import print_plugins  # noqa: PLC0415

    if name is not None:
        from robench.entrance.component import print_component  # noqa: PLC0415

        if check:
            raise UserError("it checks all plugins", path="--check", hint=f"robench plugins {name} describes one")
        print_component(name, screen())
        return
    sound = print_plugins(screen(), check=check)
    if check and not sound:
        raise typer.Exit(1)


def new_plugin(
    name: Annotated[str, typer.Argument(help="the name of the plugin, such as my-model", show_default=False)],
    kind: Annotated[PackageKind, typer.Option(help="what the plugin adds", show_default=False)],
    to: Annotated[Path, typer.Option(help="the folder in which the package gets a folder")] = Path(),
) -> None:
    """Write a package with a working plugin, its conformance test and a suite.

    Nothing is overwritten.
    """
    from robench.authoring.package import new_plugin as write_plugin  # noqa: PLC0415  # jinja2 takes a moment

    for line in write_plugin(name, kind, to, Registry.of(Host.discover())):
        say(line)
