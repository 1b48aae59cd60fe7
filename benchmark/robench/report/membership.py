"""Builds the section on the membership of users in the training data."""

from __future__ import annotations

from robench.report.blocks import Section
from robench.report.numbers import build_grid, format_defense, format_interval
from robench.tables.build import Tables

TEXT = (
    "Is this user in the training data? AUROC is the probability that an attack scores a member above a non-member; "
    "guessing has .5. TPR is the share of the members that it finds with 1% of the non-members as false alarms; "
    "guessing has .01. The attack knows all interactions of each user, and learns from a shadow with the same settings "
    "and defence. `told apart`: the interval of the AUROC lies above .5. A model that answers everybody alike hides "
    "its members, so the clean value stands beside."
)
LIMIT = (
    "`not shown` is not a proof: another attack may find more. `-popular`: non-members get the most popular items, so "
    "an attack need only tell personal lists from popular ones, and no private fit can hide that."
)


def build_membership_section(tables: Tables) -> Section | None:
    """Returns the section on attacks on membership, or None if there are none."""
    rows = tables.membership
    if not rows:
        return None
    clean = f"clean {rows[0].metric}" if rows[0].metric else "clean"
    head = [
        "model",
        "defence",
        "attack",
        "sees",
        "AUROC",
        "verdict",
        clean,
        "TPR at 1% FPR",
        "members",
        "others",
        "seeds",
    ]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            row.attack_label,
            row.sees,
            format_interval(row.auroc),
            row.verdict,
            "–" if row.clean is None else format_interval(row.clean),
            format_interval(row.tpr),
            str(row.members),
            str(row.non_members),
            str(row.seeds),
        ]
        for row in rows
    ]
    return Section("Membership", [TEXT, build_grid([row.key for row in rows], head, body), LIMIT])
