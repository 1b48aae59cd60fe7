"""Builds the section on differentially private fits."""

from __future__ import annotations

from robench.api.privacy import NO_NOISE
from robench.report.blocks import Section
from robench.report.numbers import build_grid, format_defense, format_interval
from robench.tables.build import Tables

TEXT = (
    "What a fit guarantees to each user, with all interactions as one record. The privacy loss is at most `eps_dp`, "
    "but for a probability of `delta`. `eps_dp` is not ε, the budget of an attack."
)
CAVEAT = (
    "Each guarantee is that of one model that is published alone: the losses of several models add up. No guarantee "
    "covers the filters of the data, which choose users and items by what all users did, the settings that the suite "
    "names, or the other tables of this board, which read the data themselves: popularity, groups of users and the "
    "metrics. The noise comes from the seed "
    "of the suite, so that anybody can repeat the numbers. Who knows the seed can subtract it, so these files protect "
    "no user: the rows measure the method."
)


def build_privacy_section(tables: Tables) -> Section | None:
    """Returns the section on private fits, or None if there are none."""
    rows = tables.privacy
    if not rows:
        return None
    clean = f"clean {rows[0].metric}" if rows[0].metric else "clean"
    head = ["model", "defence", "eps_dp", "delta", "unit", clean, "covers", "does not cover"]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            "∞" if row.eps_dp == NO_NOISE else f"{row.eps_dp:g}",
            f"{row.delta:g}",
            row.unit,
            "–" if row.clean is None else format_interval(row.clean),
            row.covers,
            "; ".join(row.not_covered) or "–",
        ]
        for row in rows
    ]
    return Section("Differential privacy", [TEXT, build_grid([row.key for row in rows], head, body), CAVEAT])
