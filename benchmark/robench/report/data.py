"""Builds the section that summarises each data set."""

from __future__ import annotations

from robench.api.summary import DataSummary, Quantiles
from robench.report.blocks import Bullets, Grid, Section
from robench.tables.build import Tables

TEXT = (
    "Filters run in this order: low ratings, repeated user-item pairs, users and items with too few interactions. "
    "Interactions per user and per item are the median, with the minimum and the maximum."
)


def build_data_section(tables: Tables) -> Section | None:
    """Returns the section on the data sets, or None if the plan holds no summaries."""
    if not tables.data:
        return None
    head = ["", *(f"{row.dataset}, {row.split}" for row in tables.data)]
    columns = [_cells(row.summary) for row in tables.data]
    body = [[name, *(column[name] for column in columns)] for name in columns[0]]
    notes = [f"{row.dataset}: {note}" for row in tables.data for note in row.summary.notes]
    return Section("Data", [TEXT, Grid(head, body), *([Bullets(notes)] if notes else [])])


def _cells(summary: DataSummary) -> dict[str, str]:
    """Returns the entries of one data set by row heading."""
    train, validation, test = summary.parts
    dropped = (summary.low_ratings, summary.dropped_repeats, summary.outside_core)
    described = [f"{count} {name}" for name, count in summary.described.items() if count]
    return {
        "rows": str(summary.rows),
        "low ratings, repeats, outside the core": ", ".join(map(str, dropped)),
        "interactions": str(summary.interactions),
        "users": str(summary.users),
        "items": str(summary.items),
        "training, validation, test": f"{train}, {validation}, {test}",
        "known items of cold users": str(summary.known) if summary.known else "–",
        "users with a training and a test item": str(summary.evaluated),
        "times": f"{summary.first} to {summary.last}" if summary.first else "–",
        "at equal times": "–" if summary.equal_times is None else f"{summary.equal_times:.1%}",
        "interactions per user": _spread(summary.per_user),
        "interactions per item": _spread(summary.per_item),
        "items described": ", ".join(described) or "–",
        "users with a profile": str(summary.profiles),
    }


def _spread(quantiles: Quantiles) -> str:
    least, _, middle, _, most = quantiles
    return f"{middle} ({least}–{most})"
