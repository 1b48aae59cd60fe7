"""Describes in words what each ranking table shows.

The sentences are about the best rows, the defences, and the ε that no row survives.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from robench.api.errors import counted
from robench.report.blocks import Grid
from robench.report.headline import list_rows
from robench.report.leaderboard import describe_board
from robench.report.next_steps import suggest_steps
from robench.report.numbers import format_number, format_rank, format_unit, format_victim
from robench.report.page.advice import write_advice
from robench.report.page.attacker import describe_attacker
from robench.report.page.verdict_grids import build_verdict_grids
from robench.spec import RowKey
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
        attacker: sentences on what the attacker may do and wants.
        sentences: the verdict.
        advice: a paragraph on the defences of each model.
        grids: tables with their captions: the best row of each model, and what each defence costs.
    """

    board: str
    title: str
    attacker: str
    sentences: Sequence[str]
    advice: Sequence[str]
    grids: Sequence[tuple[str, Grid]]


def build_headlines(tables: Tables) -> list[Headline]:
    """Returns the verdict of every ranking table, in order."""
    return [_headline(f"board-{n}", table, more) for n, (table, more) in enumerate(tables.with_page_values(), 1)]


def _headline(board: str, table: LeaderboardTable, more: PageValues) -> Headline:
    ranked = [row for row in table.rows if row.rank is not None]
    sentences = [
        _best(table, ranked),
        *_defended(table),
        *_survival(table, ranked, more),
        *_moved(table, ranked),
        *_unranked(table),
        *_caution(table),
    ]
    said = [text for text in sentences if text]
    attacker = describe_attacker(table.threat, table.epsilon)
    advice, grids = write_advice(table, more), build_verdict_grids(table, more)
    return Headline(board, describe_board(table), attacker, said, advice, grids)


def _best(table: LeaderboardTable, ranked: Sequence[LeaderboardRow]) -> str:
    """Returns a sentence on the best row, if models are ranked against each other."""
    if not ranked:
        start = "**No row has a rank**, so this table says nothing about who is robust."
        return f"{start} {suggest_steps(table)}".strip()
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


def _survival(table: LeaderboardTable, ranked: Sequence[LeaderboardRow], more: PageValues) -> Iterator[str]:
    """Yields sentences on the rows that survive.

    The sentences state the smallest ε that no ranked row survives, and the rows that survive the ε before it.
    """
    if table.rise:
        rises = [(row.worst - row.clean, row) for row in ranked if row.worst is not None]
        if rises:
            rise, row = min(rises, key=lambda pair: pair[0])
            yield f"**The smallest rise** is {format_number(rise)}, of {_name(row)}."
        return
    steps = [(epsilon, shares) for epsilon, shares in _shares(ranked, more) if shares]
    survived = None
    for epsilon, shares in steps:
        share, row = max(shares, key=lambda pair: pair[0])
        if share < HALF:
            budget = f"ε = {epsilon:g}{format_unit(table.threat, epsilon)}"
            yield (
                f"**Nobody survives {budget}**: no ranked row keeps half of its clean {table.metric}. "
                f"{_name(row)} keeps most, {_percent(share)}."
            )
            break
        survived = epsilon, shares
    if survived is None:
        return
    epsilon, shares = survived
    keys = [row.key for share, row in shares if share >= HALF]
    share, row = min(shares, key=lambda pair: pair[0])
    keep, their = ("keeps", "its") if len(keys) == 1 else ("keep", "their")
    count = f"{len(keys)} of {counted(len(shares), 'ranked row')}"
    budget = f"ε = {epsilon:g}{format_unit(table.threat, epsilon)}"
    yield (
        f"**At {budget}, {count} {keep} half** of {their} clean {table.metric}: "
        f"{_name_rows(table, keys)}. {_name(row)} keeps least, {_percent(share)}."
    )


def _moved(table: LeaderboardTable, ranked: Sequence[LeaderboardRow]) -> Iterator[str]:
    """Yields a sentence on the rows that poisoning moves by more than chance.

    A row is moved if the interval of its shift lies on the attacker's side of 0.
    """
    shifts = [(row, row.shift) for row in ranked if row.shift is not None]
    if not shifts or table.targets is None:
        return
    keys = [row.key for row, shift in shifts if (shift.low > 0 if table.rise else shift.high < 0)]
    still = [row.key for row, _ in shifts if row.key not in keys]
    contains = "the interval of {} shift contains 0"
    if not keys:
        yield f"**No ranked row is shown to be moved**: {contains.format('every')}, or lies on the defender's side."
    elif not still:
        yield f"**The attacks move every ranked row** in {table.metric}: no interval of a shift contains 0."
    else:
        yield (
            f"**The attacks move {len(keys)} of {counted(len(shifts), 'ranked row')}** in {table.metric}. "
            f"Elsewhere, {contains.format('the')}: {_name_rows(table, still)}."
        )


def _caution(table: LeaderboardTable) -> Iterator[str]:
    """Yields sentences on what weakens the evidence of a whole table."""
    if not table.ensemble and table.threat.norm != "share":
        yield (
            f"**A stronger attack may exist**: this suite chose the attacks ({', '.join(table.attacks)}), and no "
            "standard ensemble judges the rows."
        )
    if all(row.seeds == 1 for row in table.rows):
        yield "**One fit per row**: with one seed, no difference is tested, and every rank is possible."


def _shares(
    ranked: Sequence[LeaderboardRow], more: PageValues
) -> Iterator[tuple[float, list[tuple[float, LeaderboardRow]]]]:
    """Yields each ε with the shares of the clean value that the rows keep.

    Rows that lack an attack within an ε are left out there, because the missing attack could be the worst one.
    """
    budgets = sorted({epsilon for curve in more.curves.values() for epsilon, _ in curve if epsilon > 0})
    for epsilon in budgets:
        shares = []
        for row in ranked:
            points = dict(more.curves.get(row.key, ()))
            if epsilon in points and points[0.0].mean > 0 and (row.key, epsilon) not in more.incomplete:
                shares.append((points[epsilon].mean / points[0.0].mean, row))
        yield epsilon, shares


def _unranked(table: LeaderboardTable) -> Iterator[str]:
    """Yields a sentence that counts the unranked rows, with their flags."""
    rows = [row for row in table.rows if row.rank is None and not row.is_baseline]
    if not rows:
        return
    flags = Counter(name for row in rows for name in dict.fromkeys(note.flag.partition(":")[0] for note in row.notes))
    listed = ", ".join(f"{name} ({count})" for name, count in flags.most_common())
    reasons = f" The flags are {listed}." if listed else ""
    names = _name_rows(table, [row.key for row in rows])
    yield f"**Do not believe {counted(len(rows), 'unranked row')}**: {names}.{reasons}"


def _name(row: LeaderboardRow) -> str:
    """Returns the model with its defence."""
    if not row.key.defended:
        return f"{row.key.model_label} without a defence"
    return format_victim(row.key, row.own_weights)


def _name_rows(table: LeaderboardTable, keys: Sequence[RowKey]) -> str:
    """Returns the names of rows.

    In a table without defended rows, these are the names of the models.
    """
    if any(row.key.defended for row in table.rows):
        return list_rows(keys)
    return ", ".join(key.model_label for key in keys)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
