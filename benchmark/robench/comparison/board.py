"""Compares two folders of results, or two rows, value by value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from robench.api.errors import UserError
from robench.comparison.copies import describe_copies
from robench.comparison.differences import Difference
from robench.comparison.obstacles import Obstacle, find_data_obstacle, find_missing_tables
from robench.comparison.pairs import Keys, Pairs
from robench.comparison.sides import Side, find_row
from robench.entrance.tables import read_folder
from robench.host.registry import Registry
from robench.report.headline import list_rows


@dataclass(frozen=True)
class BoardComparison:
    """The outcome of a comparison.

    Args:
        a: the folder A, and the row if only one row is compared.
        b: the folder B, in the same form.
        differences: one entry per compared value, with the difference B minus A.
        obstacles: what cannot be compared, and why.
        notes: what a reader must know about both sides, such as copied records.
    """

    a: str
    b: str
    differences: tuple[Difference, ...]
    obstacles: tuple[Obstacle, ...]
    notes: tuple[str, ...]


def compare_boards(a: Path, b: Path | None, rows: Sequence[str], registry: Registry) -> BoardComparison:
    """Compares two folders, or two rows.

    Args:
        a: a folder of results.
        b: another folder of results, or None for the same folder.
        rows: the rows to compare. Without a row, all rows that both folders have are compared. One row is compared in
            both folders. Of two rows, the first belongs to A and the second to B.
        registry: the plugins, of which only metrics are used.

    Raises:
        UserError: if a folder cannot be read, if a row is unknown or ambiguous, if there are more than two rows, or if
            ``b`` is None and there are not two rows.
    """
    if len(rows) > 2 or (b is None and len(rows) != 2):
        raise UserError(
            "give two folders, or two rows of a folder", path="--row", hint="--row 'mf' --row 'mf, apr λ=0.5'"
        )
    results = read_folder(a, registry)
    others = results if b is None or b == a else read_folder(b, registry)
    if not rows:
        return compare_sides(Side("A", a, results), Side("B", b or a, others))
    keys = find_row(results, rows[0], a), find_row(others, rows[-1], b or a)
    return compare_sides(Side("A", a, results, keys[0]), Side("B", b or a, others, keys[1]))


def compare_sides(a: Side, b: Side) -> BoardComparison:
    """Returns the differences between two sides, and what cannot be compared."""
    obstacles = [*_find_missing_rows(a, b), *find_missing_tables(a, b)]
    comparable: list[Keys] = []
    by_places: dict[tuple[tuple[str, str], tuple[str, str]], Obstacle | None] = {}
    for one, two in _match_rows(a, b):
        places = one.place, two.place
        if places not in by_places:
            by_places[places] = find_data_obstacle(a, b, *places)
        if by_places[places] is None:
            comparable.append((one, two))
    obstacles += [obstacle for obstacle in by_places.values() if obstacle is not None]
    pairs = Pairs(a, b, comparable)
    differences = (*pairs.clean(), *pairs.attacked())
    notes = tuple(describe_copies(a, b, comparable))
    return BoardComparison(a.title, b.title, differences, (*obstacles, *pairs.obstacles()), notes)


def _match_rows(a: Side, b: Side) -> list[Keys]:
    if a.key is not None and b.key is not None:
        return [(a.key, b.key)]
    others = set(b.chosen())
    return [(key, key) for key in a.chosen() if key in others]


def _find_missing_rows(a: Side, b: Side) -> Iterator[Obstacle]:
    if a.key is None:
        for one, two in ((a, b), (b, a)):
            places, others = set(two.results.places), set(two.chosen())
            keys = [key for key in one.chosen() if key.place in places and key not in others]
            if keys:
                yield Obstacle(list_rows(keys), f"only {one.name} has {'this row' if len(keys) == 1 else 'these rows'}")
