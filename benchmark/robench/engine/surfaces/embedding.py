"""The surface ``embedding``: every user's own δ on the embedded inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from robench.api.attacks.ball import Ball, Delta, l2, linf, masked, sizes, wide
from robench.api.attacks.base import Attack, Evaluation, LossName
from robench.api.attacks.embedding import EmbeddingAttack, MinimumNormAttack
from robench.api.data import IntArray
from robench.api.errors import PluginError
from robench.api.models.torch import Batch, Embedded, TorchModel
from robench.api.rng import Rng
from robench.engine.attack.arena import Arrays, Candidate, Proposed
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.draws import Draws, gradient_of
from robench.engine.attack.goal import Goal
from robench.engine.attack.users import UserArena, UserOracle
from robench.engine.rank.masking import Mask
from robench.engine.rank.ranking import EvaluationChunk, restricted

TINY = 1e-30


@dataclass(eq=False)
class EmbeddingArena(UserArena):
    """One chunk of users.

    Args:
        oracle: of these users.
        ball: the budget, a radius per user.
        unit: the radius at ε = 1, float [B].
        targets: items whose ranks are stored.
    """

    oracle: EmbeddingOracle
    ball: Ball
    unit: Tensor
    targets: IntArray | None = None

    def genuine(self) -> Candidate:
        """δ = 0."""
        return self.oracle.zero()

    def proposals(self, attack: Attack, rng: Rng) -> Iterator[Proposed]:
        """Candidates within the ball."""
        if not isinstance(attack, EmbeddingAttack):
            raise TypeError(f"{type(attack).__name__} perturbs no embedded inputs")
        if isinstance(attack, MinimumNormAttack):
            # It does not know the budget: what does not fit is no attempt to overspend.
            yield from (
                self._fitting(checked(proposed, self.oracle))
                for proposed in attack.perturb(self.oracle, self.ball.copy(), rng)
            )
            return
        yield from attack.perturb(self.oracle, self.ball.copy(), rng)

    def _fitting(self, delta: Candidate) -> Candidate:
        fits = sizes(delta, self.ball.norm) <= self.ball.radius
        return {name: part * wide(fits, part) for name, part in delta.items()}

    def checked(self, proposed: Proposed) -> Candidate:
        """Masked, then projected."""
        return projected(checked(proposed, self.oracle), self.ball, self.costs)

    def rows(self, chosen: Tensor, expectation: int = 1) -> EmbeddingArena:
        """Some users."""
        oracle = self.oracle.rows(chosen, Costs(), expectation)
        return EmbeddingArena(oracle, Ball(self.ball.norm, self.ball.radius[chosen]), self.unit[chosen], self.targets)

    def distances(self, candidate: Candidate) -> Arrays:
        """Lengths of δ."""
        return {
            "l2": l2(candidate).cpu().numpy(),
            "linf": linf(candidate).cpu().numpy(),
            "spent": (sizes(candidate, self.ball.norm) / self.unit.clamp_min(TINY)).cpu().numpy(),
        }


def projected(delta: Candidate, ball: Ball, costs: Costs) -> Candidate:
    """The nearest candidate in the ball, row by row; notes how far it overshot."""
    share = torch.where(ball.radius > 0, sizes(delta, ball.norm) / ball.radius.clamp_min(TINY), 0.0)
    costs.overshoot = max(costs.overshoot, float(share.max()))
    return ball.project(delta)


def checked(proposed: Delta, oracle: EmbeddingOracle) -> dict[str, Tensor]:
    """A candidate with the shapes of the inputs, finite, and zero where nothing may be touched."""
    for name, part in oracle.clean.inputs.items():
        if name not in proposed or proposed[name].shape != part.shape:
            shape = tuple(proposed[name].shape) if name in proposed else "nothing"
            raise PluginError(f"the attack gave {shape} for input '{name}' of shape {tuple(part.shape)}")
        if not bool(torch.isfinite(proposed[name]).all()):
            raise PluginError(f"the attack gave a δ that is not finite for input '{name}'")
    return masked({name: proposed[name].detach() for name in oracle.clean.inputs}, oracle.clean.valid)


@dataclass(eq=False)
class Minimum:
    """What a minimum-norm attack found, reused by every ε: δ per chunk, and its length (inf where not broken)."""

    deltas: list[dict[str, Tensor]]
    lengths: list[Tensor]
    costs: Costs
    diagnosis: Diagnosis

    @classmethod
    def of(cls, attack: MinimumNormAttack, oracles: Iterator[EmbeddingOracle], rng: Rng) -> Minimum:
        """Run the attack on the users to be broken; keep the shortest δ that breaks each.

        Args:
            oracles: of all chunks; costs and diagnosis are those of the first.
        """
        result = cls([], [], Costs(), Diagnosis())
        for oracle in oracles:
            oracle.costs, oracle.diagnosis = result.costs, result.diagnosis
            best, length = oracle.zero(), torch.full_like(oracle.lengths(), torch.inf)
            chosen = oracle.to_break.nonzero(as_tuple=True)[0]
            if len(chosen):
                part = oracle.rows(chosen)
                for proposed in attack.minimise(part, rng):
                    candidate = oracle.zero()
                    for name, rows in checked(proposed, part).items():
                        candidate[name][chosen] = rows
                    size = sizes(candidate, attack.config.norm)
                    # Judged in the full chunk: the one path by which every rank of this victim is computed.
                    oracle.costs.queries += len(oracle.users)
                    better = oracle.look(candidate).broken & oracle.to_break & (size < length)
                    best = {n: torch.where(wide(better, p), candidate[n], p) for n, p in best.items()}
                    length = torch.where(better, size, length)
            result.deltas.append(best)
            result.lengths.append(length)
        return result

    def within(self, number: int, radius: Tensor, rounding: float) -> dict[str, Tensor]:
        """The δ of a chunk where it fits ``radius`` [B] (and a rounding share more), else 0."""
        fits = self.lengths[number] <= radius * (1 + rounding)
        return {n: p * wide(fits, p) for n, p in self.deltas[number].items()}

    def copies(self) -> tuple[Costs, Diagnosis]:
        """What it cost; copies, so that what one ε adds does not show in the next one's record."""
        return replace(self.costs), self.diagnosis.copy()


