"""Sorts the events of a log and finds repeated pairs and the k-core.

The functions are fast enough for logs with tens of millions of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.data import IntArray
from robench.engine.data.splits import KNOWN, TRAIN

BITS = 63  # the number of bits of a non-negative int64
PIECE = 1 << 16  # the number of events that are converted together; arrays of this length stay in a cache


@dataclass(frozen=True, eq=False)
class Events:
    """The events of a log, with numbers in place of ids.

    Args:
        users: the number of each event's user, int64 [n]. Unsorted events may hold int32 to save memory.
        items: the number of each event's item, int64 [n]. Unsorted events may hold int32, too.
        times: the time of each event, int64 [n], or the event's position in the source if the source has no times.
        parts: the part of each event, int8 [n], or None if the source is not split.
    """

    users: NDArray[Any]
    items: NDArray[Any]
    times: IntArray
    parts: NDArray[np.int8] | None = None

    def __len__(self) -> int:
        """Returns the number of events."""
        return len(self.users)

    def chosen(self, rows: NDArray[np.bool_] | IntArray) -> Events:
        """Returns the events that a mask or an array of positions selects."""
        parts = None if self.parts is None else self.parts[rows]
        return Events(self.users[rows], self.items[rows], self.times[rows], parts)

    def reduced(self, mask: NDArray[np.bool_]) -> Events:
        """Returns the events that a mask selects, in this object's own memory.

        The arrays of this object must not be used afterwards. For tens of millions of rows, allocating new memory would
        take several times as long as the selection.
        """
        parts = None if self.parts is None else _reduce(self.parts, mask)
        return Events(_reduce(self.users, mask), _reduce(self.items, mask), _reduce(self.times, mask), parts)


def _widened(events: Events) -> Events:
    """Returns the events with users and items as int64."""
    return replace(events, users=events.users.astype(np.int64), items=events.items.astype(np.int64))


def _reduce(column: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Moves the selected numbers to the front of a column and returns the front."""
    end = 0
    for piece in pieces(len(column)):
        part = column[piece][mask[piece]]
        column[end : end + len(part)] = part
        end += len(part)
    return column[:end]


def sort_events(events: Events, n_users: int, n_items: int) -> Events:
    """Returns the events sorted by user, then time, then item, then part.

    Two events that agree in all four numbers are equal. Therefore, the result does not depend on the original order.

    If possible, the four numbers of an event are packed into one integer of 63 bits, because sorting integers is
    several times as fast as sorting rows. If the numbers need more bits, the ranks of the times are packed in place of
    the times. If this does not suffice either, the rows are sorted.
    """
    if not len(events):
        return _widened(events)
    parts = 1 if events.parts is None else int(events.parts.max()) + 1
    first = int(events.times.min())
    sizes = (n_users, int(events.times.max()) - first + 1, n_items, parts)
    if sum(map(_bits, sizes)) > BITS:
        distinct, ranks = np.unique(events.times, return_inverse=True)
        if sum(map(_bits, (n_users, len(distinct), n_items, parts))) > BITS:
            events = _widened(events)
            columns = (events.items, events.times, events.users)
            return events.chosen(np.lexsort(columns if events.parts is None else (events.parts, *columns)))
        packed = sort_events(replace(events, times=ranks.astype(np.int64)), n_users, n_items)
        return replace(packed, times=distinct[packed.times])
    _, time_bits, item_bits, part_bits = map(_bits, sizes)
    keys = events.users.astype(np.int64)
    keys <<= time_bits
    keys += events.times
    keys -= first
    keys <<= item_bits
    keys += events.items
    if events.parts is not None:
        keys <<= part_bits
        keys += events.parts
    keys.sort()
    sorted_parts = None
    if events.parts is not None:
        sorted_parts = (keys & ((1 << part_bits) - 1)).astype(np.int8)
        keys >>= part_bits
    return replace(_unpack(keys, item_bits, time_bits, first), parts=sorted_parts)


def sort_once(events: Events, n_users: int, n_items: int, keep: str) -> Events:
    """Returns one event per user-item pair, in the order of ``sort_events``.

    The result is the same as with ``sort_events`` and ``once_per_pair``. If possible, only one array of packed numbers
    is sorted and changed in place. For tens of millions of rows, allocating new memory would take longer than sorting.

    Args:
        events: the events, in any order.
        n_users: the number of users.
        n_items: the number of items.
        keep: ``last`` selects the latest event of a pair. Any other value selects the earliest.
    """
    first, last = (int(events.times.min()), int(events.times.max())) if len(events) else (0, 0)
    item_bits, time_bits = _bits(n_items), _bits(last - first + 1)
    if not len(events) or events.parts is not None or _bits(n_users) + item_bits + time_bits > BITS:
        events = sort_events(events, n_users, n_items)
        return events.chosen(once_per_pair(events, n_items, keep))
    keys = events.users.astype(np.int64)
    keys <<= item_bits
    keys += events.items
    keys <<= time_bits
    keys += events.times
    keys -= first
    keys.sort()
    end = 0
    chosen = _edges_of_pairs(keys, time_bits, keep)
    for piece in pieces(len(keys)):
        part = keys[piece][chosen[piece]]
        times = part & ((1 << time_bits) - 1)
        part >>= time_bits
        items = part & ((1 << item_bits) - 1)
        part >>= item_bits
        keys[end : end + len(part)] = (((part << time_bits) | times) << item_bits) | items
        end += len(part)
    keys = keys[:end]
    keys.sort()
    return _unpack(keys, item_bits, time_bits, first)


