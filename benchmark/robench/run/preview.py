"""Previews the cells of a run and their states, for ``robench plan``.

Nothing is fitted or measured.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from robench.api.data import Catalogue
from robench.api.errors import UserError, counted, in_lines
from robench.api.summary import DataSummary, describe_summary
from robench.files.cache import Cache, default_folder
from robench.host.registry import Registry
from robench.plan.filters import select_cells
from robench.plan.misfits import note_skips
from robench.plan.plan import make_plan
from robench.run.budgets import budget_notes
from robench.run.data import group_by_data, load_suite_data
from robench.run.dependencies import Dependencies, find_file_errors
from robench.run.dropped import check_overrides, dropped_notes, find_dropped
from robench.run.encodings import encoding_notes
from robench.run.estimates import Estimates, describe_open, group_by_victim
from robench.run.memory import memory_notes
from robench.run.profiles import profile_notes
from robench.run.spending import declared_spending, spending_notes
from robench.run.todo import Todo, find_todo
from robench.spec import Cell, Victim, describe_victim
from robench.store.folder import Store
from robench.store.origin import check_origin
from robench.suite.load import Suite, load_suite


@dataclass
class VictimRow:
    """Counts the cells of some victims by state and estimates their cost.

    A row has one victim without poisoning, or all victims of one model and defence that one attack poisons at one ε.

    Args:
        label: a description of the victims.
        victims: the number of victims.
        cells: the number of their cells, without skipped ones.
        stored: the number of stored cells, including stale ones.
        stale: the number of stale cells.
        skipped: the number of skipped cells.
        seconds: the estimated seconds of the open cells, or None if there are none or no estimate is possible.
        memory: the estimated memory of a worker for these cells in MiB, or None as for ``seconds``.
    """

    label: str
    victims: int = 0
    cells: int = 0
    stored: int = 0
    stale: int = 0
    skipped: int = 0
    seconds: float | None = None
    memory: float | None = None


@dataclass
class Preview:
    """A preview of a run: the states of its cells, and lines for the user.

    Args:
        name: the name of the suite.
        folder: the folder of its results.
        rows: the victims. See ``VictimRow``.
        data: a summary of each data set, followed by lines about its peculiarities.
        skips: the reasons why cells are skipped, one line per reason.
        notes: other lines for the user.
        refusals: the error lines with which a run would refuse to start.
        excluded: the number of cells that ``exclude`` removed.
    """

    name: str
    folder: Path
    rows: list[VictimRow]
    data: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    excluded: int = 0


def make_preview(
    path: Path, registry: Registry, results: Path | None, overrides: tuple[str, ...], only: tuple[str, ...]
) -> Preview:
    """Returns a preview of a suite's victims and the states of their cells.

    The data is prepared as in a run, because a stored cell counts only if it was measured on the same data.

    Args:
        path: the suite.
        registry: the plugins.
        results: the folder of results, or None for ``results/<suite>``.
        overrides: settings of the suite to change.
        only: conditions that a cell must meet.

    Raises:
        UserError: if the suite or an option is wrong, if the folder holds another suite, or if overrides would remove
            measured cells from its tables.
    """
    suite = load_suite(path, registry, overrides)
    if suite.device.startswith("cuda"):
        from robench.run.device import pick_device  # noqa: PLC0415  # imports torch

        pick_device(suite.device, suite.tree.place(("device",)))
    plan = make_plan(suite, registry)
    store = Store(results or Path("results") / suite.name, keep=False)
    store.check_name(suite.name)
    check_origin(store.folder, suite.file, plan.to_json)
    dropped = find_dropped(plan.cells, store)
    check_overrides(suite, dropped, overrides, registry, str(store.folder))
    cells = select_cells(plan.cells, only)
    skips = note_skips(cell.skip for cell in cells)
    shown = Preview(suite.name, store.folder, [], [], skips, list(suite.notes), excluded=plan.excluded)
    cache = Cache(default_folder())
    data, catalogues, summaries = _prepare(
        suite, plan.cells, registry, cache, shown
    )  # the data of all cells, as in a run
    shown.notes += budget_notes(cells) + profile_notes(cells)
    shown.notes += encoding_notes([cell for cell in cells if not cell.skip], catalogues, registry)
    metrics = tuple(registry.metrics(suite.metrics).values())
    todo = find_todo(cells, store, Dependencies(registry, cache.sources), metrics, data, suite.device)
    shown.refusals += map(str, find_file_errors(todo.open(cells), suite, registry))
    rows = _rows(cells, todo)
    shown.rows = list(rows.values())
    if to_do := todo.open(cells):
        estimates = Estimates(plan.cells, store)
        _add_estimates(rows, to_do, estimates)
        shown.notes += describe_open(to_do, estimates) + memory_notes(to_do, summaries, registry)
        shown.notes += spending_notes(declared_spending(to_do, summaries, registry, metrics))
    if changed := todo.count("changed"):
        shown.notes.append(f"measured on different data: {counted(changed, 'stored cell')}: run measures again")
    if todo.damaged:
        shown.notes.append(f"damaged: {counted(len(todo.damaged), 'stored cell')}: run measures again")
        shown.notes += in_lines(todo.damaged.values())
    shown.notes += todo.notes() + dropped_notes(dropped)
    return shown


def _rows(cells: Sequence[Cell], todo: Todo) -> dict[Hashable, VictimRow]:
    rows: dict[Hashable, VictimRow] = {}
    several = len({cell.victim.dataset.label for cell in cells}) > 1
    for some in group_by_victim(cells).values():
        first = some[0].victim
        prefix = f"{first.dataset.label}: " if several else ""
        row = rows.setdefault(_group(first), VictimRow(prefix + describe_victim(first, seed=first.poison is None)))
        row.victims += 1
        for cell in some:
            state = todo.state(cell)
            row.cells += state != "skipped"
            row.skipped += state == "skipped"
            row.stored += state in ("stored", "stale")
            row.stale += state == "stale"
    return rows


def _group(victim: Victim) -> Hashable:
    """Returns a value that the victims of one row share."""
    if victim.poison is None:
        return victim.id
    parts = (victim.dataset, victim.split, victim.model, victim.defense, victim.poison.attack)
    return (*((part.label, part.id) for part in parts), victim.poison.epsilon)


def _add_estimates(rows: Mapping[Hashable, VictimRow], to_do: Iterable[Cell], known: Estimates) -> None:
    """Adds the estimated costs of open cells to the rows of their victims."""
    for some in group_by_victim(to_do).values():
        row, seconds = rows[_group(some[0].victim)], known.seconds(some)
        if math.isfinite(seconds):
            row.seconds = (row.seconds or 0.0) + seconds
        memory = known.memory(some[0])
        row.memory = max(filter(None, (row.memory, memory)), default=None)


def _prepare(
    suite: Suite, cells: Sequence[Cell], registry: Registry, cache: Cache, shown: Preview
) -> tuple[dict[str, str], dict[str, Catalogue], dict[str, DataSummary]]:
    """Returns the digests, catalogues and summaries, by data set and split.

    Errors are added to the refusals of the preview, but a mistake in ``targets`` is raised.
    """
    digests, catalogues, summaries = {}, {}, {}
    for name, some in group_by_data(cells).items():
        try:
            prepared = load_suite_data(some, suite, registry, cache)
        except UserError as error:
            if error.path == "targets":  # a mistake in the suite itself
                raise
            shown.refusals.append(str(error))
            continue
        digests[name], catalogues[name] = prepared.key.sha256, prepared.data.catalogue
        summaries[name] = prepared.data.summary
        shown.data += [f"{prepared.label}: {describe_summary(prepared.data.summary)}", *prepared.notes]
    return digests, catalogues, summaries
