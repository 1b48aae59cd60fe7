"""Tests how ``robench show`` describes fake users."""

import numpy as np

from robench.report.fake_users import describe_fakes


def lines(rows, targets=(3, 8)):
    arrays = {"fake_items": np.concatenate(rows), "fake_lengths": np.array([len(row) for row in rows])}
    return dict(describe_fakes(arrays, targets, lambda item: f"Title {item}"))


def test_numbers_fillers_and_places_of_fake_users():
    assert lines([[3, 8, 5], [5, 3, 7, 8]]) == {
        "fake users": "2, with 3 to 4 items",
        "fillers of fake users": "Title 5 (2); Title 7 (1)",
        "Title 3 in profiles": "places 1 to 2, median 1.5",
        "Title 8 in profiles": "places 2 to 4, median 3",
        "first fake user": "[Title 3]; [Title 8]; Title 5",
    }


def test_many_fillers_are_counted_and_missing_targets_named():
    found = lines([list(range(10, 30))] * 3)
    assert found["fillers of fake users"].startswith("Title 10 (3); Title 11 (3); ")
    assert found["fillers of fake users"].endswith("Title 19 (3); and 10 others")
    assert found["Title 3 in profiles"] == "in no profile"
    assert found["fake users"] == "3, with 20 items"


def test_a_cell_without_fake_users_has_no_lines():
    assert not list(describe_fakes({}, [3], str))
