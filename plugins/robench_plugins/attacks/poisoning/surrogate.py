"""A weighted matrix factorisation that is differentiable in fake profiles.

The attacks ``revadv`` and ``pga`` use it as their surrogate of the victim.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from robench.api import IntArray, Interactions

BLOCK_ENTRIES = 1 << 20  # the entries of an array that gathers the vectors of several rows
START = 0.1  # the standard deviation of the entries of the first item vectors


@dataclass(frozen=True, eq=False)
class Rows:
    """A fixed matrix of zeros and ones, in blocks of rows that have similar lengths.

    Args:
        count: the number of rows, n.
        blocks: the rows of each block, int64 [b], and the columns of their ones, int64 [b, length]. In short rows, the
            number of columns serves as padding. A row without ones is in no block.
    """

    count: int
    blocks: tuple[tuple[Tensor, Tensor], ...]

    @classmethod
    def of(cls, indptr: IntArray, columns: IntArray, width: int, factors: int) -> Rows:
        """Returns the matrix that has ones at the given columns.

        Args:
            indptr: the start of each row in ``columns``, int64 [n + 1].
            columns: the columns of all ones, row by row, int64.
            width: the number of columns.
            factors: the number of entries of each vector that ``sums`` will be given, which limits the size of a block.
        """
        lengths = np.diff(indptr)
        order = np.argsort(lengths, kind="stable")
        blocks, start = [], int(np.searchsorted(lengths[order], 1))
        while start < len(order):
            stop = min(len(order), start + max(1, BLOCK_ENTRIES // factors**2))
            while stop - start > 1 and (stop - start) * lengths[order[stop - 1]] * factors > BLOCK_ENTRIES:
                stop = start + (stop - start) // 2
            block = order[start:stop]
            place = np.arange(lengths[block[-1]])
            real = place < lengths[block, None]
            index = np.full(real.shape, width, dtype=np.int64)
            index[real] = columns[(indptr[block, None] + place)[real]]
            blocks.append((torch.tensor(block), torch.tensor(index)))
            start = stop
        return cls(len(lengths), tuple(blocks))

    def sums(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Sums the vectors y, and the products y yᵀ, over the ones of each row.

        Args:
            vectors: the vector y of each column, [m, d].

        Returns:
            The sums of y yᵀ, [n, d, d], and of y, [n, d].
        """
        d = vectors.shape[1]
        padded = torch.cat([vectors, vectors.new_zeros(1, d)])
        order, squares, sums = [], [vectors.new_zeros(0, d, d)], [vectors.new_zeros(0, d)]
        for rows, columns in self.blocks:
            used = padded[columns]
            order.append(rows)
            squares.append(used.mT @ used)
            sums.append(used.sum(1))
        index = torch.cat([*order, torch.empty(0, dtype=torch.int64)])
        square = vectors.new_zeros(self.count, d, d).index_copy(0, index, torch.cat(squares))
        return square, vectors.new_zeros(self.count, d).index_copy(0, index, torch.cat(sums))


@dataclass(frozen=True, eq=False)
class Vectors:
    """The vectors of a fitted surrogate.

    Args:
        real: the vectors of the real users, [users, d].
        fake: the vectors of the fake users, [fakes, d].
        items: the vectors of the items, [items, d].
    """

    real: Tensor
    fake: Tensor
    items: Tensor