def pieces(n: int) -> Iterator[slice]:
    """Yields slices of at most ``PIECE`` rows that together cover n rows."""
    return (slice(start, min(start + PIECE, n)) for start in range(0, n, PIECE))


def _edges_of_pairs(keys: IntArray, time_bits: int, keep: str) -> NDArray[np.bool_]:
    """Returns a mask of the first or the last event of each user-item pair, bool [n].

    Args:
        keys: the packed numbers of user, item and time, sorted, int64 [n].
        time_bits: the number of bits of a time.
        keep: ``last`` selects the last event of a pair. Any other value selects the first.
    """
    edges = np.ones(len(keys) + 1, dtype=bool)
    for piece in pieces(len(keys) - 1):
        after = slice(piece.start + 1, piece.stop + 1)
        edges[after] = (keys[piece] ^ keys[after]) >> time_bits != 0
    return edges[1:] if keep == "last" else edges[:-1]


def _unpack(keys: IntArray, item_bits: int, time_bits: int, first: int) -> Events:
    """Unpacks events from numbers that hold a user, a time and an item.

    The array of packed numbers is overwritten with the users.
    """
    items, times = np.empty_like(keys), np.empty_like(keys)
    for piece in pieces(len(keys)):
        part = keys[piece]
        items[piece] = part & ((1 << item_bits) - 1)
        part >>= item_bits
        times[piece] = (part & ((1 << time_bits) - 1)) + first
        part >>= time_bits
    return Events(keys, items, times)


def _bits(size: int) -> int:
    """Returns the number of bits that suffice for all numbers below ``size``."""
    return (size - 1).bit_length()


def once_per_pair(events: Events, n_items: int, keep: str) -> NDArray[np.bool_]:
    """Returns a mask that selects one event per user-item pair, bool [n].

    Args:
        events: the events, sorted by ``sort_events``.
        n_items: the number of items.
        keep: ``last`` selects the latest event of a pair. Any other value selects the earliest.
    """
    n = len(events)
    chosen = np.zeros(n, dtype=bool)
    if not n:
        return chosen
    place_bits, item_bits = _bits(n), _bits(n_items)
    if _bits(int(events.users[-1]) + 1) + item_bits + place_bits > BITS:
        pairs = events.users * n_items + events.items
        order = np.argsort(pairs, kind="stable")
        pairs = pairs[order]
    else:
        keys = events.users << item_bits
        keys += events.items
        keys <<= place_bits
        keys += np.arange(n)
        keys.sort()
        order = keys & ((1 << place_bits) - 1)
        keys >>= place_bits
        pairs = keys
    other = pairs[1:] != pairs[:-1]
    edges = np.append(other, True) if keep == "last" else np.append(True, other)
    chosen[order[edges]] = True
    return chosen


def k_core(users: IntArray, items: IntArray, per_user: int, per_item: int) -> NDArray[np.bool_]:
    """Returns a mask of the events in the k-core, bool [n].

    The k-core is the largest set of events with enough events per user and per item.

    Args:
        users: the user of each event, int64 [n].
        items: the item of each event, int64 [n].
        per_user: the minimum number of events per user.
        per_item: the minimum number of events per item.
    """
    kept = np.ones(len(users), dtype=bool)
    if per_user <= 1 and per_item <= 1:
        return kept
    of_user, of_item = np.bincount(users, minlength=1), np.bincount(items, minlength=1)
    while True:
        weak = ((of_user < per_user)[users] | (of_item < per_item)[items]) & kept
        dropped = np.flatnonzero(weak)
        if not len(dropped):
            return kept
        kept[dropped] = False
        of_user -= np.bincount(users[dropped], minlength=len(of_user))
        of_item -= np.bincount(items[dropped], minlength=len(of_item))


def pairs_of(events: Events, core: Events) -> NDArray[np.bool_]:
    """Returns a mask of the events with a user and an item in the k-core, bool [n].

    Args:
        events: the events, in which a user-item pair may be repeated.
        core: one event for each pair in the k-core.
    """
    users = np.bincount(core.users, minlength=int(events.users.max(initial=0)) + 1) > 0
    items = np.bincount(core.items, minlength=int(events.items.max(initial=0)) + 1) > 0
    inside: NDArray[np.bool_] = users[events.users] & items[events.items]
    return inside


def new_if_held_out(events: Events, parts: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Returns a mask that is False for held-out events that repeat a pair, bool [n].

    Known items are never ranked. Therefore, a held-out event cannot be evaluated if the user already has the item in an
    earlier part, or earlier in the same part. The mask keeps all training events, and all known events of cold users.

    Args:
        events: the events, sorted by ``sort_events``.
        parts: the part of each event: 0 for training, 1 for validation, 2 for test, 3 for known.
    """
    parts = np.where(parts == KNOWN, TRAIN, parts)
    order = np.lexsort((parts, events.items, events.users))
    users, items = events.users[order], events.items[order]
    again = np.append(False, (users[1:] == users[:-1]) & (items[1:] == items[:-1]))
    kept = np.ones(len(events), dtype=bool)
    kept[order[again & (parts[order] > 0)]] = False
    return kept
