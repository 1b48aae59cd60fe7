"""Tests the worst case over a row's attacks and its external attacks."""

from types import SimpleNamespace

import numpy as np
import pytest

from robench.api.metric import Measure
from robench.tables import best_known
from robench.tables.best_known import Reference, find_best_known

ONES = np.ones((4, 2))  # four targets, two users


@pytest.fixture
def find(monkeypatch):
    """Returns a function that runs ``find_best_known`` on made-up external attacks."""
    monkeypatch.setattr(best_known, "read_values", lambda results, external, measure: external.values)

    def run(*attacks, sets=None, planned=1, user_by_user=True):
        by_seed = {seed: [one for of, one in attacks if of == seed] for seed in (0, 1)}
        plan = SimpleNamespace(targets=SimpleNamespace(sets=planned))
        results = SimpleNamespace(plan=plan, external_cells=lambda cell: by_seed[cell.seed])
        cells = [SimpleNamespace(cell=f"c{seed}", seed=seed, epsilon=0.1) for seed in (0, 1)]
        reference = Reference(Measure("t-hr", 10), [0, 1], np.stack([ONES, ONES]), sets, user_by_user, high=True)
        return find_best_known(results, cells, reference)

    return run


def external(values, target_set=None):
    return SimpleNamespace(values=np.asarray(values, dtype=float), target_set=target_set)


def test_an_attack_counts_for_its_own_seed_and_the_users_that_it_harms(find):
    values = ONES * [0, 2]
    first, second = find((0, external(values)))
    assert first.tolist() == (ONES * [0, 1]).tolist()
    assert second.tolist() == ONES.tolist()


def test_a_weaker_attack_changes_nothing(find):
    assert find((0, external(2 * ONES)))[0].tolist() == ONES.tolist()
    assert find((0, external(2 * ONES)), user_by_user=False)[0].tolist() == ONES.tolist()
    assert find() is None


def test_an_attack_replaces_the_values_of_its_own_targets(find):
    first, _ = find((0, external(np.zeros((2, 2)), target_set=7)), sets=[3, 7], user_by_user=False)
    assert first.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]


def test_an_attack_on_a_set_that_the_row_lacks_or_averages_says_nothing(find):
    assert find((0, external(np.zeros((2, 2)), target_set=5)), sets=[3, 7]) is None
    assert find((0, external(0 * ONES, target_set=0)), planned=2) is None
    assert find((0, external(0 * ONES, target_set=0)), planned=1)[0].tolist() == (0 * ONES).tolist()
