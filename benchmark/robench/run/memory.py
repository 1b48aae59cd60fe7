"""Describes the memory that models declare for their fits, for ``robench plan``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from robench.api.errors import counted
from robench.api.summary import DataSummary
from robench.host.registry import Registry
from robench.run.data import data_name
from robench.spec import Cell

GIB = 1 << 30
LEAST = GIB  # a smaller fit needs no note


def memory_notes(cells: Iterable[Cell], summaries: Mapping[str, DataSummary], registry: Registry) -> list[str]:
    """Returns a line for each model and data set that need at least 1 GiB.

    The model declares how much memory a fit on the data set needs.

    Args:
        cells: the cells that are still to be measured.
        summaries: the counts, by data set and split. Data sets without counts are ignored.
        registry: the plugins.
    """
    victims: dict[tuple[str, str], set[str]] = {}
    needs: dict[tuple[str, str], int] = {}
    for cell in cells:
        name = data_name(cell.victim)
        key = (cell.victim.model.label, name)
        if name not in summaries:
            continue
        if key not in needs:
            summary = summaries[name]
            model = registry.make("model", cell.victim.model)
            needs[key] = model.declared_memory(summary.users, summary.items, summary.parts[0])
        victims.setdefault(key, set()).add(cell.victim.id)
    return [
        _line(*key, needs[key], summaries[key[1]], len(some)) for key, some in victims.items() if needs[key] >= LEAST
    ]


def _line(model: str, name: str, needed: int, summary: DataSummary, victims: int) -> str:
    size = f"{summary.users:,} users and {summary.items:,} items"
    return (
        f"memory: a fit of {model} on {name.partition('/')[0]} ({size}) needs about {needed / GIB:.1f} GiB per worker, "
        f"{counted(victims, 'victim')}"
    )
