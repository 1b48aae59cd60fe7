"""Builds the section on certificates against fake users."""

from __future__ import annotations

from robench.report.blocks import Section
from robench.report.numbers import build_grid, format_number
from robench.store.certificate import FAKES
from robench.tables.build import Tables

TEXT = (
    "Lower bounds of the values under any attack with at most so many fake users (PORE). The unit is a user, not ε: "
    "compare no number here with a table at 1% fake users. `plain` is the value of the list without fake users. With "
    "0 fake users, the bound lies below it because the votes are a sample."
)


def build_certificates_section(tables: Tables) -> Section | None:
    """Returns the section on certificates, or None if no model has one."""
    rows = tables.certificates
    if not rows:
        return None
    head = ["model", "base models", "users per sample", "metric", "plain", *map(str, FAKES)]
    body = [
        [
            row.key.model_label,
            str(row.models),
            f"{row.sample} of {row.users}",
            row.metric,
            format_number(row.plain),
            *map(format_number, row.certified),
        ]
        for row in rows
    ]
    note = (
        f"All certificates of a victim hold at once with probability {1 - rows[0].alpha:g}. They are about a vote of "
        "infinitely many base models, of which these are a sample."
    )
    return Section("Certified against fake users", [TEXT, note, build_grid([row.key for row in rows], head, body)])
