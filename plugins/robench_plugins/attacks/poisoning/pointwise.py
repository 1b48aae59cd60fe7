"""A matrix factorisation that is trained on single pairs, step by step.

The attacks ``dpa2dl`` and ``rapu-r`` use it as their surrogate of the victim.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from robench.api import BaseConfig, IntArray, Interactions, Profiles, Rng
from robench.api.component import LATER
from robench_plugins.attacks.poisoning.fake_users import FakeUserAttack, FakeUserConfig

NEGATIVES = 4  # negatives per interaction
START = 0.1  # the standard deviation of the first entries of all vectors


class PointwiseConfig(FakeUserConfig):
    """The settings that ``dpa2dl`` and ``rapu-r`` share.

    The training of the surrogate is counted in steps. The papers count epochs, which have fewer steps on smaller data.
    An epoch of MovieLens 100K has 39 steps.
    """

    goal: Literal["promote"] = Field(
        default="promote", description="These attacks push targets up only", json_schema_extra=LATER
    )
    first_steps: int = Field(default=400, ge=0, description="Steps of the surrogate before the first fake user")
    steps_per_fake: int = Field(default=20, ge=1, description="Steps of the surrogate for every group of fake users")
    group: int = Field(default=1, ge=1, description="Fake users that are made together")
    factors: int = Field(default=32, ge=1, description="Dimensions of the surrogate's vectors")
    batch_size: int = Field(default=2048, ge=1, description="Interactions in a step of the surrogate")
    learning_rate: float = Field(default=1e-2, gt=0, description="Learning rate of Adam")
    weight_decay: float = Field(default=1e-3, ge=0, description="Weight of the L2 penalty on the vectors of a batch")


class FillerState:
    """The inputs and the state of the choice of fillers, for all fake users.

    Args:
        train: the training items of the real users that the attack sees.
        targets: the promoted items, int64 [T].
        count: the number of fillers of a profile.
        generator: the source of random choices.

    Attributes:
        preference: the factor by which an attack weighs each item when it chooses fillers, float64 [n_items].
    """

    def __init__(self, train: Interactions, targets: IntArray, count: int, generator: torch.Generator) -> None:
        self.train, self.targets, self.count, self.generator = train, targets, count, generator
        self.preference = np.ones(train.n_items)


class PointwiseSurrogate(nn.Module):
    """A matrix factorisation of real and fake users with the binary cross-entropy.

    The score of user u and item i is ⟨x_u, y_i⟩ for their vectors x_u and y_i. Its sigmoid is the predicted probability
    of an interaction. A step of Adam lowers the mean loss of a batch, plus the L2 penalty of its vectors. A batch has
    random interactions, and ``NEGATIVES`` uniform negatives for each of them. The interactions of the newest fake users
    are in every batch, so that few steps suffice for their vectors.

    Args:
        train: the training items of the real users that the attack sees.
        n_fakes: the number of fake users.
        config: the settings of the attack.
        rng: the stream of this surrogate.
    """

    def __init__(self, train: Interactions, n_fakes: int, config: PointwiseConfig, rng: Rng) -> None:
        super().__init__()
        self.config, self.n_real = config, train.n_users
        self.draws = rng.child("batches").torch()
        start = rng.child("vectors").torch()
        shapes = [(train.n_users + n_fakes, config.factors), (train.n_items, config.factors)]
        users, items = (torch.randn(shape, generator=start) * START for shape in shapes)
        self.user_vectors, self.item_vectors = nn.Parameter(users), nn.Parameter(items)
        self.pairs = torch.tensor(np.stack([train.users(), train.items]))
        self.optimizer = torch.optim.Adam(self.parameters(), lr=config.learning_rate)
        self.newest, self.steps = self.pairs.shape[1], 0

    def add(self, fake: int, items: IntArray) -> None:
        """Adds interactions of a fake user to the training data.

        Args:
            fake: the number of the fake user, from 0.
            items: the items of the interactions, int64 [any number].
        """
        user = torch.full((len(items),), self.n_real + fake)
        self.pairs = torch.cat([self.pairs, torch.stack([user, torch.tensor(items)])], dim=1)

    def scores(self, users: Tensor) -> Tensor:
        """Returns the scores of all items for some users, [B, I]."""
        return self.user_vectors[users] @ self.item_vectors.mT

    def train_steps(self, count: int, extra: Callable[[], Tensor] | None = None) -> None:
        """Takes steps of Adam.

        Args:
            count: the number of steps.
            extra: a function that returns a further loss, which is added to the loss of each batch.
        """
        for _ in range(count):
            with torch.enable_grad():
                loss = self.batch_loss()
                if extra is not None:
                    loss = loss + extra()
                self.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
            self.optimizer.step()
        self.steps += count

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Restores the vectors and the state of Adam at the end of a block."""
        vectors, adam = copy.deepcopy(self.state_dict()), copy.deepcopy(self.optimizer.state_dict())
        try:
            yield
        finally:
            self.load_state_dict(vectors)
            self.optimizer.load_state_dict(adam)

    def batch_loss(self) -> Tensor:
        """Returns the loss of a random batch, a scalar."""
        count = self.pairs.shape[1]
        chosen = torch.randint(count, (min(self.config.batch_size, count),), generator=self.draws)
        chosen = torch.cat([chosen, torch.arange(self.newest, count)])
        users, positives = self.pairs[:, chosen]
        negatives = torch.randint(len(self.item_vectors), (len(users), NEGATIVES), generator=self.draws)
        x = self.user_vectors[users]
        y = self.item_vectors[torch.cat([positives[:, None], negatives], dim=1)]
        logits = (y @ x.unsqueeze(2)).squeeze(2)
        labels = torch.zeros_like(logits)
        labels[:, 0] = 1
        penalty = (x.square().sum() + y.square().sum()) / len(users)
        return functional.binary_cross_entropy_with_logits(logits, labels) + self.config.weight_decay * penalty


