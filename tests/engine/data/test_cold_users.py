"""Tests the split of cold users, and which of their items a fit and a test see."""

from collections import Counter

import numpy as np
import pytest

from robench.api.data import joined
from robench.api.dataset import DatasetConfig, Ratings
from robench.api.errors import DataError
from robench.engine.data.prepare import prepare
from robench.engine.data.prepared import Prepared
from robench.engine.data.targets import evaluated_users
from robench.spec import Part

CONFIG = {"validation": 0.2, "test": 0.3, "known": 0.8, "held_out": "random", "seed": 0}


def log(lengths):
    """Returns a log in which user u has ``lengths[u]`` items."""
    rows = [(user, item, item) for user, length in enumerate(lengths) for item in range(length)]
    return Ratings(*(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)))


def split(lengths, **more):
    return prepare(log(lengths), DatasetConfig(), Part("cold-users", {**CONFIG, **more}, "s"))


def rows(data, user):
    return [part.row(user).tolist() for part in (data.train, data.known, data.validation, data.test)]


@pytest.mark.parametrize("held_out", ["random", "last"])
def test_whole_users_are_held_out_with_a_fifth_of_their_items(held_out):
    lengths = [5 + user % 12 for user in range(50)] + [4] * 10
    data = split(lengths, held_out=held_out)
    kinds = Counter()
    for user, length in enumerate(lengths):
        train, known, validation, test = rows(data, user)
        assert sorted(train + known + validation + test) == list(range(length))
        kind = "warm" if train else "validated" if validation else "tested"
        kinds[kind, length < 5] += 1
        held = validation + test
        assert (kind == "warm") == (not known) == (not held)
        if held:
            assert len(held) == max(1, int(0.2 * length + 0.5))
            assert known == sorted(known)
            assert held_out == "random" or held == list(range(length - len(held), length))
    assert kinds == {("tested", False): 15, ("validated", False): 10, ("warm", False): 25, ("warm", True): 10}
    assert data.summary.known == len(data.known)
    assert data.summary.evaluated == len(evaluated_users(data, None)) == 15


def test_a_fit_sees_no_item_of_a_tested_user_and_the_test_sees_the_known_ones():
    data = split([10] * 40)
    fit, history = data.train_data(), data.history()
    for user in evaluated_users(data, None).tolist():
        assert [len(part.row(user)) for part in (fit.train, fit.validation, fit.known)] == [0, 0, 0]
        assert history.row(user).tolist() == data.known.row(user).tolist()
        assert not set(history.row(user).tolist()) & set(data.test.row(user).tolist())
        assert len(history.row(user)) == 8
    validated = np.flatnonzero(fit.validation.lengths())
    assert len(validated) == 8
    assert [fit.known.row(user).tolist() for user in validated] == [data.known.row(user).tolist() for user in validated]


def test_a_split_that_leaks_known_items_into_training_is_refused():
    data = split([10] * 40)
    with pytest.raises(ValueError, match="a cold user has training items"):
        Prepared(
            joined(data.train, data.known),
            data.validation,
            data.test,
            data.catalogue,
            data.user_ids,
            known=data.known,
        )


def test_with_all_repeats_a_known_item_is_not_held_out():
    rows = [(user, item, time) for user in range(40) for time, item in enumerate([0, 1, 2, 0, 1, 3, 4, 0, 5, 0])]
    repeated = Ratings(*(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)))
    data = prepare(repeated, DatasetConfig(repeats="all"), Part("cold-users", CONFIG, "s"))
    assert max(map(len, (data.known.row(user) for user in range(40)))) == 8
    for user in range(40):
        assert not set(data.known.row(user).tolist()) & set(data.test.row(user).tolist())


def test_repeated_events_make_nobody_a_user_with_enough_items():
    rows = [(user, place % (4 if user < 30 else 5), place) for user in range(60) for place in range(9)]
    repeated = Ratings(*(np.array(column, dtype=np.int64) for column in zip(*rows, strict=True)))
    data = prepare(repeated, DatasetConfig(repeats="all"), Part("cold-users", CONFIG, "s"))
    cold = np.flatnonzero(data.known.lengths())
    assert len(cold) == 15
    assert cold.min() >= 30
    assert all(len(data.train.row(user)) == 9 for user in range(30))


def test_the_draw_has_its_seed_and_the_known_items_belong_to_the_digest(tmp_path):
    one, two, other = split([9] * 40), split([9] * 40), split([9] * 40, seed=1)
    assert one.sha256() == two.sha256() != other.sha256()
    one.save(tmp_path / "data.npz")
    loaded = Prepared.load(tmp_path / "data.npz")
    assert loaded.sha256() == one.sha256()
    assert loaded.known.items.tolist() == one.known.items.tolist()
    assert loaded.summary == one.summary


def test_too_few_users_are_one_line():
    with pytest.raises(DataError, match="2 users have at least 5 items: too few"):
        split([4, 4, 6, 6], test=0.1)
