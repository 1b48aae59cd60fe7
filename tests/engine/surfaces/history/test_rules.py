"""Tests the rules for edits, and models that declare their scores to be additive.

The rules limit the places of edits and the items that may be added.
"""

from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robench.api import HistoryAttack, Interactions, Rng
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.surfaces.history.additivity import ROUNDING, additive_error
from robench.engine.surfaces.history.plausibility import Plausibility
from robench.testing.worlds import crowd, fitted, measured_victim, reference_victim
from robench_plugins.attacks.auto import Auto
from robench_plugins.attacks.history.edit_effects import EditEffects
from robench_plugins.attacks.history.greedy_edit import GreedyEdit
from robench_plugins.attacks.history.random_edit import RandomEdit
from robench_plugins.models.ease import Ease
from robench_plugins.models.item_knn import ItemKnn
from robench_plugins.models.user_knn import UserKnn

ATTACKS = {
    RandomEdit: {"draws": 6},
    GreedyEdit: {"queries": 6},
    EditEffects: {"verified": 4, "leaders": 1, "places": 2},
}


def lists(rows):
    return [[item for item in row if item >= 0] for row in rows.tolist()]


class Hostile(HistoryAttack):
    """An attack that applies ``change`` to every history, whatever the rules are."""

    change: ClassVar = None

    def rewrite(self, oracle, rng):
        rows = [type(self).change(row, oracle, user) for user, row in enumerate(lists(oracle.rows()))]
        width = max(map(len, rows))
        yield torch.tensor([row + [-1] * (width - len(row)) for row in rows])


def hostile(change, **config):
    cls = type("Hostile", (Hostile,), {"change": staticmethod(change)})
    return cls.make(**config)


def free_item(oracle, user, *, plausible):
    """Returns an item that is new to the user, or None if there is no such item.

    If ``plausible`` is true, the item may be inserted. Otherwise, it may not be inserted because it is implausible.
    """
    allowed = oracle.insertable()[user]
    own = set(oracle.rows()[user].tolist()) | set(oracle.goal_items()[user].tolist())
    items = (item for item in range(oracle.n_items) if bool(allowed[item]) == plausible and item not in own)
    return next(items, None)


BREAKS_PLACE = {
    "a substitution": lambda row, oracle, user: [*row[:-1], free_item(oracle, user, plausible=True)],
    "a deletion": lambda row, oracle, user: row[:-1],
    "an insertion before the last item": lambda row, oracle, user: [
        *row[:-1],
        free_item(oracle, user, plausible=True),
        row[-1],
    ],
    "an insertion at the front": lambda row, oracle, user: [free_item(oracle, user, plausible=True), *row],
}


def kept_by_the_host(bench, attack):
    """Returns which edited histories the host keeps, and the recorded overshoot.

    The first result is bool, with one entry per user.
    """
    (arena,) = bench.surface("history").arenas(attack, 1, Costs(), Diagnosis())
    (proposal,) = arena.proposals(attack, Rng(0))
    candidate, genuine = arena.within_budget(proposal)["items"], arena.genuine()["items"]
    kept = [new != old for new, old in zip(lists(candidate), lists(genuine), strict=True)]
    return np.array(kept), arena.costs.overshoot


@pytest.mark.parametrize("name", BREAKS_PLACE)
def test_edits_before_the_end_are_refused_and_recorded(name):
    bench = reference_victim("ragged")
    kept, overshoot = kept_by_the_host(bench, hostile(BREAKS_PLACE[name], place="end"))
    assert not kept.any()
    assert overshoot > 1
    measured = bench.attacked(hostile(BREAKS_PLACE[name], place="end"), 1, f"place-{name}")
    np.testing.assert_array_equal(measured.arrays["ranks"], bench.clean(None).arrays["ranks"])
    kept, overshoot = kept_by_the_host(bench, hostile(BREAKS_PLACE[name]))
    assert kept.all(), "the same edits are lawful anywhere"
    assert overshoot == 1