class PointwiseAttack(FakeUserAttack):
    """An attack that makes one group of fake users after another.

    A surrogate is trained on the real rows. For every group, the training continues with the real rows and all fake
    users so far. During this training, the new fake users have only the targets. The attack then chooses their fillers.
    """

    Config: ClassVar[type[BaseConfig]] = PointwiseConfig
    config: PointwiseConfig
    surrogate = "pointwise mf"

    @abstractmethod
    def fillers(self, surrogate: PointwiseSurrogate, fakes: range, state: FillerState) -> list[IntArray]:
        """Returns the fillers of each new fake user, int64 arrays without targets.

        Args:
            surrogate: the surrogate, which may be trained further.
            fakes: the numbers of the new fake users, starting at 0.
            state: what the attack knows, and what it keeps from group to group.
        """

    def profiles(
        self, train: Interactions, *, targets: IntArray, n_users: int, profile_size: int, rng: Rng
    ) -> Profiles:
        """Returns ``n_users`` profiles of ``profile_size`` distinct items.

        A profile always has all targets, even if there are more than ``profile_size``. A profile is shorter if the
        catalogue has too few other items.
        """
        c = self.config
        surrogate = PointwiseSurrogate(train, n_users, c, rng)
        count = min(self.count_fillers(targets, profile_size), train.n_items - len(targets))
        state = FillerState(train, targets, count, rng.child("fillers").torch())
        surrogate.train_steps(c.first_steps)
        rows: list[IntArray] = []
        for first in range(0, n_users, c.group):
            fakes = range(first, min(first + c.group, n_users))
            surrogate.newest = surrogate.pairs.shape[1]
            for fake in fakes:
                surrogate.add(fake, targets)
            surrogate.train_steps(c.steps_per_fake)
            for fake, row in zip(fakes, self.fillers(surrogate, fakes, state), strict=True):
                surrogate.add(fake, row)
                rows.append(row)
        arranged = self.arranged(targets, rows, train, rng.child("order").numpy())
        return Profiles(arranged.rows, {"surrogate_fits": 1, "surrogate_steps": surrogate.steps})
