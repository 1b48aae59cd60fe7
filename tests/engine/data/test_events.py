import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.engine.data import events as module
from robench.engine.data.events import Events, once_per_pair, sort_events

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
