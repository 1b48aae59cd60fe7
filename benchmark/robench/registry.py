"""Names of components: who offers them, and their classes, imported when they are needed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from robench.api.component import Component
from robench.api.errors import UserError, did_you_mean
from robench.host import Host

Kind = Literal["dataset", "model", "attack", "defense", "metric", "executor"]
KINDS: dict[Kind, tuple[str, str]] = {
    "dataset": ("robench_datasets", "robench.api.data:Dataset"),
    "model": ("robench_models", "robench.api.model:Model"),
    "attack": ("robench_attacks", "robench.api.attack:Attack"),
    "defense": ("robench_defenses", "robench.api.defense:Defense"),
    "metric": ("robench_metrics", "robench.api.metric:Metric"),
    "executor": ("robench_executors", "robench.api.executor:Executor"),
}


@dataclass(frozen=True)
class Entry:
    """One offer: ``target`` is a class or ``module:Class``."""

    name: str
    owner: str
    target: type[Any] | str

    @property
    def distribution(self) -> str:
        """The part of the owner before the colon."""
        return self.owner.partition(":")[0]


class Registry:
    """Components by kind and name. It is an argument, never a global."""

    def __init__(self, entries: dict[Kind, list[Entry]], broken: dict[str, str]) -> None:
        self.entries, self.broken = entries, broken

    @classmethod
    def of(cls, host: Host) -> Registry:
        """Everything that the host's plugins offer."""
        entries: dict[Kind, list[Entry]] = {}
        for kind, (hook, _) in KINDS.items():
            entries[kind] = [Entry(n, owner, t) for owner, offered in host.registered(hook) for n, t in offered.items()]
        return cls(entries, host.broken)

    def find(self, kind: Kind, name: str) -> Entry:
        """The entry that ``name`` or ``distribution/name`` means.

        Raises:
            UserError: nobody or several offer it.
        """
        distribution, _, short = name.rpartition("/")
        found = [e for e in self.entries[kind] if e.name == short and distribution in ("", e.distribution)]
        if len(found) == 1:
            return found[0]
        if found:
            owners = " and ".join(entry.owner for entry in found)
            hint = " or ".join(f"{entry.distribution}/{short}" for entry in found)
            raise UserError(f"{kind} '{name}' is offered by {owners}", hint=f"write {hint}")
        hint = did_you_mean(name, {entry.name for entry in self.entries[kind]})
        if self.broken:
            hint += f"; plugins that could not be loaded: {', '.join(sorted(self.broken))}, see robench plugins"
        raise UserError(f"unknown {kind} '{name}'", hint=hint)

    def load(self, kind: Kind, name: str) -> Any:
        """The class behind a name.

        Raises:
            UserError: unknown, ambiguous, or its plugin cannot be imported.
        """
        return self.load_entry(kind, self.find(kind, name))

    def load_entry(self, kind: Kind, entry: Entry) -> Any:
        """The class of an entry, checked to be of its kind."""
        cls = entry.target
        if isinstance(cls, str):
            module, _, attribute = cls.partition(":")
            try:
                cls = getattr(importlib.import_module(module), attribute)
            except Exception as error:  # a plugin may raise anything when it is imported
                problem = f"{kind} '{entry.name}' of plugin {entry.owner} cannot be imported"
                raise UserError(f"{problem}: {type(error).__name__}: {error}") from error
        base = _attribute(KINDS[kind][1])
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise UserError(f"{kind} '{entry.name}' of plugin {entry.owner} is not a subclass of {base.__name__}")
        return cls

    def listing(self) -> Iterator[tuple[str, str, str]]:
        """(kind, name, owner) of every component, imported or not."""
        for kind, entries in self.entries.items():
            for entry in sorted(entries, key=lambda e: (e.name, e.owner)):
                yield kind, entry.name, entry.owner

    def check(self) -> Iterator[tuple[str, str, str, str]]:
        """(kind, name, owner, what it needs and offers, or its error); imports each."""
        for kind, entries in self.entries.items():
            for entry in sorted(entries, key=lambda e: (e.name, e.owner)):
                try:
                    state = described(self.load_entry(kind, entry))
                except UserError as error:
                    state = f"error: {error}"
                yield kind, entry.name, entry.owner, state


def described(cls: type[Component]) -> str:
    """Settings, surfaces and threat of a component, in a line."""
    settings = [field.alias or name for name, field in cls.Config.model_fields.items()]
    parts = [f"settings: {', '.join(settings)}"] if settings else []
    surfaces = getattr(cls, "surfaces", None)
    if surfaces:
        parts.append(f"surfaces: {', '.join(sorted(surfaces))}")
    if hasattr(cls, "surface") and hasattr(cls, "stage"):
        parts.append(f"attacks {cls.surface} at {cls.stage} time")
    return "; ".join(parts) or "ok"


def _attribute(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