@dataclass(eq=False)
class EmbeddingOracle(UserOracle[Delta]):
    """An ``Oracle`` over one chunk of users, on the surface ``embedding``.

    Args:
        model: the victim, in eval mode.
        batch: the queries [B].
        questions: masks and held-out items of the same users.
        aim: the goal for these users.
        draws: streams where the victim draws at test time.
    """

    model: TorchModel
    batch: Batch
    chunk: EvaluationChunk
    goal: Goal
    draws: Draws
    costs: Costs = field(default_factory=Costs)
    diagnosis: Diagnosis = field(default_factory=Diagnosis)

    def __post_init__(self) -> None:
        """Embed once and judge the clean inputs."""
        with torch.no_grad():
            self.clean = self.model.embed(self.batch)
            self._whole = all(bool(valid.all()) for valid in self.clean.valid.values())
            self._mask = Mask(self.chunk, self.goal.k + self.goal.items.shape[1])
        self.start(self.zero())

    def zero(self) -> dict[str, Tensor]:
        """δ = 0."""
        return self.clean.zero()

    def lengths(self) -> Tensor:
        """d · n_valid per row: float [B]."""
        return self.clean.sizes()

    def scores(self, delta: Delta) -> Tensor:
        """Masked scores at δ: float [B, n_items]."""
        return self._mask(self.model.score_from(self.batch, self._moved(delta)))

    def _moved(self, delta: Delta) -> Embedded:
        """The inputs at δ, without a look at what may be touched where everything may."""
        if not self._whole or delta.keys() != self.clean.inputs.keys():
            return self.clean.plus(delta)
        return replace(self.clean, inputs={name: part + delta[name] for name, part in self.clean.inputs.items()})

    def seen(self, perturbed: Delta) -> Tensor:
        """At δ."""
        with torch.no_grad():
            return self.scores(perturbed)

    def rivals(self, count: int) -> Tensor:
        """The best unmasked items that are not held out, at δ = 0: int64 [B, count] (fewer where there are fewer)."""
        with torch.no_grad():
            scores = self.scores(self.zero())
            row = torch.arange(len(scores), device=scores.device).unsqueeze(1).expand_as(self.chunk.held)
            valid = self.chunk.held >= 0
            scores[row[valid], self.chunk.held[valid]] = -torch.inf
            fewest = int((scores > -torch.inf).sum(1).min())
            return scores.topk(min(count, fewest), dim=1).indices

    def evaluate(self, delta: Delta, loss: LossName = "ce") -> Evaluation:
        """Loss and outcome at δ."""
        return self.evaluated(delta, loss)

    def gradient(self, delta: Delta, loss: LossName = "ce", rival: Tensor | None = None) -> Evaluation:
        """Loss, outcome and gradient at δ; entries that may not be touched have gradient 0."""
        leaves = {name: part.detach().requires_grad_() for name, part in delta.items()}
        values, looks, slopes = [], [], []
        for context in self.counted(gradients=True):
            # cuDNN's recurrent kernels give no gradient in eval mode; to switch them off takes a while even on a CPU.
            off = nullcontext() if self.chunk.users.device.type == "cpu" else torch.backends.cudnn.flags(enabled=False)
            with torch.enable_grad(), off, context:
                scores = self.scores(leaves)
                value = self.goal.loss(scores, loss, rival)
                slopes.append(gradient_of(value, leaves))
            values.append(value.detach())
            looks.append(scores.detach())
        # Where nothing may be touched it is 0 already: δ is multiplied by ``valid`` on its way.
        return self.told(values, looks, self.settled(slopes))

    def _noise(self, rng: Rng, kind: str) -> dict[str, Tensor]:
        noise = {name: torch.zeros_like(part) for name, part in self.clean.inputs.items()}
        for name, part in noise.items():
            valid = self.clean.valid[name]
            for row, user in enumerate(self.users.tolist()):
                generator = rng.child(kind, name, user).torch()
                shape = (int(valid[row].sum()), part.shape[-1])
                draw = torch.randn(shape, generator=generator)
                if kind == "uniform":
                    draw = torch.rand(shape, generator=generator) * 2 - 1
                part[row][valid[row]] = draw.to(part)
        return noise

    def normal(self, rng: Rng) -> dict[str, Tensor]:
        """Standard normal entries at the valid places, a stream per user, so chunks change nothing."""
        return self._noise(rng, "normal")

    def uniform(self, rng: Rng) -> dict[str, Tensor]:
        """Entries uniform in [−1, 1] at the valid places, a stream per user."""
        return self._noise(rng, "uniform")

    def rows(self, chosen: Tensor, costs: Costs | None = None, expectation: int | None = None) -> EmbeddingOracle:
        """The oracle of some rows (int64 [b]); what is not given is shared."""
        batch = Batch(self.batch.users[chosen], self.batch.histories[chosen])
        chunk = restricted(self.chunk, chosen)
        draws = replace(self.draws, expectation=expectation or self.draws.expectation)
        goal = self.goal.rows(chosen)
        return EmbeddingOracle(self.model, batch, chunk, goal, draws, costs or self.costs, self.diagnosis)
