"""The registry, which maps the names of components to plugins and classes.

A class is imported only when it is needed. A component has two names:

- The identity is for machines. Ids and cache keys are computed from identities, and tables have columns of identities.
  An identity does not depend on other installed distributions.
- The reference is for people. A reference is the shortest name that is unambiguous among the installed plugins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, overload

from robench.api.component import Component
from robench.api.errors import UserError, counted, did_you_mean, likeliest
from robench.api.escapes import describe_error
from robench.api.metric import Measure, Metric
from robench.host.discovery import Host
from robench.host.inspection import describe_component, find_fault, import_attribute
from robench.host.nearby import suggest_plugin
from robench.spec import Part

if TYPE_CHECKING:
    from robench.api.attacks.base import Attack
    from robench.api.dataset import Dataset
    from robench.api.defense import Defense
    from robench.api.models.base import Model

OWN = "robench"  # only components of this distribution have identities without a qualifier, and special roles
Kind = Literal["dataset", "model", "attack", "defense", "metric", "executor"]
# The hook that registers components of each kind, and the base class of this kind.
KINDS: dict[Kind, tuple[str, str]] = {
    "dataset": ("robench_datasets", "robench.api.dataset:Dataset"),
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
        name: the name under which the plugin registers the component.
        owner: the owner of the plugin, in the form ``distribution:entry``.
        target: the class of the component, or a string ``module:Class``.
    """

    name: str
    owner: str
    target: type[Any] | str

    @property
    def distribution(self) -> str:
        """The name of the distribution, which is the part of the owner before the colon."""
        return self.owner.partition(":")[0]

    @property
    def own(self) -> bool:
        """True if robench itself offers the component."""
        return self.distribution == OWN


