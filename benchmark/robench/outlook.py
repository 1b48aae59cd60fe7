"""What a run would do, without doing it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from robench.plan import make_plan, only_filter
from robench.provenance import code_digest
from robench.record import Record
from robench.registry import Registry
from robench.spec import label_of
from robench.store import Store
from robench.suite.load import load_suite


@dataclass
class VictimRow:
    """Counts of one victim's cells."""

    label: str
    cells: int = 0
    stored: int = 0
    stale: int = 0
    skipped: int = 0


@dataclass
class Outlook:
    """What ``robench plan`` shows."""

    name: str
    folder: Path
    rows: list[VictimRow]
    reasons: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)


def is_stale(record: Record) -> bool:
    """Whether the code that measured a cell has changed since."""
    return any(code_digest(package) != digest for package, digest in record["provenance"]["code"].items())


def outlook(
    path: Path, registry: Registry, results: Path | None, overrides: tuple[str, ...], only: tuple[str, ...]
) -> Outlook:
    """Victims and cells of a suite, and what of them is stored, stale or skipped.

    Raises:
        UserError: the suite is wrong, or the folder holds another suite.
    """
    suite = load_suite(path, registry, overrides)
    plan = make_plan(suite, registry)
    store = Store(results or Path("results") / suite.name)
    store.check_name(suite.name)
    allowed = only_filter(only)
    rows: dict[str, VictimRow] = {}
    seen = Outlook(suite.name, store.folder, [])
    for cell in plan.cells:
        if not allowed(cell):
            continue
        row = rows.setdefault(cell.victim.id, VictimRow(label_of(cell.victim)))
        if cell.skip:
            row.skipped += 1
            seen.reasons[cell.skip] += 1
            continue
        row.cells += 1
        record = store.done(cell.id)
        if record is not None:
            row.stored += 1
            row.stale += is_stale(record)
    seen.rows = list(rows.values())
    stale = sum(row.stale for row in seen.rows)
    if stale:
        seen.notes.append(f"{stale} stored cells are stale: the code has changed since; --fresh measures them again")
    return seen