class Surrogate:
    """A weighted matrix factorisation of real and fake users.

    The vectors x_u of users and y_i of items minimise Σ ℓ(r_ui, ⟨x_u, y_i⟩) + λ (Σ ‖x_u‖² + Σ ‖y_i‖²) over all pairs of
    a user u and an item i (Hu et al., ICDM 2008, eq. 3). The entry r_ui is 1 if u has i, and 0 otherwise. The loss of a
    score s is ℓ(1, s) = (1 + α) (1 − s)² for an interaction, and ℓ(0, s) = s² for any other pair. An entry a of a fake
    profile may be a fraction. Its loss is the mixture (1 − a) ℓ(0, s) + a ℓ(1, s), which equals the loss above if a is
    0 or 1. Each half of a round of alternating least squares is one ridge regression per row, so the vectors are
    differentiable in the profiles. The rows of the real users are constants.

    Args:
        train: the training items of the real users that the attack sees.
        factors: the number of entries of a vector, d.
        confidence: the weight α.
        weight_decay: the weight λ.
        generator: the source of the first item vectors.
        dtype: the type of all numbers.
    """

    def __init__(
        self,
        train: Interactions,
        factors: int,
        confidence: float,
        weight_decay: float,
        generator: np.random.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        users, items = train.users(), train.items
        by_item = np.argsort(items, kind="stable")
        starts = np.concatenate([[0], np.cumsum(train.counts())]).astype(np.int64)
        self.by_user = Rows.of(train.indptr, items, train.n_items, factors)
        self.by_item = Rows.of(starts, users[by_item], train.n_users, factors)
        self.confidence, self.weight_decay = confidence, weight_decay
        self.start = torch.from_numpy(generator.normal(0, START, (train.n_items, factors))).to(dtype)

    def fit(self, profiles: Tensor, rounds: int, unrolled: int = 0) -> Vectors:
        """Fits the vectors by alternating least squares, from the first item vectors.

        Args:
            profiles: the profiles of the fake users, [fakes, items], with entries from 0 to 1.
            rounds: the number of rounds, in which all users and then all items are solved.
            unrolled: the number of last rounds through which gradients with respect to ``profiles`` flow. The memory
                grows with this number, and not with ``rounds``.
        """
        vectors = Vectors(self.start[:0], self.start[:0], self.start)
        with torch.no_grad():
            for _ in range(rounds - unrolled):
                vectors = self.next_round(vectors.items, profiles)
        for _ in range(min(rounds, unrolled)):
            vectors = self.next_round(vectors.items, profiles)
        return vectors

    def next_round(self, items: Tensor, profiles: Tensor) -> Vectors:
        """Returns the vectors after one more round of alternating least squares.

        The best vectors of all users are computed for fixed item vectors. Then the best vectors of all items are
        computed for these vectors of users.

        Args:
            items: the item vectors of the previous round, [items, d].
            profiles: the profiles of the fake users, [fakes, items].
        """
        real, fake = self.users(items, profiles)
        return Vectors(real, fake, self.items(real, fake, profiles))

    def users(self, items: Tensor, profiles: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the best vectors of real users, [users, d], and fake users, [fakes, d].

        The vectors of the items are fixed.
        """
        shared = self._regularised(items.mT @ items)
        squares, sums = self.by_user.sums(items)
        real = _solve(shared + self.confidence * squares, (1 + self.confidence) * sums)
        right = (1 + self.confidence) * (profiles @ items)
        step = max(1, BLOCK_ENTRIES // items.numel())
        parts = zip(torch.split(profiles, step), torch.split(right, step), strict=True)
        fakes = [_solve(shared + self.confidence * ((a.unsqueeze(2) * items).mT @ items), b) for a, b in parts]
        return real, torch.cat([*fakes, items[:0]])

    def items(self, real: Tensor, fake: Tensor, profiles: Tensor) -> Tensor:
        """Returns the best vectors of the items, [items, d], for fixed vectors of users."""
        left, right = self.item_systems(real, fake, profiles)
        return _solve(left, right)

    def item_systems(self, real: Tensor, fake: Tensor, profiles: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the left sides and the right sides of the items' linear systems.

        They have the shapes [items, d, d] and [items, d].
        """
        d = real.shape[1]
        shared = self._regularised(real.mT @ real + fake.mT @ fake)
        squares, sums = self.by_item.sums(real)
        outer = (fake.unsqueeze(2) * fake.unsqueeze(1)).flatten(1)
        squares = squares + (profiles.mT @ outer).view(-1, d, d)
        return shared + self.confidence * squares, (1 + self.confidence) * (sums + profiles.mT @ fake)

    def _regularised(self, gram: Tensor) -> Tensor:
        return gram + self.weight_decay * torch.eye(len(gram), dtype=gram.dtype)


def _solve(left: Tensor, right: Tensor) -> Tensor:
    """Returns the solutions of positive definite systems, [n, d]."""
    solution: Tensor = torch.linalg.solve(left, right.unsqueeze(2)).squeeze(2)
    return solution
