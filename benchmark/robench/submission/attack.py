"""Scores an artefact against a board and stores it if it is stronger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from robench.api.errors import UserError, counted
from robench.api.escapes import visible
from robench.entrance.pack import pack_results
from robench.entrance.tables import read_folder, rebuild_tables
from robench.files.cache import Cache, default_folder
from robench.files.lock import working_alone
from robench.files.writing import naming
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.report.numbers import format_number, format_victim
from robench.spec import CellRow
from robench.store.archive import Archive
from robench.store.artefact import Artefact, read_artefact
from robench.store.external import FOLDER, ExternalAttack, write_external
from robench.verify.external import Comparison, compare_with_cell, score_in_folder


def score_attack(folder: Path, path: Path, data: Path | None, *, keep: bool) -> tuple[list[str], bool]:
    """Scores an artefact and compares it with the stored measurement of its cell.

    Args:
        folder: the folder of results.
        path: the file of the artefact.
        data: the folder from which the suite's relative paths start, or None to look for it.
        keep: whether to store the artefact and rebuild the tables if it is stronger.

    Returns:
        The lines to print, and whether the artefact is stronger than the stored attack.

    Raises:
        UserError: if the artefact cannot be read, does not fit its cell, or is beyond its budget.
    """
    registry = Registry.of(Host.discover())
    artefact = read_artefact(path)
    results = read_folder(folder, registry)
    cell = results.by_id.get(artefact.cell)
    if cell is None:
        raise UserError(f"{folder} has no cell {artefact.cell}", where=str(path), hint="plan.json lists its cells")
    score = score_in_folder(results, artefact, registry, Cache(default_folder()), data)
    scored = ExternalAttack({"id": artefact.id, "cell": artefact.cell, **score.content}, score.arrays)
    comparisons = compare_with_cell(replace(results, external={artefact.id: scored}), scored)
    stronger = any(one.best != one.stored for one in comparisons)
    lines = [*_describe(artefact, cell, scored), *(_compare(cell, one) for one in comparisons)]
    lines.append(f"{'stronger' if stronger else 'not stronger'} than {cell.attack_label} on this victim")
    if keep and stronger:
        with working_alone(folder), naming(folder):
            write_external(folder, artefact, score.content, score.arrays)
        if Archive.is_in(folder):
            pack_results(folder, registry)
        else:
            rebuild_tables(folder, registry)
        lines.append(f"kept: {folder / FOLDER / artefact.id}.npz; the tables show it as best known")
    return [visible(line) for line in lines], stronger


def _describe(artefact: Artefact, cell: CellRow, scored: ExternalAttack) -> list[str]:
    """Returns lines about the artefact, its cell and the budget that it spends."""
    achieved = scored.record["achieved"]
    what = counted(len(artefact.titles), "title") if artefact.titles else counted(len(artefact.users), "user")
    place = f"{format_victim(cell.key)}, seed {cell.seed}: {cell.attack_label} at ε = {cell.epsilon:g}"
    return [
        f"artefact {artefact.id} by {artefact.author}: {what}, {cell.surface} of {place}",
        f"budget: at most {achieved['epsilon']:.4g} of {cell.epsilon:g}, on average {achieved['epsilon_mean']:.4g}",
    ]


def _compare(cell: CellRow, one: Comparison) -> str:
    """Returns a line that compares the artefact with the stored attack in one metric."""
    values = f"{format_number(one.alone)} under the artefact, {format_number(one.stored)} under {cell.attack_label}"
    return f"{one.measure}: {values}; best known {format_number(one.best)}, worse for {counted(one.users, 'user')}"
