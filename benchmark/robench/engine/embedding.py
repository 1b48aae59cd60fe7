"""The surface ``embedding``: every user's own δ on the embedded inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from robench.api.attack import Attack, EmbeddingAttack, MinimumNormAttack
from robench.api.data import IntArray
from robench.api.delta import Ball, Delta, l2, linf, masked, sizes, wide
from robench.api.errors import PluginError
from robench.api.rng import Rng
from robench.engine.arena import Arrays, Candidate, Proposed
from robench.engine.costs import Costs, Diagnosis
from robench.engine.oracle import HostOracle
from robench.engine.single import UserArena

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

    oracle: HostOracle
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


def checked(proposed: Delta, oracle: HostOracle) -> dict[str, Tensor]:
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
    def of(cls, attack: MinimumNormAttack, oracles: Iterator[HostOracle], rng: Rng) -> Minimum:
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
