"""Tests the direct reader of array archives.

The reader accepts the archives that robench writes, and leaves all others to zipfile.
"""

import io
import zipfile

import numpy as np
import pytest
from numpy.typing import NDArray

from robench.api.errors import UserError
from robench.store import npz
from robench.store.npz import arrays_from_bytes, arrays_to_bytes, parse_array

pytestmark = pytest.mark.unit
ARRAYS: dict[str, NDArray[np.generic]] = {
    "ranks": np.arange(7),
    "l2": np.array([0.5, np.inf]),
    "hit": np.array([True, False]),
    "title": np.array(["Ä", "b c"]),
    "empty": np.empty((0, 10), np.int64),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
}


def test_arrays_come_back_without_zipfile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays that a folder stores can be read without zipfile.

    Each array keeps its type, shape and values.
    """
    content = arrays_to_bytes(ARRAYS)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    arrays = arrays_from_bytes(content, "here")
    assert list(arrays) == sorted(ARRAYS)
    for name, array in arrays.items():
        assert (array.dtype, array.shape) == (ARRAYS[name].dtype, ARRAYS[name].shape)
        assert array.flags.aligned
        np.testing.assert_array_equal(array, ARRAYS[name])


def test_other_layouts_are_read_too() -> None:
    """An archive with a comment can be read.

    A compressed archive is refused.
    """
    buffer = io.BytesIO(arrays_to_bytes(ARRAYS))
    with zipfile.ZipFile(buffer, "a") as file:
        file.comment = b"from elsewhere"
    assert list(arrays_from_bytes(buffer.getvalue(), "here")) == sorted(ARRAYS)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **ARRAYS)
    with pytest.raises(UserError, match="compressed"):
        arrays_from_bytes(buffer.getvalue(), "here")


def test_a_type_that_does_not_exist_is_refused() -> None:
    """A header may state a size that no type has, such as floats of three bytes."""
    for known, unknown in ((np.zeros(3, "f4"), "<f3"), (np.zeros(3, "i8"), "<i9"), (np.zeros(3, "U4"), "<U999999999")):
        content = io.BytesIO()
        np.save(content, known)
        text = content.getvalue().replace(known.dtype.str.encode(), unknown.encode())
        with pytest.raises(UserError, match="the array 'x' has no header that can be read"):
            parse_array(text, "x", "here")


@pytest.mark.parametrize("order", ["<", ">"])
def test_text_beyond_unicode_is_refused(order: str) -> None:
    """Numpy reads any number as a character, and Python fails only later."""
    largest = np.array(["a", chr(0x10FFFF)], f"{order}U1")
    assert arrays_from_bytes(arrays_to_bytes({"x": largest}), "here")["x"].tolist() == largest.tolist()
    beyond = np.array([0x61, 0x110000], f"{order}u4").view(f"{order}U1")
    with pytest.raises(UserError, match="the array 'x' has text that is not Unicode"):
        arrays_from_bytes(arrays_to_bytes({"x": beyond}), "here")


def test_no_changed_byte_is_read_directly() -> None:
    """The direct reader leaves damaged archives to zipfile.

    The only exception is damage that changes no array, such as a changed date.
    """
    content = arrays_to_bytes({"ranks": np.arange(3), "hit": np.array([True])})
    plain = npz._plain_members(content)
    assert plain is not None
    for place in range(len(content)):
        damaged = content[:place] + bytes([content[place] ^ 0x41]) + content[place + 1 :]
        assert npz._plain_members(damaged) in (None, plain)
    for length in range(len(content)):
        assert npz._plain_members(content[:length]) is None
