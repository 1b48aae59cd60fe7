"""Tests which files are artefacts, and how other files are refused."""

import numpy as np
import pytest

from robench.api.errors import UserError
from robench.store.artefact import parse_artefact
from robench.store.npz import arrays_to_bytes

HEAD = {"cell": "c" * 16, "victim": "d" * 16, "author": "Ann"}
EMBEDDING = {**HEAD, "users": [3, 1], "delta/x": np.full((2, 4), 0.5, "f4")}
HISTORY = {**HEAD, "users": [3, 1], "histories": [[1, 2, -1], [4, 5, 6]]}
TEXT = {**HEAD, "items": [7, 2], "titles": ["one", "two"]}


def parse(arrays):
    return parse_artefact(arrays_to_bytes({name: np.asarray(part) for name, part in arrays.items()}), "a.npz")


def test_an_artefact_of_each_surface_is_read():
    one, two, three = map(parse, (EMBEDDING, HISTORY, TEXT))
    assert (one.surface, two.surface, three.surface) == ("embedding", "history", "text")
    assert one.users.tolist() == [3, 1]
    np.testing.assert_array_equal(one.deltas["x"], EMBEDDING["delta/x"])
    assert two.histories.tolist() == HISTORY["histories"]
    assert three.titles == {7: "one", 2: "two"}


@pytest.mark.parametrize("dtype", [">f4", ">f8", "<f2"])
def test_a_shift_in_another_byte_order_is_the_same_shift(dtype):
    artefact = parse({**EMBEDDING, "delta/x": EMBEDDING["delta/x"].astype(dtype)})
    assert artefact.deltas["x"].dtype.isnative, "torch reads no other order"
    np.testing.assert_array_equal(artefact.deltas["x"], EMBEDDING["delta/x"])


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({**EMBEDDING, "cell": "../../etc"}, "'cell' is not an id"),
        ({**EMBEDDING, "author": ""}, "'author' is empty"),
        ({**EMBEDDING, "author": "a\ud800"}, "'author' holds half a character"),
        ({**EMBEDDING, "author": ["a", "b"]}, "'author' is missing, or not one string"),
        ({**EMBEDDING, "users": [1, 1]}, "'users' has a number twice"),
        ({**EMBEDDING, "users": [-1, 1]}, "'users' has a number twice, or a negative one"),
        ({**EMBEDDING, "users": [1.0, 2.0]}, "'users' is missing, or not a list"),
        ({**EMBEDDING, "users": np.array([1, 2**63], "u8")}, "'users' has a number twice, or a negative one"),
        ({**EMBEDDING, "delta/x": np.full((1, 4), 0.5)}, "'delta/x' does not have one row of numbers per user"),
        ({**EMBEDDING, "delta/x": np.full(2, 0.5)}, "'delta/x' does not have one row of numbers per user"),
        ({**EMBEDDING, "delta/x": np.ones((2, 4), int)}, "'delta/x' does not have one row of numbers per user"),
        ({**EMBEDDING, "delta/x": np.ones((2, 4), np.longdouble)}, "'delta/x' does not have one row of numbers"),
        ({**EMBEDDING, "delta/x": [[0.5, np.nan], [0.5, 0.5]]}, "the δ of user 3 has a number that is not finite"),
        ({**EMBEDDING, "delta/x": [[0.5, 0.5], [0.5, -np.inf]]}, "the δ of user 1 has a number that is not finite"),
        ({**EMBEDDING, "titles": ["a", "b"]}, "the perturbations of one surface"),
        ({**EMBEDDING, "more": [1]}, "unknown array 'more'"),
        (HEAD, "the perturbations of one surface"),
        ({**HISTORY, "histories": [[1.0], [np.nan]]}, "'histories' does not have one row of whole numbers per user"),
        ({**HISTORY, "histories": [1, 2]}, "'histories' does not have one row of whole numbers per user"),
        ({**HISTORY, "histories": [[1]]}, "'histories' does not have one row of whole numbers per user"),
        ({**TEXT, "titles": ["one"]}, "'titles' does not have one string per item"),
        ({**TEXT, "titles": [1, 2]}, "'titles' does not have one string per item"),
    ],
)
def test_every_other_file_is_refused(arrays, problem):
    with pytest.raises(UserError, match=problem) as error:
        parse(arrays)
    assert str(error.value).startswith("a.npz: ")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("content", [b"", b"PK", b"\0" * 100, b"<html>"])
def test_a_file_that_is_no_npz_is_refused(content):
    with pytest.raises(UserError, match=r"a\.npz: not a whole npz"):
        parse_artefact(content, "a.npz")
