"""Defines fitted victims with their evaluated users, and queries to a victim."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from robench.api.data import Catalogue, IntArray, Interactions
from robench.api.errors import PluginError
from robench.api.models.base import Model
from robench.api.models.torch import Batch, TorchModel
from robench.api.rng import Rng
from robench.api.threat import GoalName
from robench.engine.attack.draws import Draws
from robench.engine.attack.goal import Goal
from robench.engine.attack.measurement import CellArrays, join_chunks, median_arrays
from robench.engine.candidates import candidate_diagnostics
from robench.engine.data.titles import TitleReader
from robench.engine.fit.refit import Refit
from robench.engine.rank.chunk import EvaluationChunk, build_chunk, check_scores, chunk_size, split_users
from robench.engine.rank.ranking import discount
from robench.engine.rank.scoring import device_of, rank_scores, score_users

TINY = 1e-30  # prevents division by a spread of 0
FEW = 8  # the number of users with scores that are computed twice, to detect random draws
NOISE = 1e-4  # the largest difference that counts as deterministic, in standard deviations of the scores


class Queries(NamedTuple):
    """The queries about one chunk of users, with the attack's goal.

    Args:
        batch: the batch of B queries to a neural model.
        chunk: the masks and held-out items of these users, on the model's device.
        goal: the goal of these users.
    """

    batch: Batch
    chunk: EvaluationChunk
    goal: Goal


class EvaluatedVictim:
    """A fitted victim, with the users on which the victim is evaluated.

    Args:
        model: the fitted model, in evaluation mode if it is a ``TorchModel``.
        history: the items that are known at test time, one row per real user.
        held: the held-out items, one row per real user.
        users: the evaluated users, int64 [U].
        seed: the seed for the random streams of the attacks and the host.
        catalogue: the items with their genuine titles. Attacks on titles need the catalogue.
        read: the function by which the defence changes titles, or None if titles do not change.
        negatives: one negative per held-out item, int64, or None. If negatives are given, the scores of held-out items
            and negatives are stored.
        inner: the fitted model before the defence wrapped it, or None if no defence wrapped the model.
        refit: the victim's model and defence with the data of the fit, or None. Attacks on membership need it.
    """

    def __init__(
        self,
        model: Model,
        history: Interactions,
        held: Interactions,
        users: IntArray,
        seed: int,
        catalogue: Catalogue | None = None,
        read: TitleReader | None = None,
        negatives: IntArray | None = None,
        inner: Model | None = None,
        refit: Refit | None = None,
    ) -> None:
        self.model, self.history, self.held, self.users = model, history, held, users
        self.catalogue, self.read, self.negatives, self.inner = catalogue, read, negatives, inner
        self.refit = refit
        # An attack gets ``rng`` and could derive all streams below it, so the host draws from another root.
        self.rng, self._host_rng = Rng(seed).child("attack"), Rng(seed).child("host")
        self._noise: float | None = None
        self.perturbed_noise = 0.0  # the largest such difference at perturbed inputs, which the checks measure
        self._chunks: list[EvaluationChunk] = []

    def chunk_size(self) -> int:
        """Returns the maximum number of users per chunk."""
        return chunk_size(self.history.n_items, device_of(self.model))

    def chunks(self) -> list[EvaluationChunk]:
        """Returns the chunks of evaluated users, which are built on first use."""
        if not self._chunks:
            parts = split_users(self.users, self.chunk_size())
            self._chunks = [build_chunk(users, self.history, self.held, self.negatives) for users in parts]
        return self._chunks

    def noise(self) -> float:
        """Returns the largest difference between two scorings of the same few users.

        The difference is given in standard deviations of the scores. Both scorings run only once per victim.
        """
        if self._noise is None:
            few, scores = self.chunks()[0].users.numpy()[:FEW], []
            for draw in range(2):
                with self._host_rng.child("noise", draw).stream():
                    raw = self.model.scores(few, self.history)
                scores.append(check_scores(raw, len(few), self.history.n_items))
            difference = float(np.abs(scores[1] - scores[0]).max())
            self._noise = difference and difference / max(float(scores[0].std()), TINY)
        return self._noise

    @property
    def check_rng(self) -> Rng:
        """The random stream of the checks, which no attack and no scoring uses."""
        return self._host_rng.child("checks")

    def draws(self, expectation: int = 1, *, perturbed: bool = False) -> Draws:
        """Returns the random streams that scorings of this victim use.

        Args:
            expectation: the number of scorings over which an evaluation by the attack averages.
            perturbed: whether vectors are perturbed. If so, a victim counts as stochastic even if it draws random
                numbers at perturbed vectors only.
        """
        noise = max(self.noise(), self.perturbed_noise if perturbed else 0.0)
        return Draws(self._host_rng.child("draws"), self.rng.child("draws"), noise > NOISE, expectation)

    def neural(self) -> TorchModel:
        """Returns the model as a ``TorchModel``, which has embedded inputs.

        Raises:
            PluginError: if the model is not a ``TorchModel``.
        """
        if not isinstance(self.model, TorchModel):
            raise PluginError(f"{type(self.model).__name__} has no embedded inputs")
        return self.model

    def queries(self, goal: GoalName, k: int, targets: IntArray | None) -> Iterator[Queries]:
        """Yields the queries of each chunk, on the device of the neural model.

        Args:
            goal: the name of the attack's goal.
            k: the length of the top lists to which the goal refers.
            targets: the promoted items, int64 [T], or None if the attack is untargeted.

        Raises:
            PluginError: if the model is not a ``TorchModel``.
        """
        for chunk in self.chunks():
            model = self.neural()
            batch = model.queries(chunk.users.numpy(), self.history).to(model.device)
            on_device = chunk.to(model.device)
            yield Queries(batch, on_device, Goal.of(on_device, goal, k, targets))

    def outcome(self, model: Model, targets: IntArray | None) -> CellArrays:
        """Returns the arrays that a cell stores for all evaluated users.

        Each user's arrays come from the scoring with the median damage.

        Args:
            model: the victim's own model, or a view of this model that reads different titles.
            targets: the targets, for which ranks are also stored, int64 [T].
        """
        parts: list[CellArrays] = []
        for chunk in self.chunks():
            rankings = []
            for context in self.draws().host(last=True):
                with context:
                    raw = score_users(model, chunk.users.numpy(), self.history)
                rankings.append(rank_scores(raw, chunk, targets))
                del raw  # so that the scores of the next chunk can use the same memory
            damages = [_damage(ranking.ranks) for ranking in rankings if len(rankings) > 1]
            parts.append(median_arrays(chunk, rankings, damages, self.history.n_items, targets))
        return join_chunks(parts, self.users)

    def candidate_diagnostics(self, arrays: CellArrays, targets: IntArray | None) -> dict[str, float]:
        """Returns diagnostics about the candidates that the model reranks.

        The result is empty if the model reranks no candidates.
        """
        return candidate_diagnostics(self.model, self.history, self.chunks(), arrays, targets)


def _damage(ranks: Tensor) -> Tensor:
    """Returns the damage of each user, given the ranks of held-out items.

    The damage, float64 [B], is minus the sum of 1 / log2(1 + rank) over these items.
    """
    return -torch.where(ranks > 0, discount(ranks), 0.0).sum(1)
