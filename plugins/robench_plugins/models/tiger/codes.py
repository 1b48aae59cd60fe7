"""Turns text vectors into codes by residual k-means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robench.pretrained import cached_array

LEVELS = 3
LEAST_CODES = 4  # the least number of codes per level
ROUNDS = 50  # the most rounds of Lloyd's algorithm per level
EXACT = 1e6  # distances are compared in steps of 1 / EXACT, so that rounding never tells two equal texts apart


def codes_per_level(n_items: int) -> int:
    """Returns the number of codes per level for a catalogue.

    The number is the smallest power of two with which there are at least twice as many triples of codes as items.
    """
    size = LEAST_CODES
    while size**LEVELS < 2 * n_items:
        size *= 2
    return size


def fit_codebooks(vectors: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Clusters vectors by residual k-means.

    The first level clusters the vectors. Every further level clusters the residuals, which are the differences between
    the vectors and their centroids so far. The vectors are sorted first, so their order does not matter.

    Args:
        vectors: the vectors of the texts, float [n, D].
        size: the number of codes per level, K.

    Returns:
        The centroids, float [3, K, D]. If there are fewer than K different residuals, the last centroids are 0.
    """
    residual = np.unique(vectors, axis=0).astype(np.float64)
    generator = np.random.default_rng(0)
    books = np.zeros((LEVELS, size, vectors.shape[1]))
    for book in books:
        centroids = _cluster(residual, size, generator)
        book[: len(centroids)] = centroids
        residual = residual - book[_squared_distances(residual, book).argmin(1)]
    return books.astype(np.float32)


def catalogue_codebooks(identity: str, texts: Sequence[str], vectors: Tensor, size: int) -> Tensor:
    """Returns the codebooks of a catalogue, float [3, K, D].

    They are fitted once per machine.

    Args:
        identity: the digest of the encoder's files and settings.
        texts: the text of each item.
        vectors: the vectors of the texts, float [n_items, D].
        size: the number of codes per level, K.
    """
    # The order of the items must not matter, so the key has the different texts in their own order.
    key = {"encoder": identity, "texts": sorted(set(texts)), "codes": size}
    return torch.from_numpy(cached_array("codebooks", key, lambda: fit_codebooks(vectors.numpy(), size)))


