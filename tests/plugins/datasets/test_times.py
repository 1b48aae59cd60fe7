"""Tests that times of every type keep their order and their zone."""

import numpy as np
import pandas as pd
import pytest

from robench.api.errors import DataError
from robench_plugins.datasets.frame import Frame

MANY = 8


def load(times):
    log = pd.DataFrame({"user": ["a"] * len(times), "item": [*map(str, range(len(times)))], "time": times})
    return Frame.holding({"mine": log}).make(data="mine").load()


@pytest.mark.parametrize("start", [0.0, 1.5e9])
def test_float_times_finer_than_a_microsecond_keep_their_order(start):
    times = start + np.arange(MANY) * 2.0**-22
    assert len({*times.tolist()}) == MANY
    assert load(times[::-1]).times.argsort().tolist() == [*range(MANY)][::-1]


@pytest.mark.parametrize("times", [[1.5, -0.5, 2.0], [1.0, -2.0, 3.0]])
def test_a_negative_float_time_is_one_line(times):
    with pytest.raises(DataError, match=r"mine\.iloc\[1\]: time -.* is negative"):
        load(times)


def test_a_zone_east_of_greenwich_is_earlier():
    clock = "2019-12-31T12:00:00"
    ratings = load([f"{clock}+05:30", clock, f"{clock}Z", f"{clock}-08:00"])
    assert (ratings.times - ratings.times[1]).tolist() == [-5.5 * 3600, 0, 0, 8 * 3600]
    assert ratings.ticks == 1
