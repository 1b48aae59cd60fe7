"""Names of components: which plugin offers each, and its class, imported when it is needed.

A component has two names. Its identity is for machines: ids, cache keys and the columns of tables hold it, and it
depends on nothing but the distribution that offers the component. Its reference is for people: the shortest name that
is unambiguous among the plugins that are installed.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, overload

from robench.api.component import BaseConfig, Component
from robench.api.errors import UserError, did_you_mean
from robench.api.metric import Measure, Metric
from robench.host.discovery import Host
from robench.spec import Part

if TYPE_CHECKING:
    from robench.api.attacks.base import Attack
    from robench.api.data import Dataset
    from robench.api.defense import Defense
    from robench.api.models.base import Model

OWN = "robench"  # the distribution whose components have bare names, and whose roles count
Kind = Literal["dataset", "model", "attack", "defense", "metric", "executor"]
KINDS: dict[Kind, tuple[str, str]] = {
    "dataset": ("robench_datasets", "robench.api.data:Dataset"),
    "model": ("robench_models", "robench.api.models.base:Model"),
    "attack": ("robench_attacks", "robench.api.attacks.base:Attack"),
    "defense": ("robench_defenses", "robench.api.defense:Defense"),
    "metric": ("robench_metrics", "robench.api.metric:Metric"),
    "executor": ("robench_executors", "robench.api.executor:Executor"),
}


@dataclass(frozen=True)
class Entry:
    """One component that a plugin offers.

    Args:
        name: as the plugin calls it.
        owner: ``distribution:entry`` of the plugin.
        target: the class, or ``module:Class``.
    """

    name: str
    owner: str
    target: type[Any] | str

    @property
    def distribution(self) -> str:
        """The part of the owner before the colon."""
        return self.owner.partition(":")[0]

    @property
    def own(self) -> bool:
        """Whether robench itself offers it."""
        return self.distribution == OWN


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
        """Returns the entry that a person means by ``name``, ``distribution/name`` or ``distribution:entry/name``.

        Raises:
            UserError: no plugin or several plugins offer it.
        """
        qualifier, _, short = name.rpartition("/")
        named = self._named(kind, short)
        found = [e for e in named if qualifier in ("", e.distribution, e.owner)]
        if len(found) == 1:
            return found[0]
        if found:
            owners = " and ".join(entry.owner for entry in found)
            hint = " or ".join(self.reference(kind, entry) for entry in found)
            raise UserError(f"{kind} '{name}' is offered by {owners}", hint=f"write {hint}")
        if named:
            hint = f"write {' or '.join(self.reference(kind, entry) for entry in named)}"
            raise UserError(f"'{qualifier}' offers no {kind} '{short}'", hint=hint)
        hint = did_you_mean(name, {entry.name for entry in self.entries[kind]})
        if self.broken:
            hint += f"; plugins that could not be loaded: {', '.join(sorted(self.broken))}, see robench plugins"
        raise UserError(f"unknown {kind} '{name}'", hint=hint)

    def _named(self, kind: Kind, short: str) -> list[Entry]:
        return [entry for entry in self.entries[kind] if entry.name == short]

    def identity(self, kind: Kind, entry: Entry) -> str:
        """Returns the name of an entry that does not depend on which other distributions are installed.

        It is the bare name for robench itself, ``distribution/name`` for any other distribution, and
        ``distribution:entry/name`` if one distribution offers the name twice.
        """
        if sum(other.distribution == entry.distribution for other in self._named(kind, entry.name)) > 1:
            return f"{entry.owner}/{entry.name}"
        return entry.name if entry.own else f"{entry.distribution}/{entry.name}"

    def resolve(self, kind: Kind, identity: str) -> Entry:
        """Returns the entry of an identity, as plans, records and payloads hold it.

        Files that an older version wrote hold a reference instead, which is looked up as if a person had written it.

        Raises:
            UserError: no plugin or several plugins offer it.
        """
        named = self._named(kind, identity.rpartition("/")[2])
        return next((e for e in named if self.identity(kind, e) == identity), None) or self.find(kind, identity)

    def reference(self, kind: Kind, entry: Entry) -> str:
        """Returns the shortest name that means this entry and no other."""
        rivals = [other for other in self._named(kind, entry.name) if other != entry]
        if not rivals:
            return entry.name
        same = any(other.distribution == entry.distribution for other in rivals)
        return f"{entry.owner if same else entry.distribution}/{entry.name}"

    def spelling(self, kind: Kind, identity: str) -> str:
        """Returns an identity as a suite file can hold it: qualified if its bare name is ambiguous here."""
        return identity if "/" in identity else self.reference(kind, self.resolve(kind, identity))

    def load(self, kind: Kind, name: str) -> Any:
        """Returns the class that a person means by a name.

        Raises:
            UserError: the name is unknown or ambiguous, or the class cannot be imported.
        """
        return self.load_entry(kind, self.find(kind, name))

    def class_of(self, kind: Kind, identity: str) -> Any:
        """Returns the class of an identity.

        Raises:
            UserError: no plugin offers it, or the class cannot be imported.
        """
        return self.load_entry(kind, self.resolve(kind, identity))

    @overload
    def make(self, kind: Literal["dataset"], part: Part) -> Dataset: ...
    @overload
    def make(self, kind: Literal["model"], part: Part) -> Model: ...
    @overload
    def make(self, kind: Literal["attack"], part: Part) -> Attack: ...
    @overload
    def make(self, kind: Literal["defense"], part: Part) -> Defense: ...
    def make(self, kind: Kind, part: Part) -> Component:
        """Returns the component of a part, with the part's settings.

        Raises:
            UserError: no plugin offers it, or its class cannot be imported.
        """
        component: Component = self.class_of(kind, part.name).make(**part.config)
        return component

    def metrics(self, names: Iterable[str]) -> dict[str, Metric]:
        """Returns the metrics of ``["ndcg@10", ...]``, by identity (``ndcg``), in order.

        Raises:
            UserError: no plugin offers one of them, or its class cannot be imported.
        """
        identities = dict.fromkeys(Measure.parse(name).name for name in names)
        return {identity: self.class_of("metric", identity)() for identity in identities}

    def load_entry(self, kind: Kind, entry: Entry) -> Any:
        """Returns the class of an entry, checked to be a whole component of its kind.

        Raises:
            UserError: it cannot be imported, or it is not a component of this kind.
        """
        cls = entry.target
        if isinstance(cls, str):
            try:
                cls = _attribute(cls)
            except (Exception, SystemExit) as error:  # a plugin may raise anything when it is imported
                problem = f"{kind} '{entry.name}' of plugin {entry.owner} cannot be imported"
                raise UserError(f"{problem}: {type(error).__name__}: {error}") from error
        fault = _fault(cls, _attribute(KINDS[kind][1]))
        if fault:
            raise UserError(f"{kind} '{entry.name}' of plugin {entry.owner} {fault}")
        return cls

    def listing(self) -> Iterator[tuple[str, str, str]]:
        """(kind, name, owner) of every component, imported or not."""
        for kind, entries in self.entries.items():
            for entry in sorted(entries, key=lambda e: (e.name, e.owner)):
                yield kind, entry.name, entry.owner

    def check(self) -> Iterator[tuple[str, str, str, str]]:
        """(kind, name, owner, what it needs and offers, or ``error: ...``); imports each.

        A name that several plugins offer says how to write this one.
        """
        for kind, entries in self.entries.items():
            for entry in sorted(entries, key=lambda e: (e.name, e.owner)):
                try:
                    state = described(self.load_entry(kind, entry))
                except UserError as error:
                    state = f"error: {error}"
                reference = self.reference(kind, entry)
                if reference != entry.name:
                    state = f"{state}; name clash: write {reference}"
                yield kind, entry.name, entry.owner, state


def described(cls: type[Component]) -> str:
    """Settings, surfaces and threat model (by default) of a component, in a line."""
    settings = [field.alias or name for name, field in cls.Config.model_fields.items()]
    parts = [f"settings: {', '.join(settings)}"] if settings else []
    surfaces = getattr(cls, "surfaces", None)
    if surfaces:
        parts.append(f"surfaces: {', '.join(sorted(surfaces))}")
    if hasattr(cls, "threat"):
        parts.append(_threat(cls))
    return "; ".join(parts) or "ok"


def _threat(cls: Any) -> str:
    try:
        fields = cls().threat().as_dict()
    except Exception:  # a setting without a default, or a plugin's bug: the class still says where it attacks
        return f"threat: {cls.surface}, {cls.stage}"
    return "threat: " + ", ".join(f"k {value}" if name == "k" else str(value) for name, value in fields.items())


def _fault(cls: Any, base: type[Any]) -> str:
    """What keeps an object from being a component of a kind, or empty."""
    if not (isinstance(cls, type) and issubclass(cls, base)):
        return f"is not a subclass of {base.__name__}"
    config = getattr(cls, "Config", None)
    if not (isinstance(config, type) and issubclass(config, BaseConfig)):
        return "has a Config that is not a subclass of BaseConfig"
    # Components have no metaclass that would refuse an incomplete class when it is made.
    lacking = [name for name in dir(cls) if getattr(getattr(cls, name, None), "__isabstractmethod__", False)]
    lacking += [name for name in ("surface", "stage") if name in base.__annotations__ and not hasattr(cls, name)]
    return f"lacks {', '.join(lacking)}" if lacking else ""


def _attribute(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
