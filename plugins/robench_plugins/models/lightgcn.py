"""LightGCN: vectors propagated over the graph of users and items."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from robench.api import Batch, Embedded, Interactions, PairwiseModel, Rng, TorchConfig, TrainData


def _matrix(rows: Interactions, values: np.ndarray[Any, np.dtype[np.float32]]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
        return torch.sparse_csr_tensor(
            torch.from_numpy(np.array(rows.indptr)),
            torch.from_numpy(np.array(rows.items)),
            torch.from_numpy(values),
            size=(rows.n_users, rows.n_items),
            check_invariants=True,
        )


def normalised(train: Interactions) -> tuple[Tensor, Tensor]:
    """R̃ and its transpose, sparse: entries 1 / √(|N_u| |N_i|), float32 [users, items] and [items, users]."""
    users, by_user, by_item = train.users(), train.lengths(), train.counts()
    values = (1 / np.sqrt(by_user[users] * by_item[train.items])).astype(np.float32)
    order = np.argsort(train.items, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(by_item)]).astype(np.int64)
    turned = Interactions(indptr, users[order], np.zeros(len(order), dtype=np.int64), train.n_users)
    rows = np.lexsort((train.items, users))
    straight = Interactions(train.indptr, train.items[rows], train.times, train.n_items)
    return _matrix(straight, values[rows]), _matrix(turned, values[order])


class _Propagation(torch.autograd.Function):
    """Mean of the layers 0 to K; it is linear and symmetric, so its backward pass is itself."""

    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, straight: Tensor, turned: Tensor, layers: int) -> Any:
        ctx.graph = straight, turned, layers
        return _propagated(users, items, straight, turned, layers)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        by_users, by_items = gradients
        return *_propagated(by_users, by_items, *ctx.graph), None, None, None


def _propagated(users: Tensor, items: Tensor, straight: Tensor, turned: Tensor, layers: int) -> tuple[Tensor, Tensor]:
    total_users, total_items = users.clone(), items.clone()
    for _ in range(layers):
        users, items = straight @ items, turned @ users
        total_users += users
        total_items += items
    return total_users.div_(layers + 1), total_items.div_(layers + 1)


class LightGcn(PairwiseModel):
    """LightGCN (He et al., SIGIR 2020): e⁽ᵏ⁺¹⁾_u = Σ_i e⁽ᵏ⁾_i / √(|N_u| |N_i|) and the same for items (eq. 3), the
    mean over the layers (eq. 4 with α = 1 / (K + 1)), BPR (eq. 15; its L2 term is the optimiser's weight decay).

    A user's input is the propagated vector: what an attack adds reaches this user's scores and nobody else's.
    """

    class Config(TorchConfig):
        """Settings; the best of four trials by validation NDCG@10 (suites/tuning/movielens-small.yaml)."""

        factors: int = Field(default=64, ge=1)
        layers: int = Field(default=3, ge=1)
        epochs: int = Field(default=60, ge=1)
        batch_size: int = Field(default=2048, ge=1)
        learning_rate: float = Field(default=1e-2, gt=0)
        weight_decay: float = Field(default=0.0, ge=0)
        patience: int = Field(default=5, ge=1)
        validate_every: int = Field(default=2, ge=1)

    config: Config
    tables: ClassVar[tuple[str, ...]] = ("user_vectors.weight", "item_vectors.weight")
    straight: Tensor
    turned: Tensor

    def build(self, data: TrainData, rng: Rng) -> None:
        """Normal tables, std 0.1 (the authors' code), and the graph of the training data."""
        self.user_vectors = self.user_table(data, self.config.factors, 0.1, rng)
        self.item_vectors = nn.Embedding(data.n_items, self.config.factors)
        nn.init.normal_(self.item_vectors.weight, std=0.1)
        for name, matrix in zip(("straight", "turned"), normalised(data.train), strict=True):
            self.register_buffer(name, matrix, persistent=False)
        self._kept: tuple[Tensor, Tensor, tuple[int, int], tuple[Tensor, Tensor]] | None = None

    def propagated(self) -> tuple[Tensor, Tensor]:
        """Final vectors of all users and items, [n_users, d] and [n_items, d]; kept while the tables stay the same."""
        users, items = self.user_vectors.weight, self.item_vectors.weight
        kept, versions = self._kept, (users._version, items._version)
        # Held and compared as objects: a freed table's memory may be another table's by now.
        if not torch.is_grad_enabled() and kept and kept[0] is users and kept[1] is items and kept[2] == versions:
            return kept[3]
        graph = self.straight, self.turned, self.config.layers
        found: tuple[Tensor, Tensor] = _Propagation.apply(users, items, *graph)  # type: ignore[no-untyped-call]  # torch has no type for apply
        self._kept = None if torch.is_grad_enabled() else (users, items, versions, found)
        return found

    def embed(self, batch: Batch) -> Embedded:
        """Input ``user`` [B, d], propagated."""
        users, items = self.propagated()
        found = self.rows_of(users, batch.users)
        valid = torch.ones(len(found), dtype=torch.bool, device=found.device)
        return Embedded({"user": found}, {"user": valid}, {"items": items})
