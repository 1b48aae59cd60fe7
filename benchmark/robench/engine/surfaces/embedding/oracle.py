"""Answers an attack's queries about perturbed embedded inputs and counts them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from robench.api.attacks.ball import Delta, masked
from robench.api.attacks.base import Evaluation, LossName, OwnLoss
from robench.api.errors import PluginError
from robench.api.models.torch import Batch, Embedded, TorchModel
from robench.api.rng import Rng
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.draws import Draws
from robench.engine.attack.goal import Goal
from robench.engine.attack.gradients import gradient_of
from robench.engine.attack.users import UserOracle
from robench.engine.rank.chunk import FEWEST, EvaluationChunk, join_evaluation_chunks
from robench.engine.rank.mask import Mask
from robench.engine.surfaces.embedding.noise import UserNoise


@dataclass(eq=False)
class EmbeddingOracle(UserOracle[Delta]):
    """An ``Oracle`` for one chunk of users on the surface ``embedding``.

    Instances are built by ``embed``.

    Args:
        model: the victim, in evaluation mode.
        batch: the batch of B queries.
        chunk: the masks and held-out items of the same users.
        goal: the goal of these users.
        draws: the random streams for a victim that draws random numbers at test time.
        clean: the genuine embedded inputs.
        costs: the counts of the attack's queries.
        diagnosis: the diagnosis of the attack's gradients.
    """

    model: TorchModel
    batch: Batch
    chunk: EvaluationChunk
    goal: Goal
    draws: Draws
    clean: Embedded
    costs: Costs = field(default_factory=Costs)
    diagnosis: Diagnosis = field(default_factory=Diagnosis)

    @classmethod
    def embed(
        cls,
        model: TorchModel,
        batch: Batch,
        chunk: EvaluationChunk,
        goal: Goal,
        draws: Draws,
        costs: Costs,
        diagnosis: Diagnosis,
    ) -> EmbeddingOracle:
        """Builds an oracle that has embedded and judged the genuine inputs."""
        with torch.no_grad():
            clean = model.embed(batch)
        oracle = cls(model, batch, chunk, goal, draws, clean, costs, diagnosis)
        oracle.judge_genuine(oracle.zero())
        return oracle

    @cached_property
    def _mask(self) -> Mask:
        return Mask(self.chunk, self.goal.k + self.goal.items.shape[1])

    @cached_property
    def _all_valid(self) -> bool:
        """True if every place of the inputs may be perturbed."""
        return all(bool(valid.all()) for valid in self.clean.valid.values())

    def zero(self) -> dict[str, Tensor]:
        """Returns the perturbation δ = 0."""
        return self.clean.zero()

    def lengths(self) -> Tensor:
        """Returns the number of entries that may be perturbed in each row, float [B]."""
        return self.clean.sizes()

    def checked(self, proposal: Any) -> dict[str, Tensor]:
        """Checks a proposal and sets the entries that may not be perturbed to zero.

        Raises:
            PluginError: if the proposal does not map the inputs to tensors of their shapes, or is not finite.
        """
        if not isinstance(proposal, Mapping):
            kind = type(proposal).__name__
            raise PluginError(f"the attack gave a {kind}, not a δ per input (does it return δ instead of yielding it?)")
        for name, part in self.clean.inputs.items():
            if not isinstance(proposal.get(name, part), Tensor):
                kind = type(proposal[name]).__name__
                raise PluginError(f"the attack gave a {kind} for input '{name}', not a tensor")
            if name not in proposal or proposal[name].shape != part.shape:
                shape = tuple(proposal[name].shape) if name in proposal else "nothing"
                raise PluginError(f"the attack gave {shape} for input '{name}' of shape {tuple(part.shape)}")
            if not bool(torch.isfinite(proposal[name]).all()):
                raise PluginError(f"the attack gave a δ that is not finite for input '{name}'")
        return masked({name: proposal[name].detach() for name in self.clean.inputs}, self.clean.valid)

    def scores(self, delta: Delta) -> Tensor:
        """Returns the masked scores of perturbed inputs, float [B, n_items].

        The scores are differentiable, and the query is not counted.
        """
        missing = FEWEST - len(self.batch.users)
        if missing <= 0:
            return self._mask(self.model.score_from(self.batch, self._inputs_at(delta)))
        batch, e = self._padded
        padded = {name: pad(part, (0, 0) * (part.dim() - 1) + (0, missing)) for name, part in delta.items()}
        return self._mask(self.model.score_from(batch, e.plus(padded))[:-missing])

    @cached_property
    def _padded(self) -> tuple[Batch, Embedded]:
        """A batch of ``FEWEST`` rows that repeats the users, and its embedded inputs."""
        place = torch.arange(FEWEST, device=self.batch.users.device) % len(self.batch.users)
        batch = Batch(self.batch.users[place], self.batch.histories[place])
        with torch.no_grad():
            return batch, self.model.embed(batch)

    def _inputs_at(self, delta: Delta) -> Embedded:
        # If every entry may be perturbed, no multiplication by the valid entries is needed.
        if not self._all_valid or delta.keys() != self.clean.inputs.keys():
            return self.clean.plus(delta)
        return replace(self.clean, inputs={name: part + delta[name] for name, part in self.clean.inputs.items()})

    def scores_at(self, perturbed: Delta) -> Tensor:
        """Returns the masked scores of perturbed inputs, float [B, n_items].

        The scores have no gradient, and the query is not counted.
        """
        with torch.no_grad():
            return self.scores(perturbed)

    def rivals(self, count: int) -> Tensor:
        """Returns each user's best items, except masked and held-out items.

        The scores are those of the genuine inputs. The query is not counted.

        Returns:
            The items, int64 [B, at most count], best first.
        """
        with torch.no_grad():
            scores = self.scores(self.zero())
            row = torch.arange(len(scores), device=scores.device).unsqueeze(1).expand_as(self.chunk.held)
            valid = self.chunk.held >= 0
            scores[row[valid], self.chunk.held[valid]] = -torch.inf
            fewest = int((scores > -torch.inf).sum(1).min())
            return scores.topk(min(count, fewest), dim=1).indices

    def evaluate(self, delta: Delta, loss: LossName | OwnLoss = "ce") -> Evaluation:
        """Returns the loss and the outcome for perturbed inputs, without a gradient."""
        return self.evaluate_loss(delta, loss)

    def gradient(self, delta: Delta, loss: LossName | OwnLoss = "ce", rival: Tensor | None = None) -> Evaluation:
        """Returns the loss, the outcome and the gradient for perturbed inputs.

        Entries that may not be perturbed have a gradient of 0.
        """
        leaves = {name: part.detach().requires_grad_() for name, part in delta.items()}
        values, draws, slopes = [], [], []
        for context in self.count_draws(gradients=True):
            with torch.enable_grad(), context:
                scores = self.scores(leaves)
                value = self.goal.loss(scores, loss, rival)
                slopes.append(gradient_of(value, leaves))
            values.append(value.detach())
            draws.append(scores.detach())
        # Entries that may not be perturbed have gradient 0, because δ is multiplied by ``valid``.
        return self.evaluation(values, draws, self.average_gradient(slopes))

    def normal(self, rng: Rng) -> dict[str, Tensor]:
        """Draws standard normal entries at the places that may be perturbed.

        Each user has a separate random stream, so the values do not depend on the chunks.
        """
        return self._noise.draw(rng, "normal")

    def uniform(self, rng: Rng) -> dict[str, Tensor]:
        """Draws uniform entries in [−1, 1] at the places that may be perturbed.

        Each user has a separate random stream, so the values do not depend on the chunks.
        """
        return self._noise.draw(rng, "uniform")

    @cached_property
    def _noise(self) -> UserNoise:
        return UserNoise(self.chunk.users, self.clean.inputs, self.clean.valid)

    def rows(self, chosen: Tensor, costs: Costs | None = None, expectation: int | None = None) -> EmbeddingOracle:
        """Returns an oracle for the users at some positions (int64 [b]).

        The new oracle shares the diagnosis. By default, the costs and the expectation are also those of this oracle.
        """
        return self.pooled([self], [chosen], costs, expectation)

    @classmethod
    def pooled(
        cls,
        oracles: Sequence[EmbeddingOracle],
        places: Sequence[Tensor],
        costs: Costs | None = None,
        expectation: int | None = None,
    ) -> EmbeddingOracle:
        """Returns an oracle for some users of several oracles of one victim.

        The new oracle shares the diagnosis. By default, the costs and the expectation are those of the first oracle.

        Args:
            oracles: oracles of the same form.
            places: the positions of the users in each oracle, int64 [b].
            costs: the counts of the attack's queries.
            expectation: the number of scorings over which an evaluation by the attack averages.
        """
        first, pairs = oracles[0], list(zip(oracles, places, strict=True))
        batch = Batch(
            torch.cat([one.batch.users[place] for one, place in pairs]),
            torch.cat([one.batch.histories[place] for one, place in pairs]),
        )
        chunk = join_evaluation_chunks([one.chunk.rows(place) for one, place in pairs])
        goal = replace(first.goal, items=torch.cat([one.goal.items[place] for one, place in pairs]))
        draws = replace(first.draws, expectation=expectation or first.draws.expectation)
        return cls.embed(first.model, batch, chunk, goal, draws, costs or first.costs, first.diagnosis)

    @property
    def form(self) -> Hashable:
        """The shapes of one user's inputs, history, goal and held-out items."""
        inputs = tuple((name, part.shape[1:]) for name, part in self.clean.inputs.items())
        return inputs, self.batch.histories.shape[1:], self.goal.items.shape[1:], self.chunk.held.shape[1:]
