"""Tests from which part of the catalogue each kind of target is drawn."""

import numpy as np
import pytest

from robench.api import Interactions
from robench.api.errors import DataError
from robench.engine.data.targets import choose_targets
from robench.spec import TargetChoice

TRAIN = Interactions.from_rows([list(range(first, 20)) for first in range(20)], 20)  # item i has i + 1 users


@pytest.mark.parametrize(
    ("pick", "pool"),
    [("unpopular", range(4)), ("popular", range(16, 20)), ("lower-torso", range(10, 15)), ("all", range(20))],
)
def test_targets_are_drawn_from_their_part_of_the_catalogue(pick, pool):
    (drawn,) = choose_targets(TRAIN, TargetChoice(len(pool), pick, 1))
    assert drawn.tolist() == list(pool)


@pytest.mark.parametrize("pick", ["all", "unpopular", "lower-torso"])
def test_no_item_is_in_two_sets(pick):
    sets = choose_targets(TRAIN, TargetChoice(2, pick, 2))
    assert [len(part) for part in sets] == [2, 2]
    assert len(np.unique(np.concatenate(sets))) == 4


def test_all_draws_the_targets_of_its_earlier_name():
    now, earlier = (choose_targets(TRAIN, TargetChoice(3, pick, 2)) for pick in ("all", "random"))
    np.testing.assert_array_equal(now, earlier)


def test_listed_targets_are_found_by_their_ids():
    ids = [f"i{item}" for item in range(20)]
    (found,) = choose_targets(TRAIN, TargetChoice(2, "listed", 1, ("i7", "i3")), ids)
    assert found.tolist() == [3, 7]
    with pytest.raises(DataError, match="no item 'i20'"):
        choose_targets(TRAIN, TargetChoice(1, "listed", 1, ("i20",)), ids)
