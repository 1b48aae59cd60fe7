"""Shows a stored cell or a folder, and the verdicts of the tables."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from robench.api.errors import UserError
from robench.entrance.tables import read_folder
from robench.host.registry import Registry
from robench.report.choices import Form, Shown
from robench.report.lookup import find_cell, read_cell
from robench.report.record import show_cell
from robench.report.terminal import check_choices, print_tables
from robench.report.verdicts import print_cell_slices, print_row, print_verdicts, print_warning
from robench.spec import CellRow
from robench.store.record import to_text
from robench.tables.build import make_tables
from robench.tables.clean import choose_reference
from robench.tables.completeness import find_incomplete_models
from robench.tables.leaderboard import LeaderboardTable, build_leaderboard
from robench.tables.results import Results
from robench.tables.slices import build_cell_slices

log = logging.getLogger("robench")


def show(
    path: Path,
    user: str | None,
    registry: Registry,
    console: Console,
    shown: Shown | None = None,
    form: Form = Form.TEXT,
) -> None:
    """Prints a record, the lists of one user, or a summary or the tables of a folder.

    If any model has failed or missing cells, a warning comes first. The verdicts of all rows follow the summary of a
    folder. The values of groups of users follow the record of a measured cell. If the cell is attacked, the verdict of
    the cell's row comes next. If the folder cannot be read as a whole, only the record is shown. No table is
    written.

    Args:
        path: a cell or a folder. See ``show_cell``.
        user: the id of a user, or None. If ``path`` is a folder, the id is ignored.
        registry: the plugins, of which only metrics are used.
        console: the console to print on.
        shown: which tables of a folder to print as text, or None for the summary.
        form: the format. For a cell, it is text or JSON.

    Raises:
        UserError: if there is no such record or user, if several records match, if the record or the plan is damaged,
            or if ``shown`` and ``form`` do not fit.
    """
    whole = path.is_dir() and path.name != "cells"
    if not whole and (shown is not None or form is not Form.TEXT):
        _print_record(path, user, shown, form)
        return
    if whole and (shown is not None or form is not Form.TEXT):
        check_choices(shown or Shown.HEADLINE, form)
        tables = make_tables(read_folder(path, registry))
        print_tables(tables, path, console, shown or Shown.HEADLINE, form)
        return
    folder, name = (path, "") if whole else find_cell(path)
    try:
        results = read_folder(folder, registry)
    except UserError as error:  # The record itself may still be readable.
        show_cell(path, user, console)
        log.warning("no verdict is shown: %s", error)
        return
    print_warning(find_incomplete_models(results), console)
    show_cell(path, user, console)
    if whole:
        print_verdicts(build_leaderboard(results), console)
    elif user is None and (cell := results.by_id.get(name)):
        if results.ok(cell) and (measure := choose_reference(results)):
            print_cell_slices(build_cell_slices(results, cell, [measure]), console)
        if not cell.clean:
            print_row(_tables_of(results, cell), cell.key, console)


def _print_record(path: Path, user: str | None, shown: Shown | None, form: Form) -> None:
    """Prints a record as JSON.

    Raises:
        UserError: if tables, a user or a format other than JSON is requested.
    """
    if shown is not None:
        raise UserError("a cell has no tables; only a folder of results has", path="--tables")
    if form is not Form.JSON or user is not None:
        raise UserError("a record is printed as text or json, and a user's list as text", path="--format")
    sys.stdout.write(to_text(read_cell(path).record))


def _tables_of(results: Results, cell: CellRow) -> list[LeaderboardTable]:
    """Returns the tables with the threat model of a cell."""
    ranking = tuple(table for table in results.plan.ranking if table.threat == cell.threat)
    return build_leaderboard(replace(results, plan=replace(results.plan, ranking=ranking)))
