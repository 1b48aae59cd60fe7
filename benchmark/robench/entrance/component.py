"""Describes one component or plugin on a terminal: ``robench plugins NAME``."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from importlib import metadata

from rich.console import Console
from rich.table import Table

from robench.api.errors import UserError, suggest
from robench.api.metric import Measure
from robench.host.compatibility import VARIABLE
from robench.host.discovery import Host
from robench.host.inspection import describe_threat, list_facts
from robench.host.nearby import suggest_plugin
from robench.host.registry import KINDS, Entry, Kind, Registry
from robench.host.settings import list_settings

WIDTH = 100  # the widest line of prose
MOST = 5  # the largest number of similar names in a message
LISTING = "robench plugins lists all names"


def print_component(name: str, console: Console) -> None:
    """Prints a component with its settings, or a plugin with its hooks.

    Args:
        name: the name of a component, as in a suite, which may be preceded by its kind and a colon. It may also be the
            distribution or the owner of a plugin.
        console: the terminal.

    Raises:
        UserError: if nothing or more than one component has this name, or if the component or plugin cannot be loaded.
    """
    host = Host.discover()
    registry = Registry.of(host)
    matches = _components(name, registry)
    if len(matches) == 1:
        _print_entry(*matches[0], registry, console)
    elif matches:
        several = [f"{kind}:{registry.reference(kind, entry)}" for kind, entry in matches]
        owners = " and ".join(f"{kind} '{entry.name}' of {entry.owner}" for kind, entry in matches)
        raise UserError(f"is {owners}", where=name, hint=f"write {' or '.join(several)}")
    else:
        _print_plugin(name, host, registry, console)


def _components(name: str, registry: Registry) -> list[tuple[Kind, Entry]]:
    """Returns the components that a name may mean, each with its kind."""
    prefix, _, rest = name.partition(":")
    kinds = [kind for kind in KINDS if kind == prefix and rest] or list(KINDS)
    wanted = rest if prefix in kinds and rest else name
    qualifier, _, short = Measure.parse(wanted).name.rpartition("/")
    return [
        (kind, entry)
        for kind in kinds
        for entry in registry.entries[kind]
        if entry.name == short and qualifier in ("", entry.distribution, entry.owner)
    ]


def _print_entry(kind: Kind, entry: Entry, registry: Registry, console: Console) -> None:
    cls = registry.load_entry(kind, entry)
    text = inspect.cleandoc(cls.__doc__ or "")
    facts = [
        ("Kind of component", f"{kind}, registered by {KINDS[kind][0]}"),
        ("Owner", f"{entry.owner}{_version_of(entry.distribution)}"),
        ("In a suite", registry.spelling(kind, registry.identity(kind, entry)) + ("@k" * getattr(cls, "at_k", False))),
        ("Class", f"{cls.__module__}:{cls.__qualname__}"),
        *list_facts(kind, cls),
    ]
    if kind == "attack":
        facts.append(("Threat model by default", describe_threat(cls).partition(": ")[2]))
    _print_prose(entry.name, text, facts, console)
    settings = list_settings(cls.Config)
    if not settings:
        console.print("It has no settings.")
        return
    table = Table("setting", "values", "default", "meaning")
    for setting, description in settings.items():
        table.add_row(setting, *(_plain(part) or "–" for part in description))
    console.print(table)


def _print_plugin(name: str, host: Host, registry: Registry, console: Console) -> None:
    """Prints a plugin with its hooks and components.

    Raises:
        UserError: if there is no such plugin, or if it could not be loaded.
    """
    named = [owner for owner in (*host.owners, *host.broken) if name in (owner, *owner.split(":"))]
    for owner in named:
        if owner in host.broken:
            raise UserError(f"could not be loaded: {host.broken[owner]}", where=f"plugin {owner}")
    if not named:
        known = {entry.name: entry.name for entries in registry.entries.values() for entry in entries}
        known |= {owner.partition(":")[0]: owner.partition(":")[0] for owner in host.owners}
        similar = sorted(one for one in known if len(name) > 2 and name.casefold() in one)[:MOST]
        near = next(filter(None, (suggest_plugin(hook, name) for hook, *_ in KINDS.values())), "")
        more = suggest(Measure.parse(name).name, known) or (f"similar: {', '.join(similar)}" if similar else LISTING)
        problem = f"no component or plugin has this name{registry.describe_broken()}"
        raise UserError(problem, where=name, hint=near or more)
    for owner in named:
        plugin = host.manager.get_plugin(owner)
        facts = [
            ("Owner", f"{owner}{_version_of(owner.partition(':')[0])}"),
            ("Hooks", ", ".join(host.hooks_of(owner)) or "none"),
            ("Versions of robench.api", getattr(plugin, VARIABLE, None) or "not declared"),
        ]
        offered = {kind: [e.name for e in registry.entries[kind] if e.owner == owner] for kind in KINDS}
        facts += [(f"Components, {kind}", ", ".join(sorted(names))) for kind, names in offered.items() if names]
        _print_prose(owner, inspect.getdoc(plugin) or "", facts, console)


def _print_prose(title: str, text: str, facts: list[tuple[str, str]], console: Console) -> None:
    """Prints a title, the paragraphs of a docstring, and a list of facts."""
    lines = [title, ""]
    for paragraph in _plain(text).split("\n\n"):
        lines += [*_wrapped(paragraph), ""]
    for fact, value in facts:
        lines += textwrap.wrap(f"{fact}: {_plain(value)}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)
    console.print("\n".join(lines), highlight=False, soft_wrap=True)


def _wrapped(paragraph: str) -> Iterator[str]:
    """Yields the lines of a paragraph, wrapped at ``WIDTH`` columns.

    The lines of a list, a table or a formula are not changed.
    """
    rows = paragraph.splitlines()
    if any(row.startswith((" ", "- ", "|")) for row in rows):
        yield from rows
    else:
        yield from textwrap.wrap(paragraph, WIDTH, break_on_hyphens=False, break_long_words=False)


def _plain(text: str) -> str:
    """Returns a text without the backticks that mark code."""
    return text.replace("`", "")


def _version_of(distribution: str) -> str:
    """Returns the version of a distribution in parentheses, or an empty string."""
    try:
        return f" ({metadata.version(distribution)})"
    except metadata.PackageNotFoundError:
        return ""
