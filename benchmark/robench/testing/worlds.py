"""Small worlds with a known truth, and reference models to attack and defend.

The conformance classes and robench's own tests use these worlds and models.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from robench.api.data import Catalogue, Interactions, Item, TrainData, joined
from robench.api.defense import Defense
from robench.api.models.base import Model
from robench.api.models.pairwise import PairwiseModel
from robench.api.models.sequence import SequenceConfig, SequenceModel
from robench.api.models.torch import Batch, Embedded, TorchConfig
from robench.api.rng import Rng
from robench.api.surfaces import Surface
from robench.engine.fit.loop import fit
from robench.engine.fit.training import FitReport
from robench.engine.measure import MeasuredVictim

CPU = torch.device("cpu")


def catalogue(n_items: int) -> Catalogue:
    """Returns a catalogue in which item i has the genre i modulo 4.

    The vector of an item has 6 numbers. The largest one of the first 4 shows the genre.
    """
    items = (Item(f"Title {i}", 2000, (f"genre {i % 4}",)) for i in range(n_items))
    vectors = 0.3 * np.random.default_rng(0).standard_normal((n_items, 6)).astype(np.float32)
    vectors[np.arange(n_items), np.arange(n_items) % 4] += 2
    return Catalogue(tuple(str(i) for i in range(n_items)), tuple(items), vectors)


def checkerboard(n_users: int = 40, n_items: int = 24, seed: int = 0) -> tuple[TrainData, Interactions]:
    """Returns a world in which users use only items of their own parity.

    Each user lacks a few items of the user's own colour (parity), and one of these items is held out. A model that has
    learnt the board ranks this item above every item of the other colour. There are no validation items, so a fit runs
    all epochs and keeps the last weights.

    Returns:
        The data that a fit may see, and the held-out item of each user.
    """
    generator = np.random.default_rng(seed)
    train, validation, test = [], [], []
    for user in range(n_users):
        own = generator.permutation(np.arange(user % 2, n_items, 2))
        train.append(own[: len(own) - 4])
        validation.append(own[:0])
        test.append(own[-1:])
    rows = [Interactions.from_rows(part, n_items) for part in (train, validation, test)]
    return TrainData(rows[0], rows[1], catalogue(n_items)), rows[2]


def crowd(
    n_users: int = 60, n_items: int = 40, length: int = 10, seed: int = 0, *, ragged: bool = False
) -> tuple[TrainData, Interactions]:
    """Returns a world in which each user mostly likes items of one genre.

    About four fifths of user u's items have the genre u modulo 4.

    Args:
        n_users: the number of users.
        n_items: the size of the catalogue.
        length: the number of training items of each user. A validation item and a test item are added.
        seed: the seed of all draws.
        ragged: whether histories have different lengths. If so, user u loses the first ``u modulo (length − 1)``
            training items.

    Returns:
        The data that a fit may see, and the held-out item of each user.
    """
    generator = np.random.default_rng(seed)
    sequences = []
    for user in range(n_users):
        pool = list(generator.permutation(np.arange(user % 4, n_items, 4)))
        noise = [i for i in generator.permutation(n_items).tolist() if i % 4 != user % 4]
        row = [pool.pop() if generator.random() < 0.8 and pool else noise.pop() for _ in range(length + 2)]
        sequences.append(row)
    if ragged:
        sequences = [row[user % (length - 1) :] for user, row in enumerate(sequences)]
    parts = [[row[:-2] for row in sequences], [row[-2:-1] for row in sequences], [row[-1:] for row in sequences]]
    train, validation, test = (Interactions.from_rows(part, n_items) for part in parts)
    return TrainData(train, validation, catalogue(n_items)), test


class ReferencePairwise(PairwiseModel):
    """A minimal matrix factorisation with 16 factors."""

    class Config(TorchConfig):
        """The settings, chosen so that a fit takes about a second."""

        epochs: int = 30
        batch_size: int = 64
        learning_rate: float = 0.02

    tables: ClassVar[tuple[str, ...]] = ("user_vectors.weight", "item_vectors.weight")

    def build(self, data: TrainData, rng: Rng) -> None:
        """Creates the tables of user vectors and item vectors."""
        self.user_vectors = self.user_table(data, 16, 0.1, rng)
        self.item_vectors = nn.Embedding(data.n_items, 16)
        nn.init.normal_(self.item_vectors.weight, std=0.1)

    def embed(self, batch: Batch) -> Embedded:
        """Returns the input ``user``, float [B, 16]."""
        users = self.user_vectors(batch.users)
        valid = torch.ones(len(users), dtype=torch.bool, device=users.device)
        return Embedded({"user": users}, {"user": valid}, {"items": self.item_vectors.weight})


class ReferenceFeatures(ReferencePairwise):
    """A minimal matrix factorisation that also reads vectors of items.

    A projection of the item's vector is added to the item's factors."""

    feature_table: ClassVar[str] = "item_features"
    surfaces: ClassVar[frozenset[Surface]] = frozenset({"embedding", "parameters", "features"})
    item_features: Tensor

    def build(self, data: TrainData, rng: Rng) -> None:
        """Creates the tables and the projection of the vectors of items."""
        super().build(data, rng)
        assert data.catalogue.vectors is not None  # the catalogues of this module have vectors
        self.register_buffer("item_features", torch.tensor(data.catalogue.vectors), persistent=False)
        self.projection = nn.Linear(self.item_features.shape[1], 16, bias=False)

    def embed(self, batch: Batch) -> Embedded:
        """Returns the input ``user``, float [B, 16]."""
        e = super().embed(batch)
        return replace(e, context={"items": e.context["items"] + self.projection(self.item_features)})


class ReferenceSequence(SequenceModel):
    """A minimal recurrent model, with dropout so that random streams matter."""

    class Config(SequenceConfig):
        """The settings, chosen so that a fit takes about a second."""

        dim: int = 16
        max_length: int = 12
        epochs: int = 15
        batch_size: int = 16
        learning_rate: float = 0.02

    def build_layers(self) -> None:
        """Creates a GRU layer and a dropout layer."""
        self.gru = nn.GRU(self.config.dim, self.config.dim, batch_first=True)
        self.drop = nn.Dropout(self.config.dropout)

    def states(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the states of the GRU, float [B, L, dim]."""
        out: Tensor = self.drop(self.gru(self.drop(e.inputs["items"]))[0])
        return out


