"""Provides the users, the perturbations and the scorings that the checks share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from robench.api.attacks.ball import Ball, Delta, l2, scaled
from robench.api.data import IntArray, Interactions
from robench.api.errors import PluginError
from robench.api.models.torch import Batch, Embedded, TorchModel
from robench.api.rng import Rng
from robench.engine.rank.chunk import NOT_FINITE, EvaluationChunk, mask_known

RADII = (0.01, 0.05, 0.25)  # the relative L2 radii of the points, as ε of an attack
MIDDLE = 0.05  # the radius at which slopes are compared
TINY = 1e-30


def choose_users(users: IntArray, count: int, rng: Rng) -> IntArray:
    """Returns a random sample of ``users`` in the same order, int64 [at most count]."""
    chosen = rng.child("users").numpy().permutation(len(users))[:count]
    return np.asarray(users[np.sort(chosen)], dtype=np.int64)


@dataclass(eq=False)
class Probe:
    """A sample of a victim's users, with everything that is needed to score them.

    Args:
        model: the victim, in evaluation mode.
        users: the ids of the users, int64 [B].
        own: the users' own batch.
        foreign: a batch with the ids and items of other users, at the same places of the histories.
        chunk: the masks and held-out items of the same users.
        rms: the root mean square of all genuine input entries of the victim.
        rng: the random stream of the checks.
    """

    model: TorchModel
    users: IntArray
    own: Batch
    foreign: Batch
    chunk: EvaluationChunk
    rms: float
    rng: Rng

    @cached_property
    def clean(self) -> Embedded:
        """The genuine embedded inputs of the users."""
        return self._embed(self.own)

    @cached_property
    def elsewhere(self) -> Embedded:
        """The embedded inputs of the foreign batch."""
        return self._embed(self.foreign)

    def _embed(self, batch: Batch) -> Embedded:
        with torch.no_grad(), self.rng.child("embed").stream():
            return self.model.embed(batch)

    @cached_property
    def same_places(self) -> bool:
        """True if the foreign batch has the same valid places as the users' own batch."""
        pairs = ((self.clean.valid[name], self.elsewhere.valid.get(name)) for name in self.clean.valid)
        return all(two is not None and one.shape == two.shape and torch.equal(one, two) for one, two in pairs)

    @cached_property
    def radius(self) -> Tensor:
        """The L2 radius of each user at ε = 1, float [B]."""
        return self.rms * self.clean.sizes().sqrt()

    @cached_property
    def places(self) -> Tensor:
        """The number of places that may be perturbed for each user, float64 [B]."""
        return (
            torch.stack([valid.reshape(len(valid), -1).sum(1) for valid in self.clean.valid.values()]).sum(0).double()
        )

    @cached_property
    def movable(self) -> Tensor:
        """True for each user with entries that may be perturbed: bool [B]."""
        return self.clean.sizes() > 0

    def direction(self, *role: str | int) -> dict[str, Tensor]:
        """Draws a random direction of length 1 for each user.

        Args:
            role: the names and numbers that select the random stream.
        """
        generator = self.rng.child("direction", *role).torch()
        draws = {
            name: torch.randn(part.shape, generator=generator).to(part) * self.clean.valid[name].unsqueeze(-1)
            for name, part in self.clean.inputs.items()
        }
        return unit(draws)

    @cached_property
    def points(self) -> dict[float, dict[str, Tensor]]:
        """One random perturbation per ε in ``RADII``, by ε, all in the same direction."""
        return {epsilon: scaled(self.direction("point"), self.radius * epsilon) for epsilon in RADII}

    @cached_property
    def all_points(self) -> list[dict[str, Tensor]]:
        """The zero perturbation, followed by the perturbations in ``points``."""
        return [self.clean.zero(), *self.points.values()]

    def scores(self, delta: Delta, *, foreign: bool = False, look: int = 0) -> Tensor:
        """Returns the scores of perturbed inputs, float64 [B, n_items].

        The scores have no gradient.

        Args:
            delta: the perturbation of the users' own inputs.
            foreign: whether to use the foreign batch and, if possible, its context.
            look: the number of the random stream. Two scorings with the same number have the same draws.

        Raises:
            PluginError: if a score is not finite.
        """
        with torch.no_grad():
            scores = self.differentiable(delta, foreign=foreign, look=look).double()
        if not bool(torch.isfinite(scores).all()):
            raise PluginError(NOT_FINITE)
        return scores

    def differentiable(self, delta: Delta, *, foreign: bool = False, look: int = 0) -> Tensor:
        """Returns the scores of perturbed inputs, float [B, n_items].

        The scores are differentiable. The arguments are those of ``scores``.
        """
        e = self.clean.plus(delta)
        batch = self.foreign if foreign else self.own
        if foreign and self.same_places:
            e = replace(e, context=self.elsewhere.context)
        with self.rng.child("look", look).stream():
            return self.model.score_from(batch, e)

    @cached_property
    def point_scores(self) -> list[Tensor]:
        """The scores for each perturbation in ``all_points``, float64 [B, n_items]."""
        return [self.scores(delta) for delta in self.all_points]

    @property
    def genuine(self) -> Tensor:
        """The scores of the genuine inputs, float64 [B, n_items]."""
        return self.point_scores[0]

    @cached_property
    def spread(self) -> Tensor:
        """The standard deviation of each user's genuine scores, float64 [B]."""
        return self.genuine.std(1, correction=0).clamp_min(TINY)

    def distance(self, one: Tensor, two: Tensor) -> Tensor:
        """Returns the largest difference between two scores of each user, float64 [B].

        The two scores belong to the same item. The unit is the standard deviation of the user's genuine scores.

        Args:
            one: scores, [B, n_items].
            two: other scores of the same users, [B, n_items].
        """
        return (one - two).abs().amax(1) / self.spread

    @cached_property
    def masked(self) -> Tensor:
        """The genuine scores with −inf at the known items, float64 [B, n_items]."""
        return mask_known(self.genuine, self.chunk)


