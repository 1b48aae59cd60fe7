"""Builds the small tables of the verdict.

They show the best row of each model, and what each defence costs and gains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from robench.report.blocks import Grid
from robench.report.leaderboard import format_change, name_worst_case
from robench.report.numbers import format_defense, format_number, format_rank
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.page_values import PageValues
from robench.tables.results import grouped
from robench.tables.verdicts import format_difference


def build_verdict_grids(table: LeaderboardTable, more: PageValues) -> list[tuple[str, Grid]]:
    """Returns the small tables of a ranking table's verdict, each after its caption.

    Args:
        table: the ranking table.
        more: its further values.
    """
    return [*_best_of_models(table), *_defence_grid(table, more)]


def _best_of_models(table: LeaderboardTable) -> Iterator[tuple[str, Grid]]:
    """Yields a caption and a table with the best row of each model.

    Nothing is yielded if models are ranked against each other, or if no row has a rank.
    """
    ranked = [row for row in table.rows if row.rank is not None]
    if table.threat.ranks_models or not ranked:
        return
    if not any(row.key.defended for row in ranked):
        yield _undefended(table, ranked)
        return
    twins = {row.key.model_key: row for row in table.rows if not row.key.defended}
    body = []
    for key, rows in grouped(ranked, lambda row: row.key.model_key).items():
        best, twin = rows[0], twins.get(key)
        without = ["–", "–"] if twin is None else [format_number(twin.clean), format_number(twin.worst)]
        body.append(
            [
                best.key.model_label,
                format_defense(best.key, best.own_weights),
                format_rank(best),
                format_number(best.clean),
                without[0],
                format_number(best.worst),
                without[1],
                best.verdict or ("is the undefended twin" if not best.key.defended else "no verdict"),
            ]
        )
    worst = name_worst_case(table)
    head = ["model", "best defence", "rank", "clean", "undefended", worst, "undefended", "against the twin"]
    yield "The best row of each model by worst case", Grid(head, body)


def _undefended(table: LeaderboardTable, ranked: Sequence[LeaderboardRow]) -> tuple[str, Grid]:
    """Returns what the attacks leave of each model without a defence."""
    body = [
        [row.key.model_label, format_number(row.clean), format_number(row.worst), format_change(table, row)]
        for row in ranked
    ]
    head = ["model", f"clean {table.metric}", name_worst_case(table), "rise" if table.rise else "drop"]
    return "What the attacks leave of each model; other models are not comparable", Grid(head, body)


def _defence_grid(table: LeaderboardTable, more: PageValues) -> Iterator[tuple[str, Grid]]:
    """Yields a caption and a table with the cost and the gain of each defence.

    The cost is the change of the clean value from that of the undefended twin, in the measure of the table's costs. The
    gain is the change of the worst case. Nothing is yielded if no defence has a row and a twin with a worst case.
    """
    twins = {row.key.model_key: row for row in table.rows if not row.key.defended}
    rows = [row for row in table.rows if row.key.defended and row.worst is not None and row.key.model_key in twins]
    lines: list[tuple[float, list[str]]] = []
    for name, some in grouped(rows, lambda row: format_defense(row.key)).items():
        pairs = [(row, twins[row.key.model_key]) for row in some]
        cost = [more.costs[row.key].mean for row in some if row.key in more.costs]
        gain = [row.worst - twin.worst for row, twin in pairs if row.worst is not None and twin.worst is not None]
        if not gain:
            continue
        words = Counter(row.verdict.partition(" ")[0] or "no verdict" for row in some)
        said = ", ".join(
            f"{words[word]} {word}" for word in ("gains", "loses", "undecided", "no verdict") if words[word]
        )
        lines.append(
            (float(np.mean(gain)), [name, str(len(some)), _spread(cost) if cost else "–", _spread(gain), said])
        )
    if lines:
        ordered = [line for _, line in sorted(lines, key=lambda pair: pair[0], reverse=not table.rise)]
        measure = "" if more.quality in (None, table.metric) else f" {more.quality}"
        attacked = f"{name_worst_case(table)}, less the twin's{'; lower is better' if table.rise else ''}"
        head = ["defence", "models", f"clean{measure}, less the twin's", attacked, "verdicts"]
        yield f"What each defence costs and brings in {table.metric}: mean over models, and range", Grid(head, ordered)


def _spread(values: Sequence[float]) -> str:
    """Returns the mean of signed differences, and their range if there are several.

    If there are none, the result is a dash.
    """
    if not values:
        return "–"
    mean = format_difference(float(np.mean(values)))
    return (
        mean if len(values) == 1 else f"{mean} ({format_difference(min(values))} to {format_difference(max(values))})"
    )
