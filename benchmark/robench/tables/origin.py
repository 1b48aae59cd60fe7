"""Summarises the origin of a folder: versions, machines, costs and digests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from robench.files.reading import read_file
from robench.spec import CellRow
from robench.store.seal import SEAL
from robench.tables.results import Results

PACKAGES = ("robench", "python", "torch", "numpy")  # the packages whose versions a record states


@dataclass(frozen=True)
class Origin:
    """The origin of the measured cells of a folder.

    Args:
        versions: the versions of robench, Python, torch and numpy, without repeats, in the order of the cells.
        plugins: the versions of the plugins, by ``distribution:entry``.
        machines: the distinct machines, such as ``linux x86_64, cpu, 1 thread``.
        dates: the first and the last day on which a cell was measured, such as ``2026-11-30``. The tuple is empty if
            the records do not state days, as in folders from earlier versions of robench.
        seconds: the total duration of the fits and the measurements.
        memory: the peak memory of a worker in MiB, or None if no record states it.
        plan_sha256: the digest of plan.json.
        digests: the sha256 of each record, by the id of the cell.
    """

    versions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    plugins: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    machines: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    seconds: float = 0.0
    memory: float | None = None
    plan_sha256: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)


def build_origin(results: Results) -> Origin:
    """Returns the origin of the measured cells of a folder."""
    measured = [cell for cell in results.cells if results.ok(cell)]
    records = [results.record(cell) for cell in measured]
    origins = [record["provenance"] for record in records]
    owners = sorted({owner for origin in origins for owner in origin["plugins"]})
    dates = sorted({origin["date"] for origin in origins if origin.get("date")})
    memory = [record["peak_memory_mib"] for record in records if record["peak_memory_mib"] is not None]
    return Origin(
        {name: _distinct(origin[name] for origin in origins) for name in PACKAGES},
        {owner: _distinct(origin["plugins"].get(owner, "") for origin in origins) for owner in owners},
        _distinct(_machine(origin) for origin in origins),
        (dates[0], dates[-1]) if dates else (),
        _sum_seconds(results, measured),
        max(memory, default=None),
        _plan_digest(results),
        {cell.cell: results.record(cell)[SEAL] for cell in results.cells if cell.cell in results.records},
    )


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, values)))


def _machine(origin: Mapping[str, Any]) -> str:
    """Returns the platform, the processor, the device and the threads."""
    threads = f"{origin['threads']} thread{'' if origin['threads'] == 1 else 's'}"
    return ", ".join(filter(None, (origin["platform"], origin.get("processor", ""), origin["device"], threads)))


def _sum_seconds(results: Results, cells: Iterable[CellRow]) -> float:
    """Returns the duration of all measurements, and of one fit per victim."""
    fits: dict[str, float] = {}
    total = 0.0
    for cell in cells:
        record = results.record(cell)
        total += record["seconds"]
        fits[cell.victim] = record["fit_seconds"] or fits.get(cell.victim, 0.0)
    return total + sum(fits.values())


def _plan_digest(results: Results) -> str:
    content: dict[str, str] = json.loads(read_file(results.store.folder / "plan.json"))
    return content.get(SEAL, "")
