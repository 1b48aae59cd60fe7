"""Tests WMF against its objective, and against dense solutions of each row."""

import numpy as np
import pytest

from robench.api import Interactions, Rng
from robench.testing.worlds import crowd, fitted
from robench_plugins.models import wmf as module
from robench_plugins.models.sparse_matrix import interaction_matrix
from robench_plugins.models.wmf import Wmf, weighted_ridge

ALPHA, DECAY = 3.0, 5.0


def dense_solution(row, others):
    """Returns the vector of one row by eq. 4 of the paper: (YᵀCY + λI)⁻¹ YᵀCp.

    Here p is ``row``, Y is ``others``, and C is the dense diagonal matrix of the weights 1 + α p. The constants are α =
    ``ALPHA`` and λ = ``DECAY``.
    """
    c = np.diag(1 + ALPHA * row)
    return np.linalg.solve(others.T @ c @ others + DECAY * np.eye(others.shape[1]), others.T @ c @ row)


def objective(x, users, items):
    """Returns the objective of WMF (eq. 3 of the paper), summed over all pairs."""
    errors = (1 + ALPHA * x) * (x - users @ items.T) ** 2
    return errors.sum() + DECAY * ((users**2).sum() + (items**2).sum())


@pytest.mark.parametrize("entries", [1, 300, 1 << 20])
def test_each_row_is_the_dense_solution_of_the_paper(monkeypatch, entries):
    monkeypatch.setattr(module, "BLOCK_ENTRIES", entries)
    generator = np.random.default_rng(0)
    rows = [generator.permutation(9)[: u % 8] for u in range(17)]
    matrix = interaction_matrix(Interactions.from_rows(rows, 9))
    others = generator.normal(size=(9, 3))
    expected = [dense_solution(row, others) for row in matrix.toarray().astype(float)]
    solution = weighted_ridge(matrix, others, ALPHA, DECAY)
    np.testing.assert_allclose(solution, expected, rtol=1e-10, atol=1e-12)
    assert not solution[0].any()


def test_no_half_of_an_iteration_raises_the_objective_and_a_fit_is_these_halves():
    data, _ = crowd()
    model = Wmf.make(factors=5, confidence=ALPHA, weight_decay=DECAY, iterations=4)
    model.fit(data, Rng(0))
    x = interaction_matrix(data.train)
    dense, values = x.toarray().astype(float), []
    items = Rng(0).child("items").numpy().normal(0, 0.1, (data.n_items, 5))
    for _ in range(4):
        users = model.solve(x, items)
        values.append(objective(dense, users, items))
        items = model.solve(x.T.tocsr(), users)
        values.append(objective(dense, users, items))
    assert (np.diff(values) <= 1e-9 * values[0]).all()
    assert values[-1] < 0.9 * values[0]
    np.testing.assert_allclose(model.item_vectors, items, rtol=1e-10)


def test_a_history_is_scored_by_its_own_solution():
    data, _ = crowd()
    model, _ = fitted(Wmf.make(factors=5, confidence=ALPHA, weight_decay=DECAY), data)
    row = np.zeros(data.n_items)
    row[[3, 7, 8]] = 1
    expected = model.item_vectors @ dense_solution(row, model.item_vectors)
    scores = model.newcomers(Interactions.from_rows([[8, 3, 7]], data.n_items))
    np.testing.assert_allclose(scores[0], expected, rtol=1e-5, atol=1e-7)


def test_the_order_of_users_changes_only_rounding():
    data, _ = crowd()
    x = interaction_matrix(data.train)
    order = np.random.default_rng(0).permutation(data.n_users)
    others = np.random.default_rng(1).normal(size=(data.n_items, 4))
    np.testing.assert_allclose(
        weighted_ridge(x[order], others, ALPHA, DECAY), weighted_ridge(x, others, ALPHA, DECAY)[order], rtol=1e-10
    )


def test_the_declared_memory_is_that_of_the_vectors():
    assert Wmf.make(factors=10).declared_memory(1000, 500, 10_000) == 2 * 8 * 10 * 1500
