"""Tests that the host refuses attacks on the training that break a rule.

Such an attack exceeds the budget, or returns invalid fake users or interactions.
"""

import numpy as np
import pytest

from robench.api import Corruption, Interactions, PluginError, PoisoningAttack, Profiles, Rng
from robench.api.threat import round_up
from robench.engine.fit.poisoning import poison
from robench.engine.fit.poisoning_budget import count_changes
from robench.testing import CorruptionTests
from robench.testing.worlds import crowd


@pytest.mark.parametrize(
    ("share", "count", "wanted"), [(0.07, 100, 7), (0.01, 671, 7), (0, 671, 0), (0.1, 30, 3), (1e-9, 5, 1)]
)
def test_the_budget_of_fake_users_is_rounded_up_and_no_further(share, count, wanted):
    assert round_up(share, count) == (wanted if share > 1e-8 else round_up(share, count))
    assert round_up(share, count) <= wanted


class Cheat(PoisoningAttack):
    """A poisoning attack that breaks one rule of its contract."""

    rule = ""

    def profiles(self, train, *, targets, n_users, profile_size, rng):
        row = list(dict.fromkeys([*targets.tolist(), *range(20)]))[:profile_size]
        rows = {
            "budget": [row] * (n_users + 1),
            "profile size": [[*row, 39]] * n_users,
            "twice": [[*row[:-1], row[0]]] * n_users,
            "outside": [[*row[:-1], 4000]] * n_users,
            "target": [[i for i in range(20) if i not in targets][:profile_size]] * n_users,
        }
        return Profiles.of(rows[self.rule])


@pytest.mark.parametrize("rule", ["budget", "profile size", "twice", "outside", "target"])
def test_a_poisoning_that_breaks_its_contract_is_refused(rule):
    data, _ = crowd()
    attack = Cheat.make()
    attack.rule = rule
    with pytest.raises(PluginError, match=rule):
        poison(attack, data.train, targets=np.array([3, 8]), epsilon=0.1, rng=Rng(0))


class HoldsTargets(PoisoningAttack):
    """An attack that should demote targets, but puts one into every profile."""

    goal = "demote"

    def profiles(self, train, *, targets, n_users, profile_size, rng):
        return Profiles.of([targets[:1].tolist()] * n_users)


def test_a_demotion_with_a_target_in_a_profile_is_refused():
    data, _ = crowd()
    with pytest.raises(PluginError, match="demotes"):
        poison(HoldsTargets.make(), data.train, targets=np.array([3, 8]), epsilon=0.1, rng=Rng(0))


@pytest.mark.parametrize("row", [np.array([3.0, 8.0]), np.array([[3], [8]]), [3, 8]])
def test_profiles_of_another_type_are_refused(row):
    data, _ = crowd()

    class Odd(PoisoningAttack):
        def profiles(self, train, *, targets, n_users, profile_size, rng):
            return Profiles((row,) * n_users)

    with pytest.raises(PluginError, match="not an int64 array"):
        poison(Odd.make(), data.train, targets=np.array([3, 8]), epsilon=0.1, rng=Rng(0))


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        ([np.array([3, 8])], "the attack returned list, not Profiles"),
        (None, "the attack returned NoneType, not Profiles"),
        (Profiles(iter([np.array([3, 8])])), "the rows of Profiles are .*iterator, not a tuple of arrays"),
    ],
)
def test_another_result_than_profiles_is_refused_in_one_line(made, problem):
    data, _ = crowd()

    class Odd(PoisoningAttack):
        def profiles(self, train, *, targets, n_users, profile_size, rng):
            return made

    with pytest.raises(PluginError, match=problem):
        poison(Odd.make(), data.train, targets=np.array([3, 8]), epsilon=0.1, rng=Rng(0))


class Dropping(Corruption):
    """A corruption that removes a share of the interactions.

    The interactions at the ends of the users' rows are removed first. ``extra`` is the number of interactions that are
    removed beyond the budget.
    """

    extra = 0

    def corrupt(self, train, *, share, rng):
        count = round_up(share, len(train)) + self.extra
        rows = [train.row(u).tolist() for u in range(train.n_users)]
        while count:
            for row in rows:
                if row and count:
                    row.pop()
                    count -= 1
        return Interactions.from_rows(rows, train.n_items)


class TestDropping(CorruptionTests):
    attack = Dropping


def test_a_corruption_beyond_its_budget_is_refused():
    data, _ = crowd()
    attack = Dropping.make()
    attack.extra = 1
    with pytest.raises(PluginError, match="its budget is"):
        poison(attack, data.train, targets=np.empty(0, np.int64), epsilon=0.05, rng=Rng(0))


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ([1, 2, 3], [1, 2, 3], 0),
        ([1, 2, 3], [1, 3], 1),
        ([1, 2, 3], [1, 9, 3], 1),
        ([1, 2, 3], [9, 1, 2, 3], 1),
        ([1, 2, 3], [3, 1, 2], 1),
        ([1, 2, 3, 4], [4, 3, 2, 1], 3),
        ([1, 2, 3], [1, 2, 3, 3], 1),
        ([1, 2, 1, 3], [2, 1, 3], 1),
        ([1, 2, 1, 3], [1, 2, 1, 3, 1], 1),
        ([1, 2], [], 2),
        ([], [1], 1),
    ],
)
def test_exchanged_removed_added_and_moved_items_count_once(before, after, count):
    assert count_changes(Interactions.from_rows([before], 10), Interactions.from_rows([after], 10)) == count


class Reversing(Corruption):
    """A corruption that claims to change nothing, but reverses every row."""

    def corrupt(self, train, *, share, rng):
        return Interactions.from_rows([train.row(u)[::-1] for u in range(train.n_users)], train.n_items)


def test_a_changed_order_is_charged():
    data, _ = crowd()
    with pytest.raises(PluginError, match="its budget is"):
        poison(Reversing.make(), data.train, targets=np.empty(0, np.int64), epsilon=0.05, rng=Rng(0))


class Rewinding(Corruption):
    """A corruption that negates the times of the first users."""

    users = 1

    def corrupt(self, train, *, share, rng):
        sign = np.where(train.users() < self.users, -1, 1)
        return Interactions(train.indptr, train.items, sign * train.times, train.n_items)


@pytest.mark.parametrize("users", [1, 60])
def test_times_that_contradict_the_order_are_refused(users):
    data, _ = crowd()
    attack = Rewinding.make()
    attack.users = users
    with pytest.raises(PluginError, match="order of their times"):
        poison(attack, data.train, targets=np.empty(0, np.int64), epsilon=0.05, rng=Rng(0))


def test_a_corruption_that_writes_into_the_real_rows_is_refused():
    data, _ = crowd()

    class Scribbling(Corruption):
        def corrupt(self, train, *, share, rng):
            items = train.items if train.items.base is None else train.items.base
            items.flags.writeable = True
            items[:] = items[::-1].copy()
            return train

    with pytest.raises(PluginError, match="not write them into the data"):
        poison(Scribbling.make(), data.train, targets=np.empty(0, np.int64), epsilon=0.05, rng=Rng(0))


@pytest.mark.parametrize("result", [None, [[1, 2]]])
def test_another_result_than_interactions_is_refused_in_one_line(result):
    data, _ = crowd()

    class Odd(Corruption):
        def corrupt(self, train, *, share, rng):
            return result

    with pytest.raises(PluginError, match=rf"corrupt\(\) returned {type(result).__name__}, not Interactions"):
        poison(Odd.make(), data.train, targets=np.empty(0, np.int64), epsilon=0.05, rng=Rng(0))
