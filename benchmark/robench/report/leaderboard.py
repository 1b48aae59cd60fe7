"""Builds the sections of the leaderboard.

Models and defences that no ranking table shows appear in separate tables, with their clean values.
"""

from __future__ import annotations

from collections.abc import Iterator

from robench.api.errors import counted
from robench.report.blocks import Block, Grid, LeaderboardChart, Section
from robench.report.numbers import (
    format_bounds,
    format_defense,
    format_interval,
    format_number,
    format_rank,
    format_unit,
)
from robench.spec import TargetChoice
from robench.tables.build import Tables
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.results import grouped

WITHIN = "Ranks are within one model: the same ε is not the same strength for two models."
WITHIN_WHITE_BOX = "Ranks are within one model: attacks use gradients, which not every model has."

BY_SHIFT = (
    "Ranks, p and verdicts compare the shift, which is the attacked value less the clean one. The null control is the "
    "interval of the shift that retraining alone would cause."
)

BEST_KNOWN = "best known"

EXPIRED = "**Expired**: the ensemble has changed, so new rows cannot be compared with these."

NO_ATTACKS = "The suite has no attacks, so rows have no rank."


NO_FIT = "No attack of the suite fits a model, so rows have no rank."


def explain_missing_attacks(tables: Tables) -> str:
    """Returns a sentence on why no cell is attacked.

    The sentence is empty if there are attacked cells.
    """
    if not tables.without_attacks:
        return ""
    return NO_FIT if any(not row.cell.clean for row in tables.values) else NO_ATTACKS


def format_title(table: LeaderboardTable) -> str:
    """Returns a table's title: the data, the metric, the threat model and ε."""
    threat, unit = table.threat, format_unit(table.threat, table.epsilon)
    attacks = f"{threat.surface}, {threat.norm}, {threat.goal}"
    return f"{table.dataset}, {table.split}: {table.metric} under {attacks}, ε ≤ {table.epsilon:g}{unit}"


def describe_board(table: LeaderboardTable) -> str:
    """Returns a table's title with the name of its attacks in brackets."""
    return f"{format_title(table)} ({table.title})"


def format_change(table: LeaderboardTable, row: LeaderboardRow) -> str:
    """Returns the drop in percent, or the absolute rise if attacks raise the metric.

    Metrics that attacks raise start near 0, so a percentage would be meaningless. Without an attacked value, the result
    is a dash.
    """
    if table.rise:
        return "–" if row.worst is None else format_number(row.worst - row.clean)
    return "–" if row.drop is None else f"{100 * row.drop:z.1f}%"


def _format_changes(table: LeaderboardTable, row: LeaderboardRow) -> list[str]:
    """Returns the change of the metric under attack.

    If rows are compared by their shift, the null control follows.
    """
    if table.targets is None:
        return [format_change(table, row)]
    return [format_interval(row.shift), "–" if row.control is None else format_bounds(row.control)]


def name_worst_case(table: LeaderboardTable) -> str:
    """Returns the title of the column with the values under attack."""
    return "attacked" if table.threat.goal != "untargeted" else "worst case"


def describe_row(row: LeaderboardRow) -> str:
    """Returns the rank, the verdict and the flags of a row on one line."""
    rank = f"rank {format_rank(row)}" if row.rank is not None else "no rank"
    return "; ".join(filter(None, [rank, row.verdict or "no verdict", row.flags]))


def shows_best_known(table: LeaderboardTable) -> bool:
    """Returns whether an external attack is stronger than the worst case of a row."""
    return any(row.best_known is not None for row in table.rows)


def build_leaderboard_grid(table: LeaderboardTable) -> Grid:
    """Returns a leaderboard table as a grid with a header.

    The column ``best known`` is shown only if an external attack is stronger than the worst case of a row.
    """
    known = shows_best_known(table)
    change = ["shift", "null control"] if table.targets is not None else ["rise" if table.rise else "drop"]
    head = [
        "rank",
        "model",
        "defence",
        f"clean {table.metric}",
        name_worst_case(table),
        *([BEST_KNOWN] if known else []),
        *change,
        "p",
        f"users hit@{table.hit_k}",
        "flags",
        "verdict",
    ]
    body = [
        [
            format_rank(row),
            row.key.model_label,
            format_defense(row.key, row.own_weights),
            format_interval(row.clean_interval),
            format_interval(row.worst_interval),
            *([format_number(row.best_known)] if known else []),
            *_format_changes(table, row),
            format_number(row.p_value),
            f"{row.users_hit:.0f} of {row.users}",
            row.flags,
            row.verdict,
        ]
        for row in table.rows
    ]
    return Grid(head, body)


def _describe_targets(targets: TargetChoice) -> str:
    """Returns a sentence about the choice of the targets."""
    return f"Targets: {counted(targets.sets, 'set')} of {targets.count}, `pick: {targets.pick}`."


def build_leaderboard_section(table: LeaderboardTable) -> Section:
    """Returns the section of one table, with its chart."""
    attacks = ", ".join(table.attacks)
    ensemble = table.title if table.current else attacks
    judged_by = f" ({ensemble})" if table.ensemble else ""
    words = [f"**{table.title}**: {attacks}."] if table.title != ensemble else []  # the heading names an ensemble
    words += [f"{EXPIRED} {table.current} is the current version."] if table.current else []
    rules = table.threat.rules
    words += [] if table.targets is None else [f"{_describe_targets(table.targets)} {BY_SHIFT}"]
    words += [] if table.threat.ranks_models else [WITHIN_WHITE_BOX if rules and rules.white_box else WITHIN]
    blocks: list[Block] = [*([" ".join(words)] if words else []), build_leaderboard_grid(table)]
    return Section(f"{format_title(table)}{judged_by}", blocks, LeaderboardChart(table))


def build_clean_grids(tables: Tables) -> Iterator[tuple[str, Grid]]:
    """Yields a title and a table for each data set and split.

    The tables contain the models and defences that no ranking table shows.
    """
    for (dataset, split), rows in grouped(tables.clean, lambda row: row.key.place).items():
        measures = list(dict.fromkeys(measure for row in rows for measure in row.values))
        head = ["model", "defence", *map(str, measures), "users hit@10", "flags"]
        body = [
            [
                row.key.model_label,
                format_defense(row.key),
                *(format_interval(row.values.get(measure)) for measure in measures),
                f"{row.users_hit:.0f} of {row.users}",
                row.flags,
            ]
            for row in rows
        ]
        yield f"{dataset}, {split}: clean values", Grid(head, body)