@pytest.mark.parametrize(("plausible", "quantile"), [(True, 0.1), (False, 0.5)])
def test_implausible_items_are_refused_and_recorded(plausible, quantile):
    bench = reference_victim("ragged")

    def append(row, oracle, user):
        item = free_item(oracle, user, plausible=plausible)
        return row if item is None else [*row, item]

    attack = hostile(append, place="end", plausible=quantile)
    kept, overshoot = kept_by_the_host(bench, attack)
    assert (kept.sum() > len(kept) // 2) == plausible
    assert plausible or not kept.any()
    assert (overshoot > 1) != plausible
    assert bench.attacked(attack, 1, f"plausible-{plausible}").diagnostics["plausible_from"] > 0


@pytest.mark.parametrize("cls", ATTACKS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    epsilon=st.integers(0, 3),
    place=st.sampled_from(["anywhere", "end"]),
    plausible=st.sampled_from([None, 0.1, 0.6]),
    goal=st.sampled_from(["untargeted", "promote"]),
)
def test_every_proposal_keeps_the_rules_without_the_hosts_help(cls, epsilon, place, plausible, goal):
    bench, targets = reference_victim("ragged"), np.array([3, 17])
    attack = cls.make(**ATTACKS[cls], place=place, plausible=plausible, goal=goal)
    (arena,) = bench.surface("history").arenas(attack, epsilon, Costs(), Diagnosis(), targets)
    genuine = lists(arena.genuine()["items"])
    items = None if plausible is None else Plausibility(bench.history, plausible).of(bench.users)
    for proposal in attack.rewrite(arena.oracle, Rng(0)):
        for user, (old, new) in enumerate(zip(genuine, lists(proposal), strict=True)):
            if place == "end":
                assert new[: len(old)] == old
                assert len(new) <= len(old) + epsilon
            assert items is None or all(items[user, item] for item in set(new) - set(old))
            assert epsilon or new == old
        arena.within_budget({"items": proposal})
    assert arena.costs.overshoot <= 1


def test_plausibility_is_counted_from_the_histories():
    rows = [[0, 1, 2], [0, 1, 3], [2, 3], [0, 2, 1], [4]]
    histories = Interactions.from_rows(rows, 5)

    def together(item, others, without=None):
        counts = [
            sum(item in row and other in row for user, row in enumerate(rows) if user != without) for other in others
        ]
        return sum(counts) / len(counts)

    genuine = sorted(together(row[-1], row[:-1], user) for user, row in enumerate(rows) if len(row) > 1)
    for quantile in (0.001, 0.5, 0.999):
        plausible = Plausibility(histories, quantile)
        assert plausible.least in genuine
        assert plausible.least == np.quantile(genuine, quantile, method="lower")
        expected = [[together(item, row) >= plausible.least for item in range(5)] for row in rows]
        assert plausible.of(np.arange(5)).tolist() == expected


class FalseSum(UserKnn):
    """A model that wrongly declares its scores to be additive."""

    additive: ClassVar[bool] = True


def test_a_declared_sum_is_verified_and_never_believed():
    data, test = crowd(n_users=30, n_items=24, length=6)
    errors = {}
    for cls in (Ease, ItemKnn, FalseSum):
        model = fitted(cls.make(), data)[0]
        bench = measured_victim(model, data, test)
        errors[cls] = additive_error(model, bench.history, bench.users, Rng(0))
        (arena,) = bench.surface("history").arenas(EditEffects.make(), 1, Costs(), Diagnosis())
        assert arena.oracle.additive == (cls is not FalseSum)
        measured = bench.attacked(RandomEdit.make(draws=1), 1, "additive")
        assert (measured.diagnostics["additive_error"] > ROUNDING) == (cls is FalseSum)
    assert max(errors[Ease], errors[ItemKnn]) < ROUNDING < 0.1 < errors[FalseSum]


def test_all_models_face_the_same_number_of_scorings():
    data, test = crowd(n_users=20, n_items=40, length=6)
    targets, looks = np.array([3, 17]), []
    for cls in (Ease, ItemKnn, UserKnn):
        bench = measured_victim(fitted(cls.make(), data)[0], data, test)
        auto = Auto.make(surface="history", goal="promote")
        looks.append(
            [(row["name"], row["users"], row["queries"]) for row in bench.attacked(auto, 2, "", targets).members]
        )
    assert looks[0] == looks[1] == looks[2]
    assert [name for name, _, _ in looks[0]] == ["random-edit", "edit-effects", "greedy-edit"]
