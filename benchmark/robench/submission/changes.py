"""Compares the rows of a submission with those of the current board."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from robench.api.errors import UserError, counted
from robench.report.leaderboard import name_worst_case
from robench.report.numbers import format_interval, format_rank
from robench.submission.rows import describe_row, named_rows
from robench.tables.build import Tables
from robench.tables.leaderboard import LeaderboardRow, LeaderboardTable
from robench.tables.results import Results

TableRow = tuple[LeaderboardTable, LeaderboardRow]
UNRANKED = "unranked"


@dataclass(frozen=True)
class Change:
    """One difference between a submission and the current board.

    Args:
        kind: ``added``, ``removed``, ``moved``, ``value``, ``verdict`` or ``flags``.
        row: a description of the row.
        before: the value on the board, or an empty string.
        after: the value in the submission, or an empty string.
    """

    kind: str
    row: str
    before: str
    after: str


@dataclass
class Changes:
    """All differences between a submission and the current board.

    Args:
        changes: the differences, in the order of the tables.
        notes: one line for each part that cannot be compared, with the reason.
        compared: the number of rows that both boards have and that can be compared.
    """

    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    compared: int = 0

    def count(self, kind: str) -> int:
        """Returns the number of differences of one kind."""
        return sum(change.kind == kind for change in self.changes)

    def summary(self) -> str:
        """Returns a line that counts changed rows, changed verdicts and compared rows."""
        rows = [f"{counted(self.count('added'), 'row')} added", f"{self.count('moved')} moved"]
        rows += [f"{self.count('removed')} removed", f"{counted(self.count('verdict'), 'verdict')} changed"]
        return f"{', '.join(rows)}; {counted(self.compared, 'row')} compared"


def compare_boards(new: Results, new_tables: Tables, old: Results, old_tables: Tables, where: str) -> Changes:
    """Compares the tables of a submission with those of the current board.

    All tables must have been computed from the arrays of the cells.

    Args:
        new: the results of the submission.
        new_tables: the tables of the submission.
        old: the results of the board.
        old_tables: the tables of the board.
        where: the name of the submission, for the error message.

    Raises:
        UserError: if the submission belongs to another suite.
    """
    if new.plan.suite != old.plan.suite:
        problem = f"the submission is of the suite '{new.plan.suite}', and the board of '{old.plan.suite}'"
        raise UserError(problem, where=where, hint="--against names the board")
    changes = Changes()
    submitted, present = named_rows(new_tables), named_rows(old_tables)
    reasons = _find_reasons(new, old)
    for name, pair in submitted.items():
        if name not in present:
            changes.changes.append(Change("added", describe_row(*pair), "", _describe_place(*pair)))
        elif reason := reasons.get(name.dataset, name.split, name.metric) or _other_attacks(present[name][1], pair[1]):
            changes.notes.append(f"{describe_row(*pair)}: {reason}")
        else:
            changes.compared += 1
            changes.changes += _compare(present[name], pair)
    removed = (name for name in present if name not in submitted)
    changes.changes += [
        Change("removed", describe_row(*present[name]), _describe_place(*present[name]), "") for name in removed
    ]
    return changes


class _Reasons:
    """The reasons why parts of two boards cannot be compared."""

    def __init__(self, whole: str, places: Mapping[tuple[str, str], str], metrics: Mapping[str, str]) -> None:
        self.whole, self.places, self.metrics = whole, places, metrics

    def get(self, dataset: str, split: str, metric: str) -> str:
        """Returns why the rows of one table cannot be compared, or an empty string."""
        return self.whole or self.places.get((dataset, split), "") or self.metrics.get(metric, "")


def _find_reasons(new: Results, old: Results) -> _Reasons:
    """Returns why parts of two boards cannot be compared.

    The boards may differ in the version of the protocol, in the prepared data, or in the version of a metric.
    """
    versions = new.plan.protocol_version, old.plan.protocol_version
    whole = "" if versions[0] == versions[1] else f"protocol version {versions[0]}, on the board {versions[1]}"
    places = {}
    for place in new.places:
        one, two = (part.plan.data_sha256.get("/".join(place)) for part in (new, old))
        if one and two and one != two:
            places[place] = f"the data {', '.join(place)} are other data than those of the board"
    metrics = {}
    for measure in {*new.plan.metrics} & {*old.plan.metrics}:
        one_version, two_version = (_metric_version(part, str(measure)) for part in (new, old))
        if one_version != two_version:
            metrics[str(measure)] = f"{measure} of version {one_version}, on the board {two_version}"
    return _Reasons(whole, places, metrics)


def _metric_version(results: Results, measure: str) -> object:
    """Returns the version of a metric in the records, or None if no record has it."""
    values = (record["metrics"].get(measure) for record in results.records.values() if record["status"] == "ok")
    return next((value["version"] for value in values if value), None)


def _other_attacks(old: LeaderboardRow, new: LeaderboardRow) -> str:
    """Returns why the attacks of two rows differ, or an empty string."""
    if old.attack_set == new.attack_set:
        return ""
    return f"attacked by {new.attack_set or 'nothing'}, on the board by {old.attack_set or 'nothing'}"


def _describe_place(table: LeaderboardTable, row: LeaderboardRow) -> str:
    """Returns the rank of a row, with its value under attack."""
    return f"rank {format_rank(row) or UNRANKED}, {name_worst_case(table)} {format_interval(row.worst_interval)}"


def _compare(old: TableRow, new: TableRow) -> Iterator[Change]:
    """Yields the differences between two rows of the same name."""
    description = describe_row(*new)
    pairs = {
        "moved": (format_rank(old[1]) or UNRANKED, format_rank(new[1]) or UNRANKED),
        "value": tuple(_values(*part) for part in (old, new)),
        "verdict": (old[1].verdict or "none", new[1].verdict or "none"),
        "flags": (old[1].flags or "none", new[1].flags or "none"),
    }
    for kind, (before, after) in pairs.items():
        if before != after:
            yield Change(kind, description, before, after)


def _values(table: LeaderboardTable, row: LeaderboardRow) -> str:
    """Returns the clean value and the value under attack."""
    return (
        f"clean {format_interval(row.clean_interval)}, {name_worst_case(table)} {format_interval(row.worst_interval)}"
    )
