"""Builds the sections on values at each ε, on radii, and on members of ensembles.

The radius of a user is the smallest ε at which an attack breaks this user.
"""

from __future__ import annotations

from robench.report.blocks import Section
from robench.report.numbers import build_grid, format_count, format_defense, format_number, format_unit
from robench.tables.build import Tables
from robench.tables.members import EnsembleRow, MemberRow

RADII = (
    "The least ε that this attack found to push a hit user's item out of the top k, among users hit at clean: "
    "an upper bound, a stronger attack may need less."
)
MEMBERS_TITLE = "What the ensemble's members did"
COSTS = ("to break", "broken", "queries", "gradients")
MEMBERS = (
    "Per victim, mean over seeds: users whose goal was not reached at clean, users that the ensemble broke, each "
    "member's share of first breaks (where one perturbation serves all users: −NDCG@k, or the promoted items' "
    "NDCG@k), and the cost in scored and differentiated users. Where every user is attacked alone and held-out "
    "items shall fall, a user who is broken is left alone: ranks are bounds, and only metrics within k are taken "
    "from them."
)


def build_curves_section(tables: Tables) -> Section | None:
    """Returns the section on values at each ε, or None if the tables have no curves."""
    if not tables.curves:
        return None
    head = ["model", "defence", "attack", "clean", "along ε", "area"]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            row.attack_label,
            format_number(row.value[0]),
            ", ".join(f"{e:g}: {format_number(v)}" for e, v in zip(row.epsilon[1:], row.value[1:], strict=True)),
            format_number(row.area),
        ]
        for row in tables.curves
    ]
    text = f"Mean {tables.curves[0].metric} over users and seeds, and its mean over the budget (trapezoid over ε)."
    keys = [row.key for row in tables.curves]
    return Section("Along ε", [text, build_grid(keys, head, body)])


def build_radii_section(tables: Tables) -> Section | None:
    """Returns the section on the radii of users, or None if there are none.

    The radius of a user is the smallest ε at which an attack breaks this user.
    """
    if not tables.radii:
        return None
    head = ["model", "defence", "attack", "users hit", "q25", "median", "q75", "never broken"]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            row.attack_label,
            f"{100 * row.hit_share:.1f}%",
            format_number(row.radius_q25),
            format_number(row.radius_q50),
            format_number(row.radius_q75),
            f"{100 * row.unbroken_share:.1f}%",
        ]
        for row in tables.radii
    ]
    return Section("Radius of hit users", [RADII, build_grid([row.key for row in tables.radii], head, body)])


def build_ensembles_section(tables: Tables) -> Section | None:
    """Returns the section on members of ensembles, or None if there are no ensembles."""
    if not tables.ensembles:
        return None
    head = ["model", "defence", "attack", "ε", *COSTS[:2], "members", *COSTS[2:]]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            ", ".join(dict.fromkeys((row.threat.surface, row.threat.norm, row.threat.goal))),
            f"{row.epsilon:g}{format_unit(row.threat, row.epsilon)}",
            *format_costs(row)[:2],
            format_members(row),
            *format_costs(row)[2:],
        ]
        for row in tables.ensembles
    ]
    keys = [row.key for row in tables.ensembles]
    return Section(MEMBERS_TITLE, [MEMBERS, build_grid(keys, head, body)])


def format_costs(row: EnsembleRow) -> list[str]:
    """Returns the values of an ensemble in the columns ``COSTS``."""
    return [
        "–" if row.to_break is None else f"{row.to_break:.0f}",
        "–" if row.broken is None else f"{row.broken:.1f}",
        format_count(row.queries),
        format_count(row.gradients),
    ]


def format_members(row: EnsembleRow) -> str:
    """Returns the members of an ensemble, each with its first breaks or its damage.

    First breaks are given as a share of the broken users.
    """
    return ", ".join(f"{member.name} {format_member(member)}" for member in row.members)


def format_member(member: MemberRow) -> str:
    """Returns a member's share of first breaks, or its damage."""
    return format_number(member.damage) if member.first_breaks is None else f"{100 * member.first_breaks:.0f}%"
