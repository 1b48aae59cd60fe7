from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from robench.api.errors import DataError
from robench.testing import DatasetTests
from robench_plugins.datasets.frame import Frame

LOG = pd.DataFrame(
    {
        "user": ["007", "a", "a"],
        "item": [3, 1, 3],
        "rating": [1, 2.5, 3],
        "time": pd.to_datetime(["2020-01-02 00:00:00.5", "2020-01-01", "2020-01-03"], format="ISO8601"),
        "more": ["left", "alone", None],
    }
)
ITEMS = pd.DataFrame({"item": [1, 3], "title": ["One", None], "year": [1994, np.nan], "genres": [["A", "B"], []]})


def frame(given):
    return Frame.holding({"mine": given}).make(data="mine")


class TestFrame(DatasetTests):
    dataset: ClassVar[type[Frame]] = Frame.holding({"mine": (LOG, ITEMS)})
    settings: ClassVar[dict[str, str]] = {"data": "mine"}


def test_a_frame_is_read_as_it_is():
    ratings = frame((LOG, ITEMS)).load()
    assert ratings.users.tolist() == ["007", "a", "a"]
    assert ratings.items.tolist() == ["3", "1", "3"]
    assert ratings.ratings.tolist() == [1, 2.5, 3]
    assert ratings.times.argsort().tolist() == [1, 0, 2]
    assert (ratings.catalogue["1"].title, ratings.catalogue["1"].year) == ("One", 1994)
    assert ratings.catalogue["1"].genres == ("A", "B")
    assert (ratings.catalogue["3"].title, ratings.catalogue["3"].year) == ("", None)
    assert frame(LOG[["user", "item"]]).load().times is None
    assert frame((LOG, ITEMS.rename(columns={"item": "item_id"}))).load().catalogue == ratings.catalogue


def test_the_fingerprint_is_that_of_the_columns_that_are_read():
    first = frame((LOG, ITEMS)).fingerprint()
    assert first == frame((LOG.drop(columns="more").set_index(pd.Index([7, 8, 9])), ITEMS.copy())).fingerprint()
    assert first != frame(LOG).fingerprint()
    assert first != frame((LOG, ITEMS.assign(title="Two"))).fingerprint()
    assert first != frame((LOG.assign(rating=3.0), ITEMS)).fingerprint()
    assert first != frame((LOG.iloc[::-1], ITEMS)).fingerprint()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (LOG.drop(columns="item"), r"mine: no column 'item' \(its columns: user, rating, time, more\)"),
        (LOG.assign(user=["a", None, "b"]), r"mine\.iloc\[1\]: an empty user"),
        (LOG.assign(item=[1.5, 2.0, 3.0]), "mine: .*not ids"),
        (LOG.assign(rating=[1.0, np.nan, 2.0]), r"mine\.iloc\[1\]: "),
        (LOG.assign(time=["2020-01-01", "2020-01-02", "never"]), r"mine\.iloc\[2\]: time 'never'"),
        (LOG.assign(time=[1, "x", object()]), "mine: column 'time'"),
        (LOG.iloc[:0], "mine: the frame has no rows"),
        ((LOG, ITEMS.assign(item=1)), r"mine\[1\]\.iloc\[1\]: item '1' is described twice"),
        ((LOG, 3), "is not a pandas frame"),
        ([LOG], "is not a pandas frame"),
    ],
)
def test_a_wrong_frame_is_one_line(given, problem):
    with pytest.raises(DataError, match=problem) as caught:
        frame(given).load()
    assert "\n" not in str(caught.value)


def test_without_python_the_line_says_where_the_data_come_from():
    with pytest.raises(DataError, match=r"'mine' comes from Python.*datasets=\{'mine': frame\}"):
        Frame.make(data="mine").fingerprint()


@pytest.mark.parametrize("missing", [None, np.nan])
@pytest.mark.parametrize("column", ["user", "item"])
def test_a_missing_id_is_one_line(column, missing):
    log = LOG.astype(object)
    log.loc[1, column] = missing
    with pytest.raises(DataError, match=rf"mine\.iloc\[1\]: an empty {column}"):
        frame(log).load()