def fitted(model: Model, data: TrainData, defense: Defense | None = None, *, seed: int = 0) -> tuple[Model, FitReport]:
    """Fits a model with the host's training loop.

    Returns:
        The model, and the report of the fit.
    """
    report = fit(model, data, defense or Defense(), Rng(seed).child("fit"), device=CPU)
    return model, report


def measured_victim(model: Model, data: TrainData, test: Interactions, *, seed: int = 0) -> MeasuredVictim:
    """Returns a fitted model that is ready to be measured on all real users."""
    history, users = joined(data.train, data.validation), np.arange(data.n_real_users)
    return MeasuredVictim(model, history, test, users, seed, data.catalogue)


@cache
def reference_victim(kind: str) -> MeasuredVictim:
    """Returns a victim with a reference model, fitted on ``crowd``.

    The model is fitted once per process.

    Args:
        kind: ``pairwise``, ``features`` (a pairwise model that reads vectors of items), ``sequence``, or ``ragged`` (a
            sequence model on histories of different lengths).
    """
    data, test = crowd(ragged=kind == "ragged")
    kinds: dict[str, type[Model]] = {"pairwise": ReferencePairwise, "features": ReferenceFeatures}
    model = kinds.get(kind, ReferenceSequence)()
    return measured_victim(fitted(model, data)[0], data, test)


def same_state(first: Model, second: Model) -> bool:
    """Returns whether two models have the same state."""
    states = first.state(), second.state()
    return states[0].keys() == states[1].keys() and all(np.array_equal(states[0][n], states[1][n]) for n in states[0])
