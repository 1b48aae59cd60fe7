"""Builds the sections of a report, in order, for leaderboard.md and index.html."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robench.api.errors import counted
from robench.report.attacks import build_curves_section, build_ensembles_section, build_radii_section
from robench.report.blocks import Bullets, Section
from robench.report.certificates import build_certificates_section
from robench.report.data import build_data_section
from robench.report.detection import build_detection_section, build_training_defences_section
from robench.report.inputs import build_inputs_section
from robench.report.leaderboard import build_clean_grids, build_leaderboard_section, explain_missing_attacks
from robench.report.membership import build_membership_section
from robench.report.numbers import format_defense, format_flag, format_victim, name_places
from robench.report.poisoning import build_poisoning_section
from robench.report.privacy import build_privacy_section
from robench.report.reranking import build_reranking_section
from robench.report.slices import build_slices_section
from robench.report.titles import build_titles_section
from robench.report.transfer import build_transfer_section
from robench.report.tuning import build_tuning_section
from robench.report.twins import build_twins_section
from robench.tables.build import Tables
from robench.tables.completeness import IncompleteModel

WITHHELD = (
    "Published as aggregates: the ranks, lists and scores of single users are withheld. So nobody else can verify the "
    "values of the cells, the intervals, the verdicts or the flags."
)


def write_warning(incomplete: Sequence[IncompleteModel]) -> str:
    """Returns a warning that names the models with failed or missing cells.

    The result is empty if there are no such models.
    """
    if not incomplete:
        return ""
    models = ", ".join(f"{model.model_label} ({model.lacking} of {model.planned})" for model in incomplete)
    return f"INCOMPLETE: cells of these models failed or are missing: {models}."


def write_opening(tables: Tables) -> str:
    """Returns the paragraph that comes before all sections."""
    counts = ", ".join(f"{n} {status}" for status, n in sorted(tables.counts.items()))
    opening = f"Cells: {counts}. Intervals are 95%, over seeds and users (or promoted items)."
    parts = [write_warning(tables.incomplete), opening, explain_missing_attacks(tables)]
    parts.append(WITHHELD if tables.published else "")
    return " ".join(filter(None, parts))


def build_sections(tables: Tables) -> Iterator[Section]:
    """Yields every section that has something to show."""
    yield from map(build_leaderboard_section, tables.leaderboard)
    yield from build_further_sections(tables)


def build_further_sections(tables: Tables) -> Iterator[Section]:
    """Yields every section after the ranking tables that has something to show."""
    yield from (Section(title, [grid]) for title, grid in build_clean_grids(tables))
    further = (
        build_twins_section,
        build_curves_section,
        build_titles_section,
        build_reranking_section,
        build_poisoning_section,
        build_transfer_section,
        build_training_defences_section,
        build_detection_section,
        build_certificates_section,
        build_privacy_section,
        build_membership_section,
        build_slices_section,
        build_radii_section,
        build_inputs_section,
        build_ensembles_section,
        build_tuning_section,
        _defences_section,
        build_data_section,
        _flags_section,
        _failures_section,
        _skipped_section,
    )
    yield from (section for build in further if (section := build(tables)) is not None)


def _defences_section(tables: Tables) -> Section | None:
    """Returns the section on the settings of defences, or None if there are none.

    A defence with one label may have different settings for different models.
    """
    labels = [row.defense_label for row in tables.defences]
    lines = []
    for row in tables.defences:
        settings = ", ".join(f"{name} {_setting(value)}" for name, value in row.settings.items())
        models = f" (on {', '.join(row.models)})" if labels.count(row.defense_label) > 1 else ""
        head = f"{row.defense_label}{models}: `{row.defense}`"
        lines.append(f"{head} with {settings}." if settings else f"{head}.")
    return Section("Settings of the defences", [Bullets(lines)]) if lines else None


def _setting(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def _flags_section(tables: Tables) -> Section | None:
    """Returns the section that explains every flag, or None if there are no flags."""
    ranked = [(row.key, format_victim(row.key, row.own_weights), row.notes) for row in tables.rows()]
    rows = [*ranked, *((row.key, format_victim(row.key), row.notes) for row in tables.clean)]
    lines: dict[str, None] = {}
    for (_, name, notes), where in zip(rows, name_places([key for key, *_ in rows]), strict=True):
        place = f"{where}: " if where else ""
        for flag in notes:
            lines[f"{place}{name}: {format_flag(flag)}"] = None
    return Section("Flags", [Bullets(list(lines))]) if lines else None


def _failures_section(tables: Tables) -> Section | None:
    lines = []
    for row in tables.failures:
        cell, key = row.cell, row.cell.key
        attack = "clean" if cell.attack_label == "none" else f"{cell.attack_label} ε={cell.epsilon:g}"
        what = ", ".join([key.dataset, key.model_label, format_defense(key), attack, f"seed {cell.seed}"])
        lines.append(f"{what}: {row.error} (cell {cell.cell})")
    return Section("Failed cells", [Bullets(lines)]) if lines else None


def _skipped_section(tables: Tables) -> Section | None:
    lines = [f"{counted(count, 'cell')}: {reason}" for reason, count in tables.skipped.items()]
    return Section("Skipped cells", [Bullets(lines)]) if lines else None
