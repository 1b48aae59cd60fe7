"""Converts a folder of results to the published form.

The command ``robench pack`` uses this module.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from robench.api.errors import UserError
from robench.entrance.tables import rewrite_tables
from robench.files.atomic import write_bytes
from robench.files.lock import working_alone, writing_tables
from robench.files.writing import naming
from robench.host.registry import Registry
from robench.report.files import DRAWERS, TABLE_FILES, published_files, write_tables
from robench.store.archive import Archive, check_archive, copy_archive, write_aggregate, write_archive
from robench.store.external import external_files
from robench.store.folder import Store
from robench.store.npz import Arrays
from robench.store.origin import ORIGIN
from robench.store.plan_file import PlanFile, read_plan
from robench.store.provenance import version_of
from robench.store.record import Record


@dataclass(frozen=True)
class Packing:
    """The outcome of packing a folder of results.

    Args:
        folder: the folder with the published form.
        cells: the number of planned cells with a record.
        missing: the number of planned cells without a record.
        size: the total size of the published files in bytes.
    """

    folder: Path
    cells: int
    missing: int
    size: int


def pack_results(folder: Path, registry: Registry, to: Path | None = None) -> Packing:
    """Writes the published form of a folder of results.

    Without ``to``, the published form replaces the files of the cells in the same folder. The published form is read
    back and checked before any file is removed.

    Args:
        folder: the folder of results, which may already be packed.
        registry: the plugins, of which only metrics are used.
        to: an empty or new folder for the published form, or None. If ``to`` is given, only the tables in ``folder``
            change.

    Raises:
        UserError: if the plan is missing, if a stored file is damaged, if another process uses the folder, if ``to`` is
            not empty, or if a folder cannot be written.
    """
    read_plan(folder)
    with working_alone(folder), writing_tables(folder), naming(folder if to is None else to):
        return _pack(folder, registry, to)


def _pack(folder: Path, registry: Registry, to: Path | None) -> Packing:
    store = Store(folder)
    rewrite_tables(folder, registry, store)
    plan = read_plan(folder)
    files = [*published_files(plan), *external_files(folder)]
    target = folder if to is None else _copied(folder, to, files)
    records = archive_cells(store, plan, target)
    if to is None:
        for path in (*(store.cells / f"{cell}{end}" for cell in records for end in (".json", ".npz")),):
            path.unlink(missing_ok=True)
        for name in ("users.npz", ORIGIN):
            (folder / name).unlink(missing_ok=True)
        if store.cells.is_dir() and not any(store.cells.iterdir()):
            store.cells.rmdir()
    published = [*files, *Archive.FILES]
    size = sum((target / name).stat().st_size for name in published)
    return Packing(target, len(records), len(plan.cells) - len(records), size)


def archive_cells(store: Store, plan: PlanFile, target: Path) -> list[str]:
    """Writes and checks the records and arrays in the published form.

    Args:
        store: the results.
        plan: the plan of the results.
        target: a folder with all other published files.

    Returns:
        The ids of the written cells.

    Raises:
        UserError: if a record or an array is damaged.
    """
    cells = [cell.cell for cell in plan.cells]
    records = {cell: record for cell in cells if (record := store.read(cell)) is not None}
    versions = {name: version_of(name) for name in DRAWERS}
    files = [*published_files(plan), *external_files(target)]

    archive = store.archive
    if archive is not None and archive.cells == sorted(records) and all(map(archive.holds, records.values())):
        copy_archive(archive, target, files, versions)
    else:
        write_archive(target, records, lambda cell: _arrays(store, records[cell]), store.users(), files, versions)
    check_archive(Archive(target))
    return list(records)


def publish_aggregates(folder: Path, registry: Registry, to: Path | None) -> Packing:
    """Writes a published form without anything about single users.

    There are no arrays and no external attacks, and the page has no lists of users. The tables say so.

    Args:
        folder: the folder of results, in which only the tables change.
        registry: the plugins, of which only metrics are used.
        to: an empty or new folder.

    Raises:
        UserError: if there is no ``to``, or for the reasons of ``pack_results``.
    """
    if to is None:
        problem = "--publish aggregate needs --to, because the arrays would be lost"
        raise UserError(problem, where=str(folder), hint="give a new folder, as in --to published/NAME")
    plan = read_plan(folder)
    with working_alone(folder), writing_tables(folder), naming(to):
        store = Store(folder)
        tables = rewrite_tables(folder, registry, store)
        target = _copied(folder, to, [name for name in published_files(plan) if name not in TABLE_FILES])
        write_tables(tables.as_aggregates(), target)
        cells = [cell.cell for cell in plan.cells]
        records = {cell: record for cell in cells if (record := store.read(cell)) is not None}
        versions = {name: version_of(name) for name in DRAWERS}
        write_aggregate(target, records, lambda cell: _arrays(store, records[cell]), published_files(plan), versions)
    size = sum(path.stat().st_size for path in target.iterdir())
    return Packing(target, len(records), len(cells) - len(records), size)


def _arrays(store: Store, record: Record) -> Arrays:
    """Returns the arrays of a record, or no arrays if its cell was not measured."""
    return store.arrays(record) if record["status"] == "ok" else {}


def _copied(folder: Path, to: Path, files: list[str]) -> Path:
    """Copies files to ``to``, which must be new or empty, and returns ``to``.

    If a file cannot be copied, the folder ``to`` is removed.

    Raises:
        UserError: if ``to`` is not empty.
        OSError: if a file cannot be copied.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise UserError("the folder for the published form is not empty", where=str(to), hint="give another --to")
    try:
        to.mkdir(parents=True, exist_ok=True)
        for name in files:
            (to / name).parent.mkdir(exist_ok=True)
            write_bytes(to / name, (folder / name).read_bytes())
    except OSError:
        shutil.rmtree(to, ignore_errors=True)
        raise
    return to
