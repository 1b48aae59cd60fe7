from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.engine.data import events as module
from robench.engine.data.events import Events, once_per_pair, sort_events, sort_once

TIMES = [st.integers(0, 3), st.integers(10**17, 10**17 + 5), st.integers(-(2**62), 2**62)]


@st.composite
def raw_events(draw):
    time = draw(st.sampled_from(TIMES))
    rows = draw(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), time, st.integers(0, 2)), max_size=40))
    columns = np.array(rows, dtype=np.int64).reshape(-1, 4).T
    parts = columns[3].astype(np.int8) if draw(st.booleans()) else None
    return Events(columns[0], columns[1], columns[2], parts)


@pytest.mark.parametrize("bits", [63, 16, 0])  # packed, packed with ranks instead of long times, not packed
@given(events=raw_events())
@settings(max_examples=60)
def test_events_are_sorted_by_user_time_item_and_part(bits, events):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BITS", bits)
        ordered = sort_events(events, 5, 5)
        first, last = (once_per_pair(ordered, 5, keep) for keep in ("first", "last"))
    parts = [0] * len(events) if events.parts is None else events.parts.tolist()
    rows = sorted(zip(events.users.tolist(), events.times.tolist(), events.items.tolist(), parts, strict=True))
    got = [0] * len(events) if ordered.parts is None else ordered.parts.tolist()
    assert rows == list(zip(ordered.users.tolist(), ordered.times.tolist(), ordered.items.tolist(), got, strict=True))
    pairs = [(user, item) for user, _, item, _ in rows]
    assert first.tolist() == [pair not in pairs[:place] for place, pair in enumerate(pairs)]
    assert last.tolist() == [pair not in pairs[place + 1 :] for place, pair in enumerate(pairs)]


@pytest.mark.parametrize("piece", [1, 3, 1 << 16])
@pytest.mark.parametrize("bits", [63, 16])  # packed, not packed
@given(events=raw_events(), keep=st.sampled_from(["first", "last"]), narrow=st.booleans())
@settings(max_examples=30)
def test_one_event_per_pair_is_what_sorting_and_choosing_give(bits, piece, events, keep, narrow):
    ordered = sort_events(events, 5, 5)
    expected = ordered.chosen(once_per_pair(ordered, 5, keep))
    given_events = events
    if narrow:
        given_events = replace(events, users=events.users.astype(np.int32), items=events.items.astype(np.int32))
    before = [column.copy() for column in (given_events.users, given_events.items, given_events.times)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BITS", bits)
        patch.setattr(module, "PIECE", piece)
        got = sort_once(given_events, 5, 5, keep)
    for one, other in zip(
        (got.users, got.items, got.times), (expected.users, expected.items, expected.times), strict=True
    ):
        assert one.dtype == np.int64
        np.testing.assert_array_equal(one, other)
    for one, other in zip(before, (given_events.users, given_events.items, given_events.times), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("piece", [1, 3, 1 << 16])
@given(events=raw_events(), data=st.data())
@settings(max_examples=20)
def test_events_that_remain_move_to_the_front(piece, events, data):
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(events), max_size=len(events))), dtype=bool)
    expected = events.chosen(mask)
    copy = Events(*(None if part is None else part.copy() for part in vars(events).values()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", piece)
        got = copy.reduced(mask)
    for name in ("users", "items", "times", "parts"):
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
