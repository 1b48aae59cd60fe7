"""Flags rows for which an external attack is stronger than the table's attacks."""

from __future__ import annotations

from robench.store.plan_file import PlannedTable
from robench.tables.attack_set import select_attacked_cells
from robench.tables.results import Results
from robench.tables.rows import Flag, Row

STRONGER = "stronger attack known"


def note_best_known(results: Results, row: Row, table: PlannedTable) -> None:
    """Adds a flag to a row if an external attack is stronger than its worst case.

    The flag changes no rank.
    """
    best, worst = row.best_known_mean(), row.worst_interval()
    if best is None or worst is None:
        return
    cells = select_attacked_cells(table, results.by_row[row.key])
    pairs = [(cell, external) for cell in cells if cell.seed in row.seeds for external in results.external_cells(cell)]
    authors = dict.fromkeys(str(results.record(external)["author"]) for _, external in pairs)
    seeds = sorted({cell.seed for cell, _ in pairs})
    numbers: dict[str, float | str] = {
        "best_known": best,
        "worst": worst.mean,
        "seeds": f"{len(seeds)} of {len(row.seeds)}",
        "artefacts": ", ".join(external.cell for _, external in pairs),
        "authors": ", ".join(authors),
    }
    why = "an external attack within the same budget leaves less than the attacks of the table"
    if best > worst.mean:
        why = "an external attack within the same budget achieves more than the attacks of the table"
    row.notes.append(Flag(STRONGER, why, numbers))
