"""Tests which events the splits global-time and random-ratio hold out."""

import numpy as np
import pytest

from robench.api.errors import DataError
from robench.api.rng import Rng
from robench.engine.data.splits import TEST, TRAIN, VALIDATION, global_time, random_ratio

pytestmark = pytest.mark.unit


def sizes(parts):
    return [int((parts == part).sum()) for part in (TRAIN, VALIDATION, TEST)]


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (range(9), [5, 2, 2]),
        ([0, 1, 2, 3, 4, 5, 6, 6, 6], [5, 4, 0]),  # the latest time is the border, and its events are not for the test
        ([0, 0, 0, 0, 0, 0, 0, 7, 8], [7, 0, 2]),
        ([5] * 9, [9, 0, 0]),
    ],
)
def test_global_time_holds_out_what_is_later_than_the_border(times, expected):
    assert sizes(global_time(np.array(times), 0.25, 0.25)) == expected


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.25, 0.75), (0.9, 0.9)])
def test_global_time_needs_something_to_train_on(shares):
    with pytest.raises(DataError, match="leave nothing to train on"):
        global_time(np.arange(10), *shares)


@pytest.mark.parametrize("length", [1, 2, 3, 7])
@pytest.mark.parametrize("ratios", [(1, 1, 98), (1, 98, 1), (1, 50, 50)])
def test_random_ratio_leaves_every_user_a_training_event(length, ratios):
    parts = random_ratio(np.repeat(np.arange(3), length), ratios, Rng(0)).reshape(3, length)
    assert ((parts == TRAIN).sum(1) >= 1).all()
    assert ((parts == TEST).sum(1) == min(length - 1, int(length * ratios[2] / sum(ratios) + 0.5))).all()
