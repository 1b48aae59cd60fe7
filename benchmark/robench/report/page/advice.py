"""Says which defence the data support for each model, and what it costs.

It also names the rows that should not be trusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robench.api.errors import counted
from robench.report.headline import list_reasons
from robench.report.numbers import format_defense, format_interval, format_number
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.page_values import PageValues
from robench.tables.results import grouped


def write_advice(table: LeaderboardTable, more: PageValues) -> list[str]:
    """Returns a paragraph for each model with defended rows.

    A sentence follows on all other models. If no model has defended rows, there is no advice.

    Args:
        table: the ranking table.
        more: its further values.
    """
    by_model = grouped((row for row in table.rows if row.worst is not None), lambda row: row.key.model_key)
    tested = [rows for rows in by_model.values() if any(row.key.defended for row in rows)]
    others = [rows[0].key.model_label for rows in by_model.values() if rows not in tested]
    advice = [f"**{rows[0].key.model_label}**: {' '.join(_advise(table, rows, more))}" for rows in tested]
    return [*advice, *([f"No defence was tested for {_join(others)}."] if advice and others else [])]


def _advise(table: LeaderboardTable, rows: Sequence[LeaderboardRow], more: PageValues) -> Iterator[str]:
    """Yields sentences on the defences of one model."""
    defended = [row for row in rows if row.key.defended]
    ranked = [row for row in defended if row.rank is not None]
    twin = next((row for row in rows if not row.key.defended), None)
    helpful = [row for row in ranked if row.verdict.startswith("gains")]
    if helpful:
        yield f"{_join([_name(row) for row in helpful])} {'helps' if len(helpful) == 1 else 'help'}."
    elif ranked:
        yield f"of {counted(len(defended), 'defence')}, none is shown to help."
    else:
        yield f"of {counted(len(defended), 'defence')}, none has a rank, so none can be recommended."
    if ranked and twin is not None:
        yield _compare(table, (helpful or ranked)[0], twin, more)
    unranked = [row for row in defended if row.rank is None]
    if unranked:
        by_reason = grouped(unranked, lambda row: "; ".join(list_reasons(row)))
        listed = "; ".join(f"{_join([_name(row) for row in some])} ({why})" for why, some in by_reason.items())
        yield f"Do not believe {listed}."


def _compare(table: LeaderboardTable, row: LeaderboardRow, twin: LeaderboardRow, more: PageValues) -> str:
    """Returns sentences that compare a defended row with its undefended twin."""
    helps, name = row.verdict.startswith("gains"), _name(row)
    start = f"With {name}" if helps else f"{name} has the best rank among them, and with it"
    values = f"{format_number(row.worst)} instead of {format_number(twin.worst)}"
    worst = "worst case" if table.threat.goal == "untargeted" else "attacked value"
    text = f"{start} the {worst} is {values}"
    if not helps and row.verdict:
        text += f" ({row.verdict.partition(';')[0]})"
    cost = more.costs.get(row.key)
    if more.quality != table.metric:
        said = f" On clean data, {more.quality} differs from the undefended twin's by {format_interval(cost)}."
        return f"{text}.{'' if cost is None else said}"
    change = "" if cost is None else f", a difference of {format_interval(cost)}"
    clean = f"{format_number(row.clean)} instead of {format_number(twin.clean)}"
    return f"{text}. The clean {table.metric} is {clean}{change}."


def _name(row: LeaderboardRow) -> str:
    return format_defense(row.key)


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
