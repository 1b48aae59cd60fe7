"""Tests which columns of a data set are refused."""

import numpy as np
import pytest

from robench.api.dataset import DatasetConfig, Ids, Ratings
from robench.api.errors import DataError
from robench.engine.data.columns import check_columns
from robench.engine.data.prepare import prepare
from robench.spec import Part

pytestmark = pytest.mark.unit
FOUR = np.arange(4)


def log(users=FOUR, items=FOUR, **more):
    return Ratings(users, items, **more)


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (log(items=FOUR[:3]), "4 users but 3 items"),
        (log(times=FOUR[:3]), "4 users but 3 times"),
        (log(ratings=FOUR[:3] / 1), "4 users but 3 ratings"),
        (log(parts=FOUR[:3]), "4 users but 3 parts"),
        (log(Ids(FOUR, ["a", "b", "a", "c"])), "the names of users must be distinct"),
        (log(FOUR, Ids(FOUR - 1, ["a", "b", "c", "d"])), "the codes of items must be from 0 to 3"),
        (log(Ids(FOUR, ["a", "b", "c"])), "the codes of users must be from 0 to 2"),
        (log(Ids(FOUR / 1, ["a", "b", "c", "d"])), "the codes of users must be an array of whole numbers"),
        (log(Ids([0, 1, 2, 3], ["a", "b", "c", "d"])), "the codes of users must be an array of whole numbers"),
        (log(np.array([1, None, 2, 3], dtype=object)), "row 2 of users has no id"),
        (log(FOUR, np.array(["a", "b", float("nan"), "c"], dtype=object)), "row 3 of items has no id"),
        (log(np.array([1.0, 2.0, np.nan, 3.0])), "row 3 of users has no id"),
        (log([0, 1, 2, 3]), "users must be an array of one dimension"),
        (log(FOUR.reshape(2, 2), FOUR[:2]), "users must be an array of one dimension"),
        (log(times=FOUR / 10), "times must be whole numbers of ticks, not float64"),
        (log(times=np.zeros(4, dtype="M8[s]")), "times must be whole numbers of ticks"),
        (log(times=np.array([0, 1, 2**63, 2], dtype=np.uint64)), "the time of row 3 does not fit into int64"),
        (log(times=np.zeros((4, 2), dtype=np.int64)), "times must be an array of one dimension"),
        (log(ratings=np.array(["5", "4", "3", "2"])), "ratings must be numbers"),
        (log(ratings=np.array([1, np.inf, 2, 3])), "the rating of row 2 is not a number"),
        (log(parts=np.array([0, 1, 2, 3])), "parts must be 0 for training, 1 for validation or 2 for test"),
        (log(parts=np.array([0, -1, 2, 0])), "parts must be 0 for training"),
        (log(parts=np.array([0, 0.5, 2, 0])), "parts must be 0 for training"),
    ],
)
def test_columns_that_would_lose_or_mix_up_events_are_one_line(wrong, problem):
    with pytest.raises(DataError, match=problem) as caught:
        prepare(wrong, DatasetConfig(), Part("leave-last-out", {}, "s"))
    assert "\n" not in str(caught.value)


def test_what_the_documentation_allows_is_accepted():
    check_columns(log(np.array([1, "1", (2,), 1.5], dtype=object), parts=np.array([0, 0, 1, 2], dtype=np.int8)))
    check_columns(log(Ids(np.zeros(4, dtype=np.uint8), ["a"]), times=np.array([-(2**63), -1, 0, 2**63 - 1])))
    check_columns(log(times=FOUR.astype(np.uint32), ratings=np.array([1, 2, 3, 4])))


def test_ids_that_are_equal_as_strings_are_one_user():
    mixed = log(np.array([1, "1", 1, "1"], dtype=object))
    assert prepare(mixed, DatasetConfig(), Part("leave-last-out", {}, "s")).user_ids == ("1",)
