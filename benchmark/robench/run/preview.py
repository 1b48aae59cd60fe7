"""What a run would do, without doing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from robench.api.data import Catalogue
from robench.api.errors import UserError, counted
from robench.files.cache import Cache, default_folder
from robench.host.registry import Registry
from robench.plan.filters import chosen
from robench.plan.misfits import skip_notes
from robench.plan.plan import make_plan
from robench.run.data import ready, roles, wrong_weights
from robench.run.dependencies import Dependencies
from robench.run.encodings import encoding_notes
from robench.run.todo import find_todo
from robench.spec import Cell, label_of
from robench.store.folder import Store
from robench.store.provenance import stale_note
from robench.suite.load import Suite, load_suite


@dataclass
class VictimRow:
    """Counts of one victim's cells."""

    label: str
    cells: int = 0
    stored: int = 0
    stale: int = 0
    skipped: int = 0


@dataclass
class Preview:
    """What ``robench plan`` shows; ``refusals`` are the lines in which a run would end."""

    name: str
    folder: Path
    rows: list[VictimRow]
    skips: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    excluded: int = 0


def preview(
    path: Path, registry: Registry, results: Path | None, overrides: tuple[str, ...], only: tuple[str, ...]
) -> Preview:
    """Victims and cells of a suite, and what of them is stored, stale or skipped.

    The data are prepared as a run would, because a stored cell counts only where it was measured on them.

    Raises:
        UserError: the suite is wrong, or the folder holds another suite.
    """
    suite = load_suite(path, registry, overrides)
    if suite.device.startswith("cuda"):
        from robench.run.worker import pick_device  # noqa: PLC0415  # imports torch

        pick_device(suite.device)
    plan = make_plan(suite, registry)
    store = Store(results or Path("results") / suite.name)
    store.check_name(suite.name)
    cells = chosen(plan.cells, only)
    rows: dict[str, VictimRow] = {}
    seen = Preview(
        suite.name, store.folder, [], skip_notes(c.skip for c in cells), list(suite.notes), excluded=plan.excluded
    )
    cache = Cache(default_folder())
    shas, catalogues = _data(suite, plan.cells, registry, cache, seen)  # all, as a run does
    seen.notes += encoding_notes([cell for cell in cells if not cell.skip], catalogues, registry)
    several = len({cell.victim.dataset.label for cell in cells}) > 1
    metrics = registry.metrics(suite.metrics).values()
    todo = find_todo(cells, store, Dependencies(registry, cache.sources), metrics, shas)
    for cell in cells:
        home = f"{cell.victim.dataset.label}: " if several else ""
        row = rows.setdefault(cell.victim.id, VictimRow(home + label_of(cell.victim)))
        state = todo.state(cell)
        row.cells += state != "skipped"
        row.skipped += state == "skipped"
        row.stored += state in ("stored", "stale")
        row.stale += state == "stale"
    seen.refusals += map(str, wrong_weights(todo.open(cells), suite, registry))
    seen.rows = list(rows.values())
    if changed := todo.count("changed"):
        seen.notes.append(f"measured on other data: {counted(changed, 'stored cell')}: run measures again")
    if stale := todo.count("stale"):
        seen.notes.append(stale_note(stale))
    return seen


def _data(
    suite: Suite, cells: Sequence[Cell], registry: Registry, cache: Cache, seen: Preview
) -> tuple[dict[str, str], dict[str, Catalogue]]:
    """Digest and items of every data set and split; what a run would refuse is noted."""
    shas, catalogues = {}, {}
    cache.check()
    for role, some in roles(cells).items():
        try:
            found = ready(some, suite, registry, cache)
        except UserError as error:
            if error.path == "targets":  # a mistake of the suite itself; what is not there yet is none of it
                raise
            seen.refusals.append(str(error))
            continue
        shas[role], catalogues[role] = found.key.sha256, found.data.catalogue
        seen.notes += found.notes
    return shas, catalogues
