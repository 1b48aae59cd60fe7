"""Tests that damaged or inconsistent arrays are refused.

Inconsistent arrays contradict each other, the record or users.npz.
"""

import io

import numpy as np
import pytest

from robench.api.errors import UserError
from robench.store.arrays import find_array_problem, find_user_problem, find_users_problem
from robench.store.npz import arrays_from_bytes, arrays_to_bytes

GOOD = {
    "users": np.arange(3),
    "indptr": np.array([0, 1, 2, 4]),
    "ranks": np.array([1, 5, 2, 3]),
    "top": np.tile(np.arange(10), (3, 1)),
    "candidates": np.full(3, 20),
    "hit": np.ones(3, dtype=bool),
    "targets": np.array([4]),
    "target_ranks": np.ones((1, 3), dtype=np.int64, order="F"),
}
KNOWN = {
    "user": np.arange(3),
    "user_id": np.array(["a", "b", "c"]),
    "held_out_indptr": np.array([0, 1, 2, 4]),
    "held_out_items": np.array([1, 2, 3, 4]),
    "title": np.array([f"t{i}" for i in range(20)]),
}


def test_good_arrays_are_read_as_they_were_written():
    again = arrays_from_bytes(arrays_to_bytes(GOOD), "a.npz")
    assert all(np.array_equal(again[name], part) and again[name].dtype == part.dtype for name, part in GOOD.items())
    assert find_array_problem({}, again) == ""
    assert find_user_problem(again, KNOWN) == ""
    assert find_users_problem({f"d/s/{name}": part for name, part in KNOWN.items()}) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ranks": None}, "'ranks' is missing"),
        ({"ranks": GOOD["ranks"] * 0}, "'ranks' has values below 1"),
        ({"ranks": GOOD["ranks"] * 0.5}, "'ranks' has the type float64"),
        ({"ranks": GOOD["ranks"] + 100}, "ranks beyond the candidates"),
        ({"ranks": GOOD["ranks"][:-1]}, "does not cut the ranks"),
        ({"indptr": GOOD["indptr"][::-1]}, "does not cut the ranks"),
        ({"indptr": np.array([0, 2, 1, 4])}, "does not cut the ranks"),
        ({"top": np.zeros((3, 10), np.int64)}, "an item twice"),
        ({"top": GOOD["top"][:2]}, "does not fit the others"),
        ({"hit": np.ones(4, dtype=bool)}, "does not fit the others"),
        ({"users": np.array([0, 1, 1])}, "a user twice"),
        ({"target_ranks": np.ones((2, 3), np.int64)}, "does not fit the others"),
        ({"l2": np.full(3, np.nan)}, "not finite"),
        ({"member_broke": np.ones((3, 2), np.int8)}, "does not fit the others"),
        ({"fake_items": np.arange(4), "fake_lengths": np.array([2, 1])}, "does not cut the items of fake users"),
        ({"fake_items": np.arange(4)}, "does not cut the items of fake users"),
        ({"fake_items": np.array([-1]), "fake_lengths": np.array([1])}, "'fake_items' has values below 0"),
    ],
)
def test_arrays_that_do_not_fit_are_named(change, said):
    arrays = {name: part for name, part in {**GOOD, **change}.items() if part is not None}
    assert said in find_array_problem({"members": [{}]}, arrays)


def test_arrays_of_other_users_are_named():
    assert "not those of users.npz" in find_user_problem({**GOOD, "users": np.array([2, 1, 0])}, KNOWN)
    assert "'fake_items' has items" in find_user_problem({**GOOD, "fake_items": np.array([20])}, KNOWN)
    assert "'top' has items" in find_user_problem({**GOOD, "top": GOOD["top"] + 15}, KNOWN)


def saved(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def bomb():
    buffer = io.BytesIO()
    np.savez_compressed(buffer, ranks=np.zeros(1 << 20))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a whole npz"),
        (saved(ranks=np.ones(9))[:-30], "not a whole npz"),
        (bomb(), "compressed or too large"),
        (saved(ranks=np.array([{}], dtype=object)), "no header that can be read"),
        (saved(ranks=np.ones(9)).replace(b"(9,)", b"(8,)"), "not a whole npz|not as large"),
    ],
)
def test_a_file_that_is_no_plain_npz_is_one_line(content, said):
    with pytest.raises(UserError, match=said) as caught:
        arrays_from_bytes(content, "a.npz")
    assert str(caught.value).startswith("a.npz: ")
