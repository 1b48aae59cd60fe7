"""Builds the section on the sizes of embedded inputs."""

from __future__ import annotations

from robench.report.blocks import Section
from robench.report.numbers import build_grid, format_defense, format_number
from robench.tables.build import Tables

INPUTS = (
    "ε is relative to the size of a victim's inputs. The radius is the L2 length that ε = 1 allows, as a mean over "
    "users. A ratio beyond 2 means that the same ε allows other shifts than for the undefended twin."
)


def build_inputs_section(tables: Tables) -> Section | None:
    """Returns the section on the sizes of inputs, or None if no sizes were measured."""
    if not tables.inputs:
        return None
    head = ["model", "defence", "RMS", "places", "radius at ε = 1", "twin's radius", "ratio"]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            format_number(row.rms),
            f"{row.places:.1f}",
            format_number(row.radius),
            format_number(row.twin_radius),
            "–" if row.ratio is None else f"{row.ratio:.2f}",
        ]
        for row in tables.inputs
    ]
    return Section("What ε means", [INPUTS, build_grid([row.key for row in tables.inputs], head, body)])
