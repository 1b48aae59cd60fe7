"""Sparse matrices of interactions and similarities.

Models that score a history use this module.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from robench.api import IntArray, Interactions

Matrix: TypeAlias = Any  # a scipy.sparse.csr_array, for which scipy has no types
Norms: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]
SPARSE = 8  # a block with fewer than one entry in SPARSE places is not made dense
BLOCK_ENTRIES = 1 << 20  # the entries of a dense block of similarities (4 MiB of float32)


def without_repeats(rows: Interactions) -> Interactions:
    """Returns the first event of each user-item pair.

    The result is the argument itself if no pair repeats.
    """
    if not (rows.keys[1:] == rows.keys[:-1]).any():
        return rows
    users = rows.users()
    first = np.sort(np.unique(users * rows.n_items + rows.items, return_index=True)[1])
    lengths = np.bincount(users[first], minlength=rows.n_users)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Interactions(indptr, rows.items[first], rows.times[first], rows.n_items)


def interaction_matrix(rows: Interactions) -> Matrix:
    """Returns a sparse matrix with a 1 for each interaction: float32 [rows, n_items]."""
    ones = np.ones(len(rows), dtype=np.float32)
    return sparse.csr_array((ones, rows.items, rows.indptr), shape=(rows.n_users, rows.n_items))


def as_sparse(dense: NDArray[np.float64]) -> Matrix:
    """Returns a dense matrix as a sparse one, float32."""
    return sparse.csr_array(dense.astype(np.float32))


def matrix_of_users(rows: Interactions, users: IntArray) -> Matrix:
    """Returns ``interaction_matrix(rows)[users]``, sparse float32 [B, n_items].

    The matrix of all users is never built.
    """
    start = rows.indptr[users]
    lengths = rows.indptr[users + 1] - start
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    index = np.arange(indptr[-1]) + np.repeat(start - indptr[:-1], lengths)
    ones = np.ones(len(index), dtype=np.float32)
    return sparse.csr_array((ones, rows.items[index], indptr), shape=(len(users), rows.n_items))


def nearest_neighbours(dots: Matrix, norms: Norms, shrinkage: float, own: IntArray | None, k: int) -> Matrix:
    """Returns the ``k`` largest similarities of each row, sparse float32 [B, n].

    A similarity is ⟨a, b⟩ / (‖a‖ ‖b‖ + shrinkage), and only positive similarities are returned. Of equal similarities,
    the first ones are taken. The density of ``dots`` affects only how the result is computed.

    Args:
        dots: the dot products ⟨a, b⟩, sparse float32 [B, n], which may be overwritten.
        norms: the norms of the vectors a, float64 [B], and of the vectors b, float64 [n].
        shrinkage: the term that is added to the product of the norms.
        own: the column of each row's own vector, int64 [B], or None if the rows have no columns of their own. A row is
            not its own neighbour.
        k: the number of neighbours.
    """
    rows, width = dots.shape
    if dots.nnz * SPARSE > rows * width:
        similarity = dots.toarray()
        divisor = norms[0][:, None] * norms[1][None, :] + shrinkage
        np.divide(similarity, divisor, out=similarity, where=divisor > 0)
        if own is not None:
            similarity[np.arange(rows), own] = 0
        return largest_entries(similarity, k)
    dots.sort_indices()
    lengths = np.diff(dots.indptr)
    row = np.repeat(np.arange(rows), lengths)
    similarity = np.zeros((rows, int(lengths.max(initial=0)) + 1), dtype=np.float32)
    place = np.arange(len(row)) - dots.indptr[row]
    similarity[row, place] = dots.data / (norms[0][row] * norms[1][dots.indices] + shrinkage)
    if own is not None:
        same = np.flatnonzero(dots.indices == own[row])
        similarity[row[same], place[same]] = 0
    nearest = largest_entries(similarity, k)
    column = dots.indices[np.repeat(dots.indptr[:-1], np.diff(nearest.indptr)) + nearest.indices]
    return sparse.csr_array((nearest.data, column, nearest.indptr), shape=dots.shape)


def largest_entries(values: NDArray[np.float32], k: int) -> Matrix:
    """Returns the ``k`` largest positive entries of each row, sparse [B, n].

    Of equal entries, the first ones are taken. So the choice does not depend on the partition algorithm of numpy.
    """
    n = values.shape[1]
    if not 0 < k < n:
        return sparse.csr_array(np.where(values > 0, values, 0) if k else np.zeros_like(values))
    threshold = -np.partition(-values, k - 1, axis=1)[:, k - 1 : k]
    row, column = np.nonzero(values >= np.maximum(threshold, np.finfo(np.float32).smallest_subnormal))
    entries = values[row, column]
    equal = entries == threshold[row, 0]
    starts = np.searchsorted(row, np.arange(len(values) + 1))
    before = np.concatenate([[0], np.cumsum(equal)])  # the equal entries before each entry, in all rows
    left = k - (np.diff(starts) - (before[starts[1:]] - before[starts[:-1]]))
    kept = ~equal | (before[:-1] - before[starts[:-1]][row] < left[row])
    indptr = np.concatenate([[0], np.cumsum(kept)])[starts]
    parts = entries[kept], column[kept].astype(np.int32), indptr.astype(np.int32)
    return sparse.csr_array(parts, shape=values.shape)


def stack_blocks(rows: int, width: int, block: Callable[[slice], Matrix]) -> Matrix:
    """Returns the matrix of all rows, computed one block at a time.

    Args:
        rows: the number of rows.
        width: the number of dense entries that a row needs while it is computed.
        block: a function that returns the sparse matrix of a slice of rows.
    """
    step = max(1, BLOCK_ENTRIES // max(1, width))
    return sparse.vstack([block(slice(start, min(start + step, rows))) for start in range(0, rows, step)], format="csr")


def to_state(name: str, matrix: Matrix) -> dict[str, NDArray[np.generic]]:
    """Returns the arrays of a sparse matrix, under keys that start with ``name``."""
    return {
        f"{name}_data": matrix.data.astype(np.float32),
        f"{name}_indices": matrix.indices.astype(np.int64),
        f"{name}_indptr": matrix.indptr.astype(np.int64),
        f"{name}_shape": np.array(matrix.shape, dtype=np.int64),
    }


def from_state(name: str, state: Mapping[str, NDArray[np.generic]]) -> Matrix:
    """Restores a sparse matrix from the arrays of ``to_state``."""
    parts = tuple(np.asarray(state[f"{name}_{part}"]) for part in ("data", "indices", "indptr"))
    return sparse.csr_array(parts, shape=tuple(np.asarray(state[f"{name}_shape"]).tolist()))
