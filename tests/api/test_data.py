import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from robench.api.data import Interactions


def test_arrays_are_read_only():
    rows = Interactions.from_rows([[1, 2], [0]], 3)
    for array in (rows.indptr, rows.items, rows.times):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 5


@pytest.mark.parametrize(
    ("change", "error", "problem"),
    [
        ({"items": np.array([0, 1, 2], dtype=np.int32)}, TypeError, "items must be int64"),
        ({"items": np.array([[0, 1, 2]])}, ValueError, "one dimension"),
        ({"items": np.array([0, 1, 3])}, ValueError, r"\[0, 3\)"),
        ({"items": np.array([0, -1, 2])}, ValueError, r"\[0, 3\)"),
        ({"indptr": np.array([0, 2])}, ValueError, "indptr must run"),
        ({"indptr": np.array([0, 3, 2, 3])}, ValueError, "must not decrease"),
        ({"times": np.array([0, 1])}, ValueError, "3 items but 2 times"),
    ],
)
def test_wrong_shapes_and_types_are_refused(change, error, problem):
    sound = {"indptr": np.array([0, 2, 3]), "items": np.array([0, 1, 2]), "times": np.array([0, 1, 2])}
    with pytest.raises(error, match=problem):
        Interactions(**{**sound, **change}, n_items=3)


def test_appended_rows_come_last_and_change_nothing_before():
    rows = Interactions.from_rows([[1, 2], [0]], 3)
    more = rows.appended([[2, 0]])
    assert [more.row(u).tolist() for u in range(3)] == [[1, 2], [0], [2, 0]]
    assert rows.appended([]) is rows
    assert more.counts().tolist() == [2, 1, 2]
    assert more.users().tolist() == [0, 0, 1, 2, 2]


@given(rows=st.lists(st.lists(st.integers(0, 8), max_size=6), min_size=1, max_size=9), data=st.data())
def test_rows_of_some_users_come_in_the_given_order(rows, data):
    train = Interactions.from_rows(rows, 9)
    order = data.draw(st.permutations(range(len(rows))))[: data.draw(st.integers(0, len(rows)))]
    chosen = train.rows_in(np.array(order, dtype=np.int64))
    assert [chosen.row(place).tolist() for place in range(chosen.n_users)] == [rows[user] for user in order]
    assert train.rows_in(np.arange(len(rows))) is train
