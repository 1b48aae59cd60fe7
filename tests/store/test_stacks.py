"""Tests that stacks preserve every bit of a cell's arrays.

The bytes of a stack depend only on the content.
"""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from robench.api.errors import UserError
from robench.store.stacks import StackKey, Stacks, narrow_type, write_arrays

TYPES = st.sampled_from(("int64", "int8", "bool", "float32", "float64", "<U3"))
ARRAYS = st.dictionaries(
    st.sampled_from(("ranks", "top", "hit", "loss")),
    TYPES.flatmap(lambda dtype: arrays(dtype, array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3))),
)


def packed(path, cells, others=None):
    names = [str(number) for number in range(len(cells))]
    with path.open("wb") as file:
        write_arrays(file, names, lambda name: cells[int(name)], others or {})
    return path


def same(one, two):
    return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()


@settings(max_examples=30)
@given(cells=st.lists(ARRAYS, max_size=4))
def test_every_bit_comes_back(cells, tmp_path_factory):
    path = packed(tmp_path_factory.mktemp("stacks") / "arrays.npz", cells)
    stacks = Stacks(path, 9)
    for line, cell in enumerate(cells):
        read = stacks.read(line)
        assert read.keys() == cell.keys()
        assert all(same(read[name], cell[name]) for name in cell)


def test_numpy_alone_reads_a_stack(tmp_path):
    cells = [{"ranks": np.array([3, 1])}, {}, {"ranks": np.array([300, 2])}]
    with np.load(packed(tmp_path / "arrays.npz", cells)) as file:
        assert file["cells/ranks/i8/2"].tolist() == [[3, 1], [300, 2]]
        assert file["cells/ranks/i8/2"].dtype == np.uint16
        assert file["cells/ranks/i8/2/lines"].tolist() == [0, 2]


def test_the_same_arrays_give_the_same_bytes_in_any_order_of_names(tmp_path):
    one = {"a": np.arange(3), "b": np.ones(2)}
    first = packed(tmp_path / "one.npz", [one]).read_bytes()
    second = packed(tmp_path / "two.npz", [dict(reversed(one.items()))]).read_bytes()
    assert first == second


def test_other_arrays_come_back_under_their_paths(tmp_path):
    path = packed(tmp_path / "arrays.npz", [], {"users/d/s/user_id": np.array(["a", "bcd"])})
    assert Stacks(path, 9).others == ["users/d/s/user_id"]
    assert Stacks(path, 9).other("users/d/s/user_id").tolist() == ["a", "bcd"]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 255, "uint8"), (-1, 100, "int8"), (0, 256, "uint16"), (-1, 1 << 20, "int32"), (0, (1 << 64) - 1, "uint64")],
)
def test_the_smallest_integer_type_holds_both_ends(low, high, expected):
    assert narrow_type(np.dtype(np.int64), low, high) == np.dtype(expected)


@pytest.mark.parametrize("path", ["cells/a/i8/x", "cells/a/i8/2x", "users/a/i8/2", "cells/a/O8/2", "cells/a//2", "a"])
def test_a_strange_path_is_no_stack(path):
    with pytest.raises((ValueError, TypeError)):
        StackKey.parse(path)


def test_a_stack_of_another_shape_is_refused(tmp_path):
    path = tmp_path / "arrays.npz"
    np.savez(path, **{"cells/ranks/i8/2": np.zeros((2, 3)), "cells/ranks/i8/2/lines": np.array([0, 1])})
    with pytest.raises(UserError, match="shape"):
        Stacks(path, 9).read(0)


def test_objects_are_never_unpickled(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=True, **{"users/d": np.array([{}], dtype=object)})
    (tmp_path / "arrays.npz").write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match="no header"):
        Stacks(tmp_path / "arrays.npz", 9).other("users/d")


def test_a_member_that_inflates_to_more_than_its_cells_can_hold_is_refused(tmp_path):
    path = packed(tmp_path / "arrays.npz", [{"ranks": np.zeros(1 << 20, np.int64)}] * 9)
    assert path.stat().st_size < 10_000
    with pytest.raises(UserError, match="not the lines of 0 records"):
        Stacks(path, 0).read(0)
    big = packed(tmp_path / "users.npz", [], {"users/d": np.zeros(1 << 24, np.int64)})
    with pytest.raises(UserError, match="too large"):
        Stacks(big, 0).other("users/d")


@pytest.mark.parametrize("keep", [0, 10, 100, -1])
def test_a_cut_file_is_one_mistake(tmp_path, keep):
    path = packed(tmp_path / "arrays.npz", [{"ranks": np.arange(9)}])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="not a whole npz"):
        Stacks(path, 1)
