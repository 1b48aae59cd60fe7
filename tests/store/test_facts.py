"""Tests how the facts about items and users in users.npz are checked."""

import numpy as np
import pytest

from robench.store.arrays import find_users_problem
from robench.store.facts import read_facts

KNOWN = {
    "user": np.arange(2),
    "user_id": np.array(["a", "b"]),
    "held_out_indptr": np.array([0, 1, 2]),
    "held_out_items": np.array([0, 2]),
    "title": np.array(["x", "y", "z"]),
    "train_count": np.array([1, 2, 0]),
    "trained_users": np.array([2]),
    "genre": np.zeros((3, 4), np.bool_),
    "history_length": np.array([1, 2]),
}


def problem(**changes):
    whole = {name: array for name, array in (KNOWN | changes).items() if array is not None}
    return find_users_problem({f"data/split/{name}": array for name, array in whole.items()})


def test_sound_facts_have_no_problem():
    assert problem() == ""


def test_folders_of_earlier_versions_have_no_facts():
    nothing = dict.fromkeys(("train_count", "trained_users", "genre", "history_length"))
    assert problem(**nothing) == ""
    assert read_facts({name: KNOWN[name] for name in ("user", "title")}) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"genre": None}, "lack genre"),
        ({"train_count": np.array([1, 2])}, "do not fit"),
        ({"train_count": np.array([1.0, 2.0, 0.0])}, "do not fit"),
        ({"train_count": np.array([1, -2, 0])}, "negative"),
        ({"trained_users": np.array([2, 2])}, "do not fit"),
        ({"genre": np.zeros(3, np.bool_)}, "do not fit"),
        ({"history_length": np.array([1])}, "do not fit"),
        ({"history_length": np.array([1, -1])}, "negative"),
    ],
)
def test_damaged_facts_are_described(changes, words):
    assert words in problem(**changes)
