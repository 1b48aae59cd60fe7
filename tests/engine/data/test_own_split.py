import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api.dataset import DatasetConfig, Ratings
from robench.api.errors import DataError
from robench.engine.data.prepare import prepare
from robench.engine.data.targets import evaluated_users
from robench.spec import Part

pytestmark = pytest.mark.unit
FILES = Part("files", {}, "files")


def log(rows, times=True):
    """Returns ratings, given rows of (user, item, time, part).

    Without ``times``, the ratings have no times.
    """
    users, items, when, parts = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return Ratings(users, items, when if times else None, parts=parts.astype(np.int8))


def pairs(data):
    """Returns (user id, item id, part) for every interaction, sorted.

    The ids are those of the source. The part is 0 for training, 1 for validation and 2 for test.
    """
    return sorted(
        (int(data.user_ids[user]), int(data.catalogue.ids[item]), number)
        for number, part in enumerate((data.train, data.validation, data.test))
        for user, item in zip(part.users().tolist(), part.items.tolist(), strict=True)
    )


ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 9), st.integers(0, 2)), min_size=1, max_size=60
)


@given(rows=ROWS, keep=st.sampled_from(["first", "last", "all"]), timed=st.booleans())
@settings(deadline=None, max_examples=80)
def test_the_parts_are_those_of_the_source_and_the_earlier_part_counts(rows, keep, timed):
    rows = [*rows, (0, 0, 0, 0), (1, 1, 5, 2)]
    data = prepare(log(rows, timed), DatasetConfig(repeats=keep), FILES)
    earliest = {}
    for user, item, _, part in rows:
        earliest[user, item] = min(part, earliest.get((user, item), part))
    expected = [(*pair, part) for pair, part in earliest.items() if part > 0 or keep != "all"]
    if keep == "all":
        expected += [(user, item, part) for user, item, _, part in rows if part == 0]
    assert pairs(data) == sorted(expected)


def test_overlaps_and_what_training_lacks_are_counted():
    rows = [(0, 0, 1, 0), (0, 1, 2, 0), (0, 1, 3, 1), (0, 0, 4, 2), (0, 2, 5, 2), (7, 9, 1, 2)]
    data = prepare(log(rows), DatasetConfig(), FILES)
    assert pairs(data) == [(0, 0, 0), (0, 1, 0), (0, 2, 2), (7, 9, 2)]
    assert data.summary.repeats == 2
    assert data.user_ids == ("0", "7")
    assert data.catalogue.ids == ("0", "1", "2", "9")
    assert evaluated_users(data, None).tolist() == [0]
    assert data.summary.notes[:3] == (
        "overlap of the parts: 2 user-item pairs (1 of validation and 1 of test) in an earlier part too; "
        "they count for the earlier part only",
        "not evaluated: 1 user with test items and without training items",
        "2 items of the catalogue without a training row",
    )
    assert data.summary.notes[3].startswith("no validation items")


@pytest.mark.parametrize(("keep", "row"), [("first", ["0", "1", "2"]), ("last", ["1", "0", "2"])])
def test_repeats_within_a_part_keep_the_earliest_or_the_latest_event(keep, row):
    data = prepare(
        log([(0, 0, 1, 0), (0, 1, 2, 0), (0, 0, 3, 0), (0, 2, 4, 0), (0, 3, 5, 2)]), DatasetConfig(repeats=keep), FILES
    )
    assert [data.catalogue.ids[item] for item in data.train.row(0)] == row


def test_overlaps_count_pairs_and_not_rows():
    data = prepare(log([(0, 0, 1, 0), (0, 0, 2, 2), (0, 0, 3, 2), (0, 1, 4, 2)]), DatasetConfig(), FILES)
    assert data.summary.notes[0].startswith("overlap of the parts: 1 user-item pair (1 of test) in an earlier part")


def test_test_rows_that_equal_the_training_rows_leave_nobody_to_evaluate():
    rows = [(user, item, item, part) for part in (0, 2) for user in range(3) for item in range(4)]
    data = prepare(log(rows), DatasetConfig(), FILES)
    assert (data.summary.parts, data.summary.evaluated) == ((12, 0, 0), 0)
    assert data.summary.notes[0].startswith("overlap of the parts: 12 user-item pairs (12 of test)")


def test_a_user_without_test_items_is_not_said_to_lack_training():
    data = prepare(log([(0, 0, 1, 0), (0, 1, 2, 2), (1, 2, 3, 1)]), DatasetConfig(), FILES)
    assert not any("not evaluated" in note for note in data.summary.notes)


def test_a_rating_filter_drops_rows_of_every_part_and_a_k_core_is_refused():
    one = log([(0, 0, 1, 0), (0, 1, 2, 0), (0, 2, 3, 2), (1, 0, 1, 0), (1, 1, 2, 2)])
    rated = Ratings(one.users, one.items, one.times, np.array([5.0, 1, 5, 5, 1]), parts=one.parts)
    assert pairs(prepare(rated, DatasetConfig(min_rating=2), FILES)) == [(0, 0, 0), (0, 2, 2), (1, 0, 0)]
    with pytest.raises(DataError, match="min_item_interactions is 2, and files that are split already get no k-core"):
        prepare(one, DatasetConfig(min_item_interactions=2), FILES)


@pytest.mark.parametrize("part", [0, 2])
def test_training_and_test_need_rows(part):
    with pytest.raises(DataError, match="the split files has no"):
        prepare(log([(0, 0, 1, 2 - part), (0, 1, 2, 1)]), DatasetConfig(), FILES)


def test_a_source_that_is_not_split_is_refused_and_other_splits_ignore_the_parts():
    rows = log([(0, item, item, 0) for item in range(5)])
    with pytest.raises(DataError, match="split already"):
        prepare(Ratings(rows.users, rows.items, rows.times), DatasetConfig(), FILES)
    data = prepare(rows, DatasetConfig(), Part("leave-last-out", {"seed": 0, "n": 2}, "s"))
    assert pairs(data) == [(0, 0, 0), (0, 1, 1), (0, 2, 1), (0, 3, 2), (0, 4, 2)]


@pytest.mark.parametrize(("length", "sizes"), [(6, (2, 2, 2)), (5, (1, 2, 2)), (4, (4, 0, 0)), (1, (1, 0, 0))])
def test_leave_last_out_of_two_keeps_short_users_in_training(length, sizes):
    rows = log([(0, item, item, 0) for item in range(length)])
    data = prepare(rows, DatasetConfig(), Part("leave-last-out", {"n": 2}, "s"))
    assert data.summary.parts == sizes
