"""The sections of a report, in order: what leaderboard.md and index.html show."""

from __future__ import annotations

from collections.abc import Iterator

from robench.api.errors import counted
from robench.report.attacks import curves_section, ensembles_section, radii_section
from robench.report.blocks import Bullets, Section
from robench.report.leaderboard import clean_grids, leaderboard_section
from robench.report.numbers import defense, places, victim
from robench.report.poisoning import poisoning_section
from robench.report.reranking import reranking_section
from robench.report.titles import titles_section
from robench.report.twins import twins_section
from robench.tables.build import Tables
from robench.tables.rows import Flag


def opening(tables: Tables) -> str:
    """Writes the paragraph before all sections."""
    counts = ", ".join(f"{n} {status}" for status, n in sorted(tables.counts.items()))
    return f"Cells: {counts}. Intervals are 95%: the wider of the bootstrap over users and t over seeds."


def sections(tables: Tables) -> Iterator[Section]:
    """Yields every section that has something to show."""
    yield from map(leaderboard_section, tables.leaderboard)
    yield from (Section(title, [grid]) for title, grid in clean_grids(tables))
    further = (
        twins_section,
        curves_section,
        titles_section,
        reranking_section,
        poisoning_section,
        radii_section,
        ensembles_section,
        _defences_section,
        _flags_section,
        _failures_section,
        _skipped_section,
    )
    yield from (section for build in further if (section := build(tables)) is not None)


def _defences_section(tables: Tables) -> Section | None:
    """What the labels of defences stand for; one label may have other settings for each model."""
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
    """Every flag with its explanation and its numbers."""
    ranked = [(row.key, victim(row.key, row.own_weights), row.notes) for row in tables.rows()]
    rows = [*ranked, *((row.key, victim(row.key), row.notes) for row in tables.clean)]
    lines: dict[str, None] = {}
    for (_, name, notes), where in zip(rows, places([key for key, *_ in rows]), strict=True):
        place = f"{where}: " if where else ""
        for flag in notes:
            lines[f"{place}{name}: **{flag.flag}**: {flag.why} ({_numbers(flag)})."] = None
    return Section("Flags", [Bullets(list(lines))]) if lines else None


def _numbers(flag: Flag) -> str:
    return ", ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in flag.numbers.items())


def _failures_section(tables: Tables) -> Section | None:
    lines = []
    for row in tables.failures:
        cell, key = row.cell, row.cell.key
        attack = "clean" if cell.attack_label == "none" else f"{cell.attack_label} ε={cell.epsilon:g}"
        what = ", ".join([key.dataset, key.model_label, defense(key), attack, f"seed {cell.seed}"])
        lines.append(f"{what}: {row.error} (cell {cell.cell})")
    return Section("Failed cells", [Bullets(lines)]) if lines else None


def _skipped_section(tables: Tables) -> Section | None:
    lines = [f"{counted(count, 'cell')}: {reason}" for reason, count in tables.skipped.items()]
    return Section("Skipped cells", [Bullets(lines)]) if lines else None
