"""Describes the fake users of a poisoned victim, for ``robench show``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from robench.api.data import IntArray
from robench.api.errors import counted
from robench.store.npz import Arrays

MOST_ITEMS = 10  # the largest number of items in the line of frequent items


def describe_fakes(arrays: Arrays, targets: Sequence[int], title: Callable[[int], str]) -> Iterator[tuple[str, str]]:
    """Yields names and values for the table of a record.

    Without fake users, nothing is yielded.

    Args:
        arrays: the arrays of the cell.
        targets: the targets of the cell.
        title: a function that returns the title of an item.
    """
    if "fake_items" not in arrays:
        return
    lengths = arrays["fake_lengths"].astype(np.int64)
    rows = np.split(arrays["fake_items"].astype(np.int64), np.cumsum(lengths)[:-1])
    yield "fake users", f"{len(rows)}, with {_range(lengths)} items"
    items, counts = np.unique(arrays["fake_items"], return_counts=True)
    items, counts = items[~np.isin(items, targets)], counts[~np.isin(items, targets)]
    order = np.lexsort((items, -counts))[:MOST_ITEMS]
    fillers = [f"{title(int(items[i]))} ({counts[i]})" for i in order]
    more = f"; and {counted(len(items) - len(order), 'other')}" if len(items) > len(order) else ""
    yield "fillers of fake users", "; ".join(fillers) + more if fillers else "none"
    for target in targets:
        places = np.array([int(place) + 1 for row in rows for place in np.flatnonzero(row == target)])
        where = f"places {_range(places)}, median {np.median(places):g}" if len(places) else "in no profile"
        yield f"{title(target)} in profiles", where
    marked = [f"[{title(item)}]" if item in targets else title(item) for item in rows[0].tolist()]
    yield "first fake user", "; ".join(marked)


def _range(values: IntArray) -> str:
    """Returns the smallest and the largest value, such as ``3 to 9``."""
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"
