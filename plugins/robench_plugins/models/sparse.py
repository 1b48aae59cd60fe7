"""Interactions as scipy matrices, and sparse matrices as states: what the neighbourhood models share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from robench.api import IntArray, Interactions

Matrix: TypeAlias = Any  # scipy.sparse.csr_array; scipy ships no types
BLOCK_ENTRIES = 1 << 24  # entries of a dense block of similarities (64 MiB of float32)


def matrix(rows: Interactions) -> Matrix:
    """float32 [rows, n_items] with ones."""
    ones = np.ones(len(rows), dtype=np.float32)
    return sparse.csr_array((ones, rows.items, rows.indptr), shape=(rows.n_users, rows.n_items))


def some_rows(rows: Interactions, users: IntArray) -> Matrix:
    """``matrix(rows)[users]``, float32 [B, n_items], without a matrix of everybody."""
    start = rows.indptr[users]
    lengths = rows.indptr[users + 1] - start
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    place = np.arange(indptr[-1]) + np.repeat(start - indptr[:-1], lengths)
    ones = np.ones(len(place), dtype=np.float32)
    return sparse.csr_array((ones, rows.items[place], indptr), shape=(len(users), rows.n_items))


def cosine(shrinkage: float, dots: NDArray[np.float32], own: NDArray[np.float64], others: NDArray[np.float64]) -> None:
    """Turn dot products [B, n] into ⟨a, b⟩ / (‖a‖ ‖b‖ + shrinkage), in place. Args: norms float64 [B] and [n]."""
    below = own[:, None] * others[None, :] + shrinkage
    np.divide(dots, below, out=dots, where=below > 0)


def strongest(values: NDArray[np.float32], k: int) -> Matrix:
    """The ``k`` largest positive entries of each row, the first ones among equals: sparse [B, n]."""
    n = values.shape[1]
    if k < n:
        # Ties are broken by the column, so that the choice does not depend on how numpy partitions.
        least = -np.partition(-values, k - 1, axis=1)[:, k - 1 : k]
        above = values > least
        equal = values == least
        spare = k - above.sum(1, keepdims=True)
        chosen = above | (equal & (np.cumsum(equal, axis=1) <= spare))
    else:
        chosen = np.ones_like(values, dtype=bool)
    return sparse.csr_array(np.where(chosen & (values > 0), values, 0))


def blocks(rows: int, width: int, make: Callable[[slice], Matrix]) -> Matrix:
    """``make`` for some rows at a time, so that a dense block of [rows, width] stays small: all of them together."""
    step = max(1, BLOCK_ENTRIES // max(1, width))
    return sparse.vstack([make(slice(start, min(start + step, rows))) for start in range(0, rows, step)], format="csr")


def to_state(name: str, content: Matrix) -> dict[str, NDArray[np.generic]]:
    """Named arrays of a sparse matrix."""
    return {
        f"{name}_data": content.data.astype(np.float32),
        f"{name}_indices": content.indices.astype(np.int64),
        f"{name}_indptr": content.indptr.astype(np.int64),
        f"{name}_shape": np.array(content.shape, dtype=np.int64),
    }


def from_state(name: str, state: Mapping[str, NDArray[np.generic]]) -> Matrix:
    """The matrix of ``to_state``."""
    parts = tuple(np.asarray(state[f"{name}_{part}"]) for part in ("data", "indices", "indptr"))
    return sparse.csr_array(parts, shape=tuple(np.asarray(state[f"{name}_shape"]).tolist()))
