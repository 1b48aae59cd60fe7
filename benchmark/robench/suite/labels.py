"""Makes the parts of a suite distinct.

The module removes repeated parts, and labels the others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from robench.api.digest import digest
from robench.api.escapes import visible
from robench.host.registry import Kind
from robench.spec import NO_DEFENSE, Part
from robench.suite.grids import OWN_COLUMNS
from robench.suite.mistakes import Mistakes
from robench.suite.yaml import KeyPath


@dataclass(frozen=True)
class Expanded:
    """One combination of the settings in an entry's grid.

    Args:
        part: the configured component.
        path: the path of the entry in the suite.
        epsilons: the budgets of an attack. The tuple is empty for other kinds.
        implied: whether the part is the defence ``none``, implied by a defence with λ = 1.
    """

    part: Part
    path: KeyPath
    epsilons: tuple[float, ...] = ()
    implied: bool = False


def drop_twins(expanded: Sequence[Expanded], mistakes: Mistakes) -> list[Expanded]:
    """Returns each distinct part once.

    Parts that are written twice are a mistake, unless they are attacks without a common budget. An implied ``none`` is
    dropped if the list has another ``none``.
    """
    written = any(one.part.content() == NO_DEFENSE.content() and not one.implied for one in expanded)
    distinct: list[Expanded] = []
    by_content: dict[str, list[Expanded]] = defaultdict(list)
    for one in expanded:
        twins = by_content[digest(one.part.content())]
        if one.implied and (written or twins):
            continue
        twin = next((t for t in twins if not one.epsilons or set(one.epsilons) & set(t.epsilons)), None)
        if twin is None:
            distinct.append(one)
            twins.append(one)
        elif twin.path == one.path:
            mistakes.add("two combinations of its grids are the same", one.path)
        else:
            mistakes.add(f"the same as {twin.path[0]}[{twin.path[1]}]", one.path, "remove one of them")
    return distinct


def add_labels(kind: Kind, expanded: Sequence[Expanded], mistakes: Mistakes) -> list[Expanded]:
    """Gives the parts labels such as ``mf[factors=32]``.

    A label names the settings in which parts differ. Parts of one defence that differ only in λ and ε share a label,
    because the tables have columns for λ and ε. If other parts would share a label, a mistake is added.
    """
    groups: dict[str, list[Part]] = defaultdict(list)
    for one in expanded:
        groups[one.part.label].append(one.part)
    labelled: list[Expanded] = []
    contents: dict[str, str] = {}
    for one in expanded:
        settings = {name: value for name, value in one.part.config.items() if name not in OWN_COLUMNS.get(kind, ())}
        label = _label(one.part, settings, groups[one.part.label])
        content = digest([one.part.name, settings])
        if contents.setdefault(label, content) != content:
            mistakes.add(f"two entries would be called '{label}'", one.path, "give it a label of its own")
        labelled.append(replace(one, part=replace(one.part, label=label)))
    return labelled


def _label(part: Part, settings: dict[str, object], group: Sequence[Part]) -> str:
    """Returns the label of one part.

    Args:
        part: the part.
        settings: the settings that a label may name.
        group: all parts that had the same label before, including ``part``.
    """
    marks = [part.name] if len({other.name for other in group}) > 1 else []
    flat = [_flatten(other.config) for other in group]
    settings = _flatten(settings)
    differing = [name for name in settings if len({repr(other.get(name)) for other in flat}) > 1]
    written = {name for other in group for name in _flatten(other.passed)}
    # A setting that no entry gives follows from one that an entry gives.
    shown = [name for name in differing if name in written] or differing
    marks += [f"{name}={_format(settings[name])}" for name in shown]
    return f"{part.label}[{','.join(marks)}]" if marks else part.label


def _flatten(settings: Mapping[str, Any]) -> dict[str, object]:
    """Returns settings by path, such as ``knowledge.data``."""
    flat: dict[str, object] = {}
    for name, value in settings.items():
        inner = _flatten(value) if isinstance(value, Mapping) else {}
        flat |= {f"{name}.{path}": nested for path, nested in inner.items()} if inner else {name: value}
    return flat


def _format(value: Any) -> str:
    short = f"{value:g}" if isinstance(value, float) else visible(str(value))
    return repr(value) if isinstance(value, float) and float(short) != value else short
