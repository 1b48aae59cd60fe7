"""Writes in words what each ranking table shows.

The sentences are about the best rows, the defences, and the ε that no row survives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from robench.api.errors import counted
from robench.report.blocks import Grid
from robench.report.leaderboard import describe_board
from robench.report.numbers import (
    format_defense,
    format_number,
    format_rank,
    format_unit,
    format_victim,
)
from robench.tables.build import Tables
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.page_values import PageValues
from robench.tables.results import grouped

HALF = 0.5  # a row survives an attack if it keeps this share of its clean value
MOST_ROWS = 4  # the most rows that a sentence names


@dataclass(frozen=True)
class Headline:
    """What one ranking table shows, in words.

    Args:
        board: the id of the table's element.
        title: the title of the table.
        sentences: the verdict.
        grids: tables with their captions: the best row of each model, and what each defence costs.
    """

    board: str
    title: str
    sentences: Sequence[str]
    grids: Sequence[tuple[str, Grid]]


def build_headlines(tables: Tables) -> list[Headline]:
    """Returns the verdict of every ranking table, in order."""
    return [_headline(f"board-{n}", table, more) for n, (table, more) in enumerate(tables.with_page_values(), 1)]


def _headline(board: str, table: LeaderboardTable, more: PageValues) -> Headline:
    ranked = [row for row in table.rows if row.rank is not None]
    sentences = [_best(table, ranked), *_defended(table), _survival(table, ranked, more), *_unranked(table)]
    grids = [*_best_of_models(table, ranked), *_defence_grid(table, more)]
    return Headline(board, describe_board(table), [text for text in sentences if text], grids)


def _best(table: LeaderboardTable, ranked: Sequence[LeaderboardRow]) -> str:
    """Returns a sentence on the best row, if models are ranked against each other."""
    if not ranked:
        return "**No row has a rank**, so this table says nothing about who is robust."
    if not table.threat.ranks_models:
        return ""
    best = ranked[0]
    equal = sum(row is not best and (row.rank_low or 0) <= 1 for row in ranked)
    rivals = f"; the data allow {counted(equal, 'other row')} the first place too" if equal else ""
    by = "shift" if table.targets is not None else "worst case"
    return f"**Best by {by}: {_name(best)}**, {_kept(table, best)} (rank {format_rank(best)}){rivals}."


def _kept(table: LeaderboardTable, row: LeaderboardRow) -> str:
    """Returns a phrase with the worst case and the clean value of a row."""
    if table.rise:
        return f"{format_number(row.worst)} under attack, {format_number(row.clean)} without"
    share = "" if row.drop is None else f" ({_percent(1 - row.drop)})"
    return f"which keeps {format_number(row.worst)} of {format_number(row.clean)}{share}"


def _defended(table: LeaderboardTable) -> Iterator[str]:
    """Yields sentences on the defended rows that gain, lose or are undecided."""
    rows = [row for row in table.rows if row.key.defended and row.worst is not None]
    if not rows:
        yield "**No defence was tested** under these attacks."
        return
    by_verdict = grouped((row for row in rows if row.verdict), lambda row: row.verdict.partition(" ")[0])
    total = len(rows)
    for word in ("gains", "loses"):
        some = by_verdict.get(word, [])
        if some:
            names = "; ".join(f"{_name(row)} {row.verdict}" for row in some[:MOST_ROWS])
            more = f"; and {len(some) - MOST_ROWS} more" if len(some) > MOST_ROWS else ""
            verb = word if len(some) == 1 else word.removesuffix("s")
            yield f"**{len(some)} of {counted(total, 'defended row')} {verb}** against the twin: {names}{more}."
        elif word == "gains":
            yield f"**No defence gains** against its undefended twin, in {counted(total, 'defended row')}."
    undecided, silent = len(by_verdict.get("undecided", [])), sum(not row.verdict for row in rows)
    if undecided or silent:
        parts = [f"{undecided} {_are(undecided)} undecided"] if undecided else []
        parts += [f"{silent} {'has' if silent == 1 else 'have'} no verdict"] if silent else []
        yield f"Of {counted(total, 'defended row')}, {' and '.join(parts)}."


def _survival(table: LeaderboardTable, ranked: Sequence[LeaderboardRow], more: PageValues) -> str:
    """Returns a sentence on the smallest ε that no ranked row survives.

    A row survives if it keeps half of its clean value. If a row survives every ε, the sentence is about the largest ε.
    If attacks raise the metric, the sentence is about the smallest rise. The result is empty if no value is known.
    """
    if table.rise:
        rises = [(row.worst - row.clean, row) for row in ranked if row.worst is not None]
        if not rises:
            return ""
        least = min(rises, key=lambda pair: pair[0])
        return f"**The smallest rise** is {format_number(least[0])}, of {_name(least[1])}."
    steps = [(epsilon, shares) for epsilon, shares in _shares(ranked, more) if shares]
    if not steps:
        return ""
    unit = format_unit(table.threat)
    for epsilon, shares in steps:
        share, row = max(shares, key=lambda pair: pair[0])
        if share < HALF:
            return (
                f"**Nobody survives ε = {epsilon:g}{unit}**: no ranked row keeps half of its clean {table.metric}. "
                f"{_name(row)} keeps most, {_percent(share)}."
            )
    epsilon, shares = steps[-1]
    count = sum(share >= HALF for share, _ in shares)
    share, row = min(shares, key=lambda pair: pair[0])
    return (
        f"**At ε = {epsilon:g}{unit}, {count} of {counted(len(shares), 'ranked row')} keep half** of their clean "
        f"{table.metric}. {_name(row)} keeps least, {_percent(share)}."
    )


def _shares(
    ranked: Sequence[LeaderboardRow], more: PageValues
) -> Iterator[tuple[float, list[tuple[float, LeaderboardRow]]]]:
    """Yields each ε with the shares of the clean value that the rows keep."""
    budgets = sorted({epsilon for curve in more.curves.values() for epsilon, _ in curve if epsilon > 0})
    for epsilon in budgets:
        shares = []
        for row in ranked:
            points = dict(more.curves.get(row.key, ()))
            if epsilon in points and points[0.0].mean > 0:
                shares.append((points[epsilon].mean / points[0.0].mean, row))
        yield epsilon, shares


def _unranked(table: LeaderboardTable) -> Iterator[str]:
    """Yields a sentence that counts the unranked rows, with their flags."""
    rows = [row for row in table.rows if row.rank is None and not row.is_baseline]
    if not rows:
        return
    flags = Counter(name for row in rows for name in dict.fromkeys(note.flag.partition(":")[0] for note in row.notes))
    listed = ", ".join(f"{name} ({count})" for name, count in flags.most_common())
    reasons = f": {listed}" if listed else ""
    yield f"**Do not believe {counted(len(rows), 'unranked row')}**{reasons}."


def _best_of_models(table: LeaderboardTable, ranked: Sequence[LeaderboardRow]) -> Iterator[tuple[str, Grid]]:
    """Yields a caption and a table with the best row of each model.

    Nothing is yielded if models are ranked against each other, or if no row has a rank.
    """
    if table.threat.ranks_models or not ranked:
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
    head = ["model", "best defence", "rank", "clean", "undefended", "worst case", "undefended", "against the twin"]
    yield "The best row of each model by worst case", Grid(head, body)


def _defence_grid(table: LeaderboardTable, more: PageValues) -> Iterator[tuple[str, Grid]]:
    """Yields a caption and a table with the cost and the gain of each defence.

    The cost is the change of the clean value from that of the undefended twin. The gain is the change of the worst
    case. Nothing is yielded if no defence has a row and a twin with a worst case.
    """
    twins = {row.key.model_key: row for row in table.rows if not row.key.defended}
    rows = [row for row in table.rows if row.key.defended and row.worst is not None and row.key.model_key in twins]
    lines: list[tuple[float, list[str]]] = []
    for name, some in grouped(rows, lambda row: format_defense(row.key)).items():
        pairs = [(row, twins[row.key.model_key]) for row in some]
        cost = [row.clean - twin.clean for row, twin in pairs]
        gain = [row.worst - twin.worst for row, twin in pairs if row.worst is not None and twin.worst is not None]
        if not gain:
            continue
        words = Counter(row.verdict.partition(" ")[0] or "no verdict" for row in some)
        said = ", ".join(
            f"{words[word]} {word}" for word in ("gains", "loses", "undecided", "no verdict") if words[word]
        )
        lines.append((float(np.mean(gain)), [name, str(len(some)), _spread(cost), _spread(gain), said]))
    if lines:
        ordered = [line for _, line in sorted(lines, key=lambda pair: pair[0], reverse=not table.rise)]
        head = ["defence", "models", "clean, less the twin's", "worst case, less the twin's", "verdicts"]
        yield f"What each defence costs and brings in {table.metric}: mean over models, and range", Grid(head, ordered)


def _spread(values: Sequence[float]) -> str:
    """Returns the mean of signed differences, and their range if there are several."""
    mean = _signed(float(np.mean(values)))
    return mean if len(values) == 1 else f"{mean} ({_signed(min(values))} to {_signed(max(values))})"


def _signed(value: float) -> str:
    text = format_number(value)
    return text if text.startswith("-") else f"+{text}"


def _name(row: LeaderboardRow) -> str:
    return format_victim(row.key, row.own_weights)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
