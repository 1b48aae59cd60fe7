import numpy as np
import pytest
from scipy import sparse

from robench_plugins.models import sparse_matrix
from robench_plugins.models.sparse_matrix import largest_entries, nearest_neighbours

pytestmark = pytest.mark.unit


def _naive(values, k):
    """Returns the rows with only their k largest positive entries, found by sorting.

    Of equal entries, the one in the first column comes first.
    """
    kept = np.zeros_like(values)
    for row, entries in enumerate(values):
        for column in sorted(range(len(entries)), key=lambda c: (-entries[c], c))[:k]:
            kept[row, column] = max(entries[column], 0)
    return kept


@pytest.mark.parametrize("k", [1, 3, 7, 12, 13, 40])
def test_the_largest_entries_are_those_of_a_sort_and_ties_go_to_the_first(k):
    values = np.random.default_rng(k).integers(-2, 5, (50, 13)).astype(np.float32) / 7
    result = largest_entries(values, k)
    assert np.array_equal(result.toarray(), _naive(values, k))
    assert result.has_canonical_format
    assert (result.data > 0).all()


def _dots(density):
    generator = np.random.default_rng(0)
    x = (generator.random((60, 40)) < density).astype(np.float32)
    x[:, 7] = 0
    return sparse.csr_array(x.T @ x), np.sqrt(x.sum(0).astype(np.float64))


@pytest.mark.parametrize("shrinkage", [0.0, 10.0])
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("density", [0.01, 0.3])
def test_neighbours_are_equal_bit_for_bit_whether_a_block_is_dense_or_sparse(density, own, shrinkage, monkeypatch):
    dots, norms = _dots(density)
    items, results = np.arange(40) if own else None, []
    for limit in (0, 1 << 40):  # with 0, no block is made dense; with the large number, every block
        monkeypatch.setattr(sparse_matrix, "SPARSE", limit)
        results.append(nearest_neighbours(dots.copy(), (norms, norms), shrinkage, items, 5))
    divisor = np.outer(norms, norms) + shrinkage
    cosines = np.divide(dots.toarray(), divisor, where=divisor > 0, out=np.zeros((40, 40))).astype(np.float32)
    if own:
        np.fill_diagonal(cosines, 0)
    for result in results:
        assert np.array_equal(result.toarray(), _naive(cosines, 5))
        assert result.has_sorted_indices
    assert results[0].indices.tolist() == results[1].indices.tolist()
    assert results[0].data.tobytes() == results[1].data.tobytes()
