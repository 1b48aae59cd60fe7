"""Says in words which models hide their members, and at what cost."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from robench.report.blocks import Grid
from robench.report.headline import NOT_ABOVE
from robench.report.numbers import build_grid, format_defense, format_interval, format_number, name_places
from robench.spec import RowKey
from robench.tables.build import Tables
from robench.tables.membership import POPULAR, TOLD_APART, MembershipRow
from robench.tables.results import grouped

CAPTION = "The strongest attack on the members of each model, except those that give non-members popular items"


def write_membership_verdict(tables: Tables) -> list[str]:
    """Returns sentences on every model that attacks on membership have measured.

    Attacks are left out if non-members get popular items, because no fit can hide which lists are personal.
    """
    rows = _strongest(tables)
    weak = {row.key for row in tables.clean if any(note.flag == NOT_ABOVE for note in row.notes)}
    models = list(grouped(rows, lambda row: row.key.model_key).values())
    places = name_places([some[0].key for some in models])
    return [" ".join(_on_model(some, place, weak)) for some, place in zip(models, places, strict=True)]


def build_membership_grid(tables: Tables) -> list[tuple[str, Grid]]:
    """Returns a table of the strongest attack on each victim, after its caption."""
    rows = _strongest(tables)
    if not rows:
        return []
    head = ["model", "defence", "attack", "AUROC", _clean_name(rows[0]), "verdict"]
    body = [
        [
            row.key.model_label,
            format_defense(row.key),
            row.attack_label,
            format_interval(row.auroc),
            "–" if row.clean is None else format_interval(row.clean),
            row.verdict,
        ]
        for row in rows
    ]
    return [(CAPTION, build_grid([row.key for row in rows], head, body))]


def _strongest(tables: Tables) -> list[MembershipRow]:
    """Returns the row of the strongest attack on each model and defence.

    An attack that tells members apart is stronger than one that does not, whatever their AUROC.
    """
    rows = [row for row in tables.membership if not row.sees.endswith(POPULAR)]
    found = []
    for some in grouped(rows, lambda row: row.key).values():
        told = [row for row in some if row.verdict == TOLD_APART]
        found.append(max(told or some, key=lambda row: row.auroc.mean))
    return found


def _on_model(rows: Sequence[MembershipRow], place: str, weak: Collection[RowKey]) -> Iterator[str]:
    """Yields sentences on one model.

    Args:
        rows: the strongest attack on the model without and with each defence.
        place: the data set, or an empty string if all models have the same.
        weak: the rows that are not above the baseline.
    """
    name = f"{rows[0].key.model_label} on {place}" if place else rows[0].key.model_label
    bare = [row for row in rows if not row.key.defended]
    if bare:
        yield f"**{name}** {_without(bare[0], weak)}."
    defended = [row for row in rows if row.key.defended]
    hiding = [row for row in defended if row.verdict != TOLD_APART]
    if not defended or (bare and bare[0].verdict != TOLD_APART):
        return
    start = "" if bare else f"**{name}**: "
    if hiding:
        best = max(hiding, key=_kept)
        yield (
            f"{start}Of the defences under which these attacks tell nobody apart, {format_defense(best.key)} keeps "
            f"most: AUROC {format_interval(best.auroc)}, {_value(best, weak)}."
        )
    else:
        best = min(defended, key=lambda row: row.auroc.mean)
        yield (
            f"{start}Under every defence, an attack tells members apart. {format_defense(best.key)} comes nearest to "
            f"guessing: AUROC {format_interval(best.auroc)}, {_value(best, weak)}."
        )


def _without(row: MembershipRow, weak: Collection[RowKey]) -> str:
    """Returns what the attacks tell about a model without a defence."""
    if row.verdict != TOLD_APART:
        return f"is not shown to give away its members: AUROC {format_interval(row.auroc)} by {row.attack_label}"
    return f"gives away its members to {row.attack_label}: AUROC {format_interval(row.auroc)}, {_value(row, weak)}"


def _kept(row: MembershipRow) -> float:
    return -1.0 if row.clean is None else row.clean.mean


def _value(row: MembershipRow, weak: Collection[RowKey]) -> str:
    """Returns the clean value in words, and whether it is above that of the baseline."""
    if row.clean is None:
        return "without a clean value"
    return (
        f"with {_clean_name(row)} {format_number(row.clean.mean)}{', which is ' + NOT_ABOVE if row.key in weak else ''}"
    )


def _clean_name(row: MembershipRow) -> str:
    return f"clean {row.metric}" if row.metric else "clean"