def unit(delta: Delta) -> dict[str, Tensor]:
    """Returns a perturbation with every row scaled to length 1, except zero rows."""
    return Ball("l2", torch.ones_like(l2(delta))).ascent(delta)


def foreign_batch(model: TorchModel, own: Batch, users: IntArray, history: Interactions, rng: Rng) -> Batch:
    """Returns a batch with the ids and items of other users.

    Each user is paired with one other user. The other user's items replace the user's own items, and repeat if there
    are too few. Padding and special tokens stay where they are.

    Args:
        model: the victim.
        own: the batch of the B users themselves.
        users: the ids of these users, int64 [B].
        history: the known items, one row per real user.
        rng: a random stream.
    """
    others = _other_users(users, history, rng)
    items = own.histories.cpu().numpy().copy()
    for row, other in enumerate(others):
        pool = history.row(int(other))
        places = np.flatnonzero(items[row] < model.n_items) if items.shape[1] else np.empty(0, np.int64)
        if len(pool) and len(places):
            items[row, places] = pool[np.arange(len(places)) % len(pool)]
    device = own.users.device
    return Batch(torch.from_numpy(others).to(device), torch.from_numpy(items).to(own.histories), own.targets)


def _other_users(users: IntArray, history: Interactions, rng: Rng) -> IntArray:
    """Draws another user for each user, int64 [B].

    The other user has at least one item. If fewer than two users have items, the users themselves are returned.
    """
    known = np.flatnonzero(history.lengths() > 0)
    if len(known) < 2:
        return np.array(users, dtype=np.int64)
    drawn = rng.child("others").numpy().choice(known, len(users))
    after = known[(np.searchsorted(known, drawn) + 1) % len(known)]
    return np.asarray(np.where(drawn == users, after, drawn), dtype=np.int64)