def _squared_distances(vectors: NDArray[np.float64], centroids: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the squared distances of vectors and centroids, float64 [n, K]."""
    squares = (vectors**2).sum(1)[:, None] + (centroids**2).sum(1)
    return np.asarray(np.maximum(squares - 2 * vectors @ centroids.T, 0.0))


def _cluster(vectors: NDArray[np.float64], size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Returns at most ``size`` centroids of vectors, float64 [K, D].

    The first centroids are drawn by k-means++ (Arthur & Vassilvitskii, SODA 2007). A cluster that loses all its vectors
    starts again at the vector that is farthest from its centroid.
    """
    centroids = vectors[[int(generator.integers(len(vectors)))]]
    while len(centroids) < size:
        distance = _squared_distances(vectors, centroids).min(1)
        distance[distance < 1 / EXACT] = 0.0
        if not distance.any():
            return centroids
        chosen = int(generator.choice(len(vectors), p=distance / distance.sum()))
        centroids = np.concatenate([centroids, vectors[[chosen]]])
    for _ in range(ROUNDS):
        distance = _squared_distances(vectors, centroids)
        own = distance.argmin(1)
        member = (own == np.arange(len(centroids))[:, None]).astype(np.float64)
        counts = member.sum(1)
        new = member @ vectors / np.maximum(counts, 1)[:, None]
        farthest = np.argsort(-distance.min(1), kind="stable")
        for empty, row in zip(np.flatnonzero(counts == 0), farthest, strict=False):
            new[empty] = vectors[row]
        if np.array_equal(new, centroids):
            break
        centroids = new
    return centroids


@dataclass(frozen=True, eq=False)
class ItemCodes:
    """The codes of all items, a function of their text vectors alone.

    Items whose first three codes are equal collide. A fourth code tells them apart, in the order of their distances to
    the sum of their centroids. So no code depends on the number of an item. Items with the same text have the same
    codes. If more than K texts collide, those from the K-th on share one fourth code.

    Args:
        codes: the codes of each item, int64 [n_items, 4]. The fourth is 0 for an item that collides with no other text,
            and from 1 to K otherwise.
        size: the number of codes per level, K.
    """

    codes: Tensor
    size: int

    @classmethod
    def of(cls, texts: Tensor, books: Tensor) -> ItemCodes:
        """Returns the codes of items.

        Args:
            texts: the text vectors, float [n_items, D].
            books: the centroids, float [3, K, D].
        """
        size = books.shape[1]
        with torch.no_grad():
            levels, residual = nearest_codes(texts, books)
            distance = (residual.square().sum(1).sqrt() * EXACT).round().long()
            # The rows are sorted, so the different texts of a leaf are neighbours, with the nearest one first.
            rows, text = torch.unique(torch.cat([levels, distance[:, None]], 1), dim=0, return_inverse=True)
            _, leaf, count = torch.unique(rows[:, :LEVELS], dim=0, return_inverse=True, return_counts=True)
            first = count.cumsum(0) - count
            fourth = (torch.arange(len(rows), device=texts.device) - first[leaf] + 1).clamp_max(size)
            fourth = torch.where(count[leaf] > 1, fourth, 0)[text]
        return cls(torch.cat([levels, fourth[:, None]], 1), size)

    def tokens(self) -> Tensor:
        """Returns the token of each code, int64 [n_items, 4].

        Token 0 is the start. The tokens of every level follow those of the level before.
        """
        return self.codes + 1 + self.size * torch.arange(LEVELS + 1, device=self.codes.device)


def n_tokens(size: int) -> int:
    """Returns the number of tokens for K codes per level.

    There are one token for the start, 3 K for the levels, and K + 1 for the fourth code.
    """
    return 2 + (LEVELS + 1) * size


def nearest_codes(texts: Tensor, books: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the first three codes of texts, and the last residuals.

    The code of a level is that of the centroid nearest to the residual.

    Args:
        texts: the text vectors, float [n, D].
        books: the centroids, float [3, K, D].

    Returns:
        The codes, int64 [n, 3], and the last residuals, float64 [n, D].
    """
    residual, levels = texts.double(), []
    for book in books.double():
        # In double precision, the place of a text in the matrix cannot decide which centroid is nearest.
        levels.append(_closeness(residual, book).argmax(1))
        residual = residual - book[levels[-1]]
    return torch.stack(levels, 1), residual


def _closeness(residual: Tensor, book: Tensor) -> Tensor:
    """Returns minus the squared distances, up to a constant per text, [n, K]."""
    return 2 * residual @ book.T - book.square().sum(1)


def soft_codes(texts: Tensor, books: Tensor) -> Tensor:
    """Returns weights of codes with a gradient, [n, 3, K].

    A weight is 1 at the code of a text, and 0 at other codes. A code is a step function of the text, so its gradient is
    0. Here the weights have the gradient of a softmax of minus the squared distances to the centroids instead. This is
    a straight-through estimate (Bengio et al., 2013). The temperature of a level is the mean of the squared distances
    of all texts to their nearest centroids.

    Args:
        texts: the text vectors, float [n, D].
        books: the centroids, float [3, K, D].
    """
    residual, weights = texts, []
    for book in books.to(texts):
        closeness = _closeness(residual, book) - residual.square().sum(1, keepdim=True)
        nearest = closeness.argmax(1)
        temperature = closeness.detach().amax(1).mean().neg().clamp_min(1e-6)
        soft = (closeness / temperature).softmax(1)
        hard = torch.zeros_like(soft).scatter_(1, nearest[:, None], 1.0)
        weights.append(hard + (soft - soft.detach()))
        residual = residual - book[nearest]
    return torch.stack(weights, 1)
