"""LightGCN: vectors that are propagated over the graph of interactions."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from robench.api import Batch, Embedded, Interactions, PairwiseModel, Rng, TorchConfig, TrainData
from robench.api.component import LATER, search
from robench_plugins.models.sparse_matrix import without_repeats


def _sparse_tensor(rows: Interactions, values: np.ndarray[Any, np.dtype[np.float32]]) -> Tensor:
    """Returns a sparse tensor [rows, n_items] with one value per interaction."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
        return torch.sparse_csr_tensor(
            torch.from_numpy(np.array(rows.indptr)),
            torch.from_numpy(np.array(rows.items)),
            torch.from_numpy(values),
            size=(rows.n_users, rows.n_items),
            check_invariants=True,
        )


def normalised_adjacency(train: Interactions) -> tuple[Tensor, Tensor]:
    """Returns the normalised adjacency matrix of users and items, and its transpose.

    If user u has item i, the entry is 1 / √(|N_u| |N_i|). Otherwise, it is 0. N_u are the items of user u, and N_i are
    the users of item i.

    Returns:
        Two sparse float32 matrices, [users, items] and [items, users].
    """
    train = without_repeats(train)
    users, by_user, by_item = train.users(), train.lengths(), train.counts()
    values = (1 / np.sqrt(by_user[users] * by_item[train.items])).astype(np.float32)
    order = np.argsort(train.items, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(by_item)]).astype(np.int64)
    by_items = Interactions(indptr, users[order], np.zeros(len(order), dtype=np.int64), train.n_users)
    rows = np.lexsort((train.items, users))
    by_users = Interactions(train.indptr, train.items[rows], train.times, train.n_items)
    return _sparse_tensor(by_users, values[rows]), _sparse_tensor(by_items, values[order])


class _Propagation(torch.autograd.Function):
    """The function ``_mean_of_layers`` with a fast backward pass.

    The function is linear and symmetric, so its backward pass is the same function.
    """

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, adjacency: Tensor, transpose: Tensor, layers: int) -> Any:
        ctx.graph = adjacency, transpose, layers
        return _mean_of_layers(users, items, adjacency, transpose, layers)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        users, items = gradients
        return *_mean_of_layers(users, items, *ctx.graph), None, None, None


def _mean_of_layers(
    users: Tensor, items: Tensor, adjacency: Tensor, transpose: Tensor, layers: int
) -> tuple[Tensor, Tensor]:
    """Returns the mean vectors over all layers: [n_users, d] and [n_items, d].

    Layer 0 consists of the given vectors. Each further layer is propagated over the graph from the layer before.

    Args:
        users: the vectors of the users, [n_users, d].
        items: the vectors of the items, [n_items, d].
        adjacency: the normalised adjacency matrix, [n_users, n_items].
        transpose: its transpose.
        layers: the number of layers after layer 0.
    """
    total_users, total_items = users.clone(), items.clone()
    for _ in range(layers):
        users, items = adjacency @ items, transpose @ users
        total_users += users
        total_items += items
    return total_users.div_(layers + 1), total_items.div_(layers + 1)


class LightGcn(PairwiseModel):
    """Scores an item by vectors that are averaged over the graph of interactions.

    In LightGCN (He et al., SIGIR 2020), layer k + 1 of user u is e⁽ᵏ⁺¹⁾_u = Σ_i e⁽ᵏ⁾_i / √(|N_u| |N_i|), and likewise
    for items (eq. 3). Here e⁽ᵏ⁾_i is layer k of item i, N_u are the items of user u, and N_i are the users of item i.
    The final vector is the mean over the layers (eq. 4 with equal weights). The loss is BPR (eq. 15), and the
    optimiser's weight decay replaces the L2 term of this loss. The input of a user is the propagated vector. A
    perturbation of this vector changes only the scores of this user.
    """

    class Config(TorchConfig):
        """Settings, with defaults from suites/tuning/movielens-small.grid.txt.

        The defaults are the best of four trials by validation NDCG@10.
        """

        factors: int = Field(default=64, ge=1, description="Dimensions of the vectors")
        layers: int = Field(default=3, ge=1, description="Number of propagation layers K")
        max_steps: int = Field(
            default=120,
            ge=1,
            description="Most optimiser steps per epoch: batches grow if the data need more steps",
            json_schema_extra=LATER,
        )
        epochs: int = Field(default=60, ge=1, json_schema_extra=search(choices=[120]))
        batch_size: int = Field(default=2048, ge=1)
        learning_rate: float = Field(default=1e-2, gt=0, json_schema_extra=search(1e-3, 3e-2, log=True))
        weight_decay: float = Field(default=0.0, ge=0)
        patience: int = Field(default=5, ge=1)
        validate_every: int = Field(default=2, ge=1)

    config: Config
    tables: ClassVar[tuple[str, ...]] = ("user_vectors.weight", "item_vectors.weight")
    adjacency: Tensor
    transpose: Tensor

    def build(self, data: TrainData, rng: Rng) -> None:
        """Builds the tables and the graph.

        The entries of the tables are drawn from a normal distribution with a standard deviation of 0.1, as in the
        authors' code.
        """
        self.user_vectors = self.user_table(data, self.config.factors, 0.1, rng)
        self.item_vectors = nn.Embedding(data.n_items, self.config.factors)
        nn.init.normal_(self.item_vectors.weight, std=0.1)
        for name, matrix in zip(("adjacency", "transpose"), normalised_adjacency(data.train), strict=True):
            self.register_buffer(name, matrix, persistent=False)
        self._cache: tuple[Tensor, Tensor, tuple[int, int], tuple[Tensor, Tensor]] | None = None

    def batch_rows(self, data: TrainData) -> int:
        """Returns the number of triples per batch.

        Every step propagates over the whole graph. So the number of steps per epoch is limited, and a batch is larger
        than ``batch_size`` if the data need more steps. Fake users do not change the size.
        """
        real = int(data.train.indptr[data.n_real_users])
        return max(super().batch_rows(data), -(-real // self.config.max_steps))

    def propagated(self) -> tuple[Tensor, Tensor]:
        """Returns the final vectors of all users, [n_users, d], and items, [n_items, d].

        If no gradient is needed, the vectors are cached until a table changes.
        """
        users, items = self.user_vectors.weight, self.item_vectors.weight
        cache, versions = self._cache, (users._version, items._version)
        # The tables are compared as objects, because a new table may occupy the memory of a freed one.
        if not torch.is_grad_enabled() and cache and cache[0] is users and cache[1] is items and cache[2] == versions:
            return cache[3]
        graph = self.adjacency, self.transpose, self.config.layers
        vectors: tuple[Tensor, Tensor] = _Propagation.apply(users, items, *graph)  # type: ignore[no-untyped-call]  # torch has no type for apply
        self._cache = None if torch.is_grad_enabled() else (users, items, versions, vectors)
        return vectors

    def embed(self, batch: Batch) -> Embedded:
        """Returns the propagated user vectors as the input ``user``, [B, d]."""
        user_vectors, items = self.propagated()
        users = self.rows_of(user_vectors, batch.users)
        valid = torch.ones(len(users), dtype=torch.bool, device=users.device)
        return Embedded({"user": users}, {"user": valid}, {"items": items})
