"""Finds records that two sides share, and measurements under two names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from robench.api.errors import counted
from robench.comparison.sides import Side
from robench.spec import RowKey

MOST_NAMES = 4  # the most cells that a note names


def describe_copies(a: Side, b: Side, keys: Sequence[tuple[RowKey, RowKey]]) -> list[str]:
    """Returns notes about records that both sides share.

    A record has a checksum of its own, which covers the time that the measurement took. So two records with the same
    checksum are one measurement. Identical arrays of different records may come from a copy, from a repeated
    measurement, or from two specs that give the same victim. The notes name such cells. They change no difference and
    no p-value.

    Args:
        a: the first side.
        b: the second side.
        keys: the pairs of rows.
    """
    return [*_describe_same(a, b, keys), *_describe_renamed(a, b, keys)]


def _describe_same(a: Side, b: Side, keys: Sequence[tuple[RowKey, RowKey]]) -> Iterator[str]:
    first = {record["id"]: record for one, _ in keys for record in a.records(one)}
    second = {record["id"]: record for _, two in keys for record in b.records(two)}
    common = first.keys() & second.keys()
    copied = sum(first[name]["sha256"] == second[name]["sha256"] for name in common)
    equal = sum(
        first[name]["sha256"] != second[name]["sha256"]
        and first[name]["arrays_sha256"] == second[name]["arrays_sha256"]
        for name in common
    )
    if copied:
        cells = counted(len(first), "cell")
        yield f"the same records: {copied} of {cells} of A are also in B, so they are one measurement"
    if equal:
        yield f"the same numbers: {counted(equal, 'cell')} of A and B were measured twice, and their arrays are equal"


def _describe_renamed(a: Side, b: Side, keys: Sequence[tuple[RowKey, RowKey]]) -> Iterator[str]:
    """Yields a note about pairs of cells with different specs but identical arrays."""
    names = []
    for one, two in keys:
        others = {record["arrays_sha256"]: record["id"] for record in b.records(two)}
        for record in a.records(one):
            other = others.get(record["arrays_sha256"])
            if other is not None and other != record["id"] and one != two:
                names.append(f"{record['id']} and {other}")
    if names:
        more = "; ..." if len(names) > MOST_NAMES else ""
        listed = "; ".join(names[:MOST_NAMES]) + more
        cells = counted(len(names), "pair") + " of cells"
        yield f"one measurement under two names: the arrays of {cells} are equal, but their specs differ ({listed})"