class Registry:
    """The components that plugins offer, by kind and name.

    A registry is always passed as an argument. There is no global registry.

    Args:
        entries: the components of each kind, in the order of the plugins.
        broken: the reason why a plugin could not be loaded, by owner. Error messages name these plugins.
        aliases: additional names of data sets, such as frames from Python. Each name is mapped to the suite entry
            for which it stands.
    """

    def __init__(
        self,
        entries: dict[Kind, list[Entry]],
        broken: dict[str, str],
        aliases: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.entries, self.broken, self.aliases = entries, broken, dict(aliases or {})

    @classmethod
    def of(cls, host: Host) -> Registry:
        """Returns a registry of all components that the plugins of a host offer.

        A component that is registered as a string ``module:Class`` is not imported.
        """
        entries: dict[Kind, list[Entry]] = {}
        for kind, (hook, _) in KINDS.items():
            entries[kind] = [Entry(n, owner, t) for owner, offered in host.registered(hook) for n, t in offered.items()]
        return cls(entries, host.broken)

    def with_class(self, kind: Kind, name: str, cls: type[Component], aliases: Mapping[str, Any]) -> Registry:
        """Returns a registry in which a component of robench has a different class.

        Args:
            kind: the kind of the component.
            name: the name under which robench registers the component.
            cls: the new class.
            aliases: the aliases of the new registry.
        """
        replaced = [replace(e, target=cls) if e.own and e.name == name else e for e in self.entries[kind]]
        return Registry({**self.entries, kind: replaced}, self.broken, aliases)

    def find(self, kind: Kind, name: str) -> Entry:
        """Returns the component that a user means by a name.

        The name has the form ``name``, ``distribution/name`` or ``distribution:entry/name``.

        Raises:
            UserError: if no plugin or more than one plugin offers such a component.
        """
        qualifier, _, short = name.rpartition("/")
        named = self._named(kind, short)
        matches = [e for e in named if qualifier in ("", e.distribution, e.owner)]
        if len(matches) == 1:
            return matches[0]
        if matches:
            owners = " and ".join(entry.owner for entry in matches)
            hint = " or ".join(self.reference(kind, entry) for entry in matches)
            raise UserError(f"{kind} '{name}' is offered by {owners}", hint=f"write {hint}")
        if named:
            hint = f"write {' or '.join(self.reference(kind, entry) for entry in named)}"
            raise UserError(f"'{qualifier}' offers no {kind} '{short}'", hint=hint)
        near = suggest_plugin(KINDS[kind][0], short)
        known = {entry.name for entry in self.entries[kind]} | (set(self.aliases) if kind == "dataset" else set())
        hint = near or did_you_mean(name, known)
        if kind == "dataset" and not self.aliases and likeliest(short, known) is None:
            hint = f"a frame from Python is given by robench.run(SUITE, datasets={{'{name}': frame}}); {hint}"
        raise UserError(f"unknown {kind} '{name}'{self.describe_broken()}", hint=hint)

    def describe_broken(self) -> str:
        """Returns a phrase about the plugins that could not be loaded.

        The phrase is empty if all plugins are loaded.
        """
        if not self.broken:
            return ""
        (owner, reason), *others = sorted(self.broken.items())
        more = f" (and {counted(len(others), 'more plugin')}: see robench plugins)" if others else ""
        return f": plugin {owner} could not be loaded: {reason}{more}"

    def _named(self, kind: Kind, short: str) -> list[Entry]:
        return [entry for entry in self.entries[kind] if entry.name == short]

    def identity(self, kind: Kind, entry: Entry) -> str:
        """Returns the identity of a component.

        The identity does not depend on other installed distributions. There are three forms:

        - ``name`` is for components of robench itself.
        - ``distribution/name`` is for components of any other distribution.
        - ``distribution:entry/name`` is used if one distribution offers the name twice.
        """
        if sum(other.distribution == entry.distribution for other in self._named(kind, entry.name)) > 1:
            return f"{entry.owner}/{entry.name}"
        return entry.name if entry.own else f"{entry.distribution}/{entry.name}"

    def resolve(self, kind: Kind, identity: str) -> Entry:
        """Returns the component with the given identity.

        Identities come from plans, records and payloads.

        Files from older versions contain references instead. A reference is looked up like a name from a user.

        Raises:
            UserError: if no plugin or more than one plugin offers the component.
        """
        named = self._named(kind, identity.rpartition("/")[2])
        return next((e for e in named if self.identity(kind, e) == identity), None) or self.find(kind, identity)

    def reference(self, kind: Kind, entry: Entry) -> str:
        """Returns the shortest name that refers only to this component."""
        rivals = [other for other in self._named(kind, entry.name) if other != entry]
        if not rivals:
            return entry.name
        same = any(other.distribution == entry.distribution for other in rivals)
        return f"{entry.owner if same else entry.distribution}/{entry.name}"

    def spelling(self, kind: Kind, identity: str) -> str:
        """Returns the name to write in a suite for the component with this identity.

        The name is qualified if a distribution other than robench offers the component, or if the bare name is
        ambiguous in this environment.
        """
        return identity if "/" in identity else self.reference(kind, self.resolve(kind, identity))

    def load(self, kind: Kind, name: str) -> Any:
        """Returns the class of the component that a user means by a name.

        Raises:
            UserError: if the name is unknown or ambiguous, or if the class cannot be imported or is not a valid
                component.
        """
        return self.load_entry(kind, self.find(kind, name))

    def class_of(self, kind: Kind, identity: str) -> Any:
        """Returns the class of the component with the given identity.

        Raises:
            UserError: if no plugin or more than one plugin offers the component, or if the class cannot be imported or
                is not a valid component.
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
        """Returns an instance of a part's component, with the settings of the part.

        Raises:
            UserError: if no plugin or more than one plugin offers the component, or if the class cannot be imported or
                is not a valid component.
        """
        component: Component = self.class_of(kind, part.name).make(**part.config)
        return component

    def metrics(self, names: Iterable[str]) -> dict[str, Metric]:
        """Returns an instance of each metric, by identity such as ``ndcg``.

        Args:
            names: the names of measures, such as ``ndcg@10``.

        Raises:
            UserError: if no plugin or more than one plugin offers a metric, or if its class cannot be imported or is
                not a valid component.
        """
        identities = dict.fromkeys(Measure.parse(name).name for name in names)
        return {identity: self.class_of("metric", identity)() for identity in identities}

    def load_entry(self, kind: Kind, entry: Entry) -> Any:
        """Returns the class of a component, after importing and checking the class.

        Raises:
            UserError: if the class cannot be imported, or is not a valid component of this kind.
        """
        cls = entry.target
        if isinstance(cls, str):
            try:
                cls = import_attribute(cls)
            except (Exception, SystemExit) as error:  # a plugin may raise anything when it is imported
                problem = f"{kind} '{entry.name}' of plugin {entry.owner} cannot be imported"
                raise UserError(f"{problem}: {describe_error(error)}") from error
        if fault := find_fault(cls, import_attribute(KINDS[kind][1])):
            raise UserError(f"{kind} '{entry.name}' of plugin {entry.owner} {fault}")
        return cls

    def listing(self) -> Iterator[tuple[str, str, str]]:
        """Yields the kind, the name and the owner of every component.

        No component is imported.
        """
        for kind, entries in self.entries.items():
            for entry in sorted(entries, key=lambda e: (e.name, e.owner)):
                yield kind, entry.name, entry.owner

    def check(self) -> Iterator[tuple[str, str, str, str]]:
        """Imports every component and yields its kind, name, owner and state.

        The state is the line from ``describe_component``, or has the form ``error: ...``. If several plugins offer a
        component of this name, the state also gives the name to write in a suite.
        """
        for kind, entries in self.entries.items():
            for entry in sorted(entries, key=lambda e: (e.name, e.owner)):
                try:
                    state = describe_component(self.load_entry(kind, entry))
                except UserError as error:
                    state = f"error: {error}"
                reference = self.reference(kind, entry)
                if reference != entry.name:
                    state = f"{state}; name clash: write {reference}"
                yield kind, entry.name, entry.owner, state
