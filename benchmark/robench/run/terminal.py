"""Prints the preview of a run on the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from robench.api.errors import counted
from robench.run.preview import Preview


def print_preview(preview: Preview, console: Console) -> None:
    """Prints the victims of a suite with the states of their cells, and the notes."""
    title = f"{preview.name}: {counted(sum(row.victims for row in preview.rows), 'victim')}"
    estimated = any(row.seconds is not None or row.memory is not None for row in preview.rows)
    table = Table(
        "victim", "cells", "stored", "stale", "skipped", *(["to do: s", "MiB"] if estimated else []), title=title
    )
    for row in preview.rows:
        counts = [str(n) if n else "" for n in (row.cells, row.stored, row.stale, row.skipped)]
        costs = [
            "" if row.seconds is None else f"{row.seconds:.1f}",
            "" if row.memory is None else f"{row.memory:.0f}",
        ]
        label = row.label if row.victims == 1 else f"{row.label}: {row.victims} victims"
        table.add_row(label, *counts, *(costs if estimated else []))
    console.print(table)
    excluded = [f"excluded: {counted(preview.excluded, 'cell')}"] if preview.excluded else []
    total, stored = (sum(counts) for counts in ([r.cells for r in preview.rows], [r.stored for r in preview.rows]))
    last = f"{counted(total, 'cell')}, {stored} stored in {preview.folder}, {total - stored} to measure"
    for line in [*preview.data, *preview.skips, *excluded, *preview.notes, last]:
        console.print(line, highlight=False)
