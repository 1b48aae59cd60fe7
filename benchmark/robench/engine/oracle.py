"""The host's side of an attack: it owns the loss and counts every query. Here of embedded inputs; in ``histories`` of
histories.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from robench.api.attack import Evaluation, LossName
from robench.api.delta import Delta, linf
from robench.api.rng import Rng
from robench.api.torch_model import Batch, Embedded, TorchModel
from robench.engine.aim import Aim
from robench.engine.arena import Look
from robench.engine.costs import Costs, Diagnosis
from robench.engine.masking import Mask
from robench.engine.ranking import Questions

Input = TypeVar("Input")  # what an attack perturbs, one row per user
LOOKS = 16  # draws by which the host judges a victim that draws at test time


@dataclass
class Draws:
    """Streams for a victim that draws at test time; a victim that does not runs as it is.

    The host looks ``LOOKS`` times, from streams that no attack sees and that are the same for every candidate; what is
    stored comes from fresh ones, as the worst of many candidates is partly luck with the draws that chose it. An attack
    looks ``expectation`` times, from a stream of its own that goes on with every look.

    Args:
        rng: the host's.
        asked: for the looks of attacks.
    """

    rng: Rng
    asked: Rng
    stochastic: bool = False
    expectation: int = 1
    used: int = 0

    def host(self, *, last: bool = False) -> Iterator[AbstractContextManager[None]]:
        """A context per look of the host's; ``last``: for what is stored."""
        role = "last" if last else "host"
        for draw in range(LOOKS if self.stochastic else 1):
            yield self.rng.child(role, draw).stream() if self.stochastic else nullcontext()

    def attack(self) -> Iterator[AbstractContextManager[None]]:
        """A context per draw of one look of the attack's."""
        for _ in range(self.expectation if self.stochastic else 1):
            self.used += 1
            yield self.asked.child("attack", self.used).stream() if self.stochastic else nullcontext()


def restricted(questions: Questions, chosen: Tensor) -> Questions:
    """The questions of some rows (int64 [b])."""
    row, item = questions.masked
    place = torch.full((len(questions.users),), -1, device=chosen.device)
    place[chosen] = torch.arange(len(chosen), device=chosen.device)
    kept = place[row] >= 0
    negatives = None if questions.negatives is None else questions.negatives[chosen]
    return Questions(questions.users[chosen], (place[row][kept], item[kept]), questions.held[chosen], negatives)


class UserOracle(ABC, Generic[Input]):
    """One chunk of users of one victim, each with a perturbation of their own; a dataclass beneath it holds the fields.

    Args:
        questions: masks and held-out items of these users.
        aim: the goal for them.
        draws: streams where the victim draws at test time.
    """

    questions: Questions
    aim: Aim
    draws: Draws
    costs: Costs
    diagnosis: Diagnosis
    _first_gradient = True

    @abstractmethod
    def seen(self, perturbed: Input) -> Tensor:
        """Masked scores without a graph, not counted: float [B, n_items]."""

    def start(self, genuine: Input) -> None:
        """Judge the genuine input: ``at_clean``, and ``to_break`` bool [B], whose goal is not reached there."""
        self.at_clean = self.look(genuine)
        self._to_break = ~self.at_clean.broken & (self.aim.items >= 0).any(1)

    @property
    def users(self) -> Tensor:
        """int64 [B]; like all that an attack is handed, its own to write in."""
        return self.questions.users.clone()

    @property
    def to_break(self) -> Tensor:
        """bool [B]: the goal is not reached at clean."""
        return self._to_break.clone()

    def looks(self, perturbed: Input, *, last: bool = False) -> Iterator[Tensor]:
        """Masked scores as the host judges them, once per draw (``last``: for what is stored); not counted."""
        for context in self.draws.host(last=last):
            with context:
                yield self.seen(perturbed)

    def look(self, perturbed: Input) -> Look:
        """The host's own look, not counted: means over its draws; broken where at least half of the draws are."""
        return mean_look(self.aim, self.looks(perturbed))

    def counted(self, *, gradients: bool = False) -> Iterator[AbstractContextManager[None]]:
        """A context per draw of one look of the attack's, with or without gradients."""
        for context in self.draws.attack():
            self.costs.queries += len(self.questions.users)
            self.costs.gradients += len(self.questions.users) if gradients else 0
            yield context

    def evaluated(self, perturbed: Input, loss: LossName) -> Evaluation:
        """Loss and outcome."""
        values, looks = [], []
        for context in self.counted():
            with context:
                looks.append(self.seen(perturbed))
            values.append(self.aim.loss(looks[-1], loss))
        return self.told(values, looks)

    def told(self, values: list[Tensor], looks: list[Tensor], gradient: Delta | None = None) -> Evaluation:
        """Means over the draws of one look of the attack's."""
        return Evaluation(mean(values), lambda: mostly([self.aim.broken(scores) for scores in looks]), gradient)

    def settled(self, slopes: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """The mean gradient over the draws, finite. The first one is judged, of each user to be broken who was not
        judged before: a defence that hides it shows here.
        """
        gradient = {name: mean([part[name] for part in slopes]) for name in slopes[0]}
        if self._first_gradient:
            self._first_gradient = False
            size = linf(gradient).to(self._to_break.device)[self._to_break]
            hit = self.questions.users.to(self._to_break.device)[self._to_break]
            diagnose(self.diagnosis, size[self.diagnosis.fresh(hit.tolist())])
        return finite(gradient)


@dataclass(eq=False)
class HostOracle(UserOracle[Delta]):
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
    questions: Questions
    aim: Aim
    draws: Draws
    costs: Costs = field(default_factory=Costs)
    diagnosis: Diagnosis = field(default_factory=Diagnosis)

    def __post_init__(self) -> None:
        """Embed once and judge the clean inputs."""
        with torch.no_grad():
            self.clean = self.model.embed(self.batch)
            self._whole = all(bool(valid.all()) for valid in self.clean.valid.values())
            self._mask = Mask(self.questions, self.aim.k + self.aim.items.shape[1])
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
            row = torch.arange(len(scores), device=scores.device).unsqueeze(1).expand_as(self.questions.held)
            valid = self.questions.held >= 0
            scores[row[valid], self.questions.held[valid]] = -torch.inf
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
            off = (
                nullcontext()
                if self.questions.users.device.type == "cpu"
                else torch.backends.cudnn.flags(enabled=False)
            )
            with torch.enable_grad(), off, context:
                scores = self.scores(leaves)
                value = self.aim.loss(scores, loss, rival)
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

    def rows(self, chosen: Tensor, costs: Costs | None = None, expectation: int | None = None) -> HostOracle:
        """The oracle of some rows (int64 [b]); what is not given is shared."""
        batch = Batch(self.batch.users[chosen], self.batch.histories[chosen])
        questions = restricted(self.questions, chosen)
        draws = replace(self.draws, expectation=expectation or self.draws.expectation)
        aim = self.aim.rows(chosen)
        return HostOracle(self.model, batch, questions, aim, draws, costs or self.costs, self.diagnosis)


def mean(parts: list[Tensor]) -> Tensor:
    """Of equally shaped tensors; a single one as it is."""
    return parts[0] if len(parts) == 1 else torch.stack(parts).mean(0)


def mostly(parts: list[Tensor]) -> Tensor:
    """Where at least half of equally shaped tensors (bool) are true."""
    return mean([part.float() for part in parts]) >= 0.5


def mean_look(aim: Aim, looks: Iterable[Tensor], damage_of: Callable[[Tensor], Tensor] | None = None) -> Look:
    """Damage, ``ce`` and broken of an aim over several looks at the same masked scores; ``aim.damage`` by default."""
    measured = damage_of or aim.damage
    found = [(measured(scores), aim.loss(scores, "ce"), aim.broken(scores)) for scores in looks]
    damage, loss, broken = zip(*found, strict=True)
    return Look(mean(list(damage)), mean(list(loss)), mostly(list(broken)))


def gradient_of(value: Tensor, leaves: Delta) -> dict[str, Tensor]:
    """d (sum of ``value``) / d leaf; zero where nothing leads there."""
    parts = list(leaves.values())
    found: Sequence[Tensor | None] = [None] * len(parts)
    if value.requires_grad:
        found = torch.autograd.grad(value, parts, torch.ones_like(value), allow_unused=True)
    return {name: torch.zeros_like(leaves[name]) if g is None else g for name, g in zip(leaves, found, strict=True)}


def finite(gradient: Delta) -> dict[str, Tensor]:
    """Zero where it is not finite."""
    # A sum is finite only if every term is, and needs no copy.
    return {
        name: part if math.isfinite(float(part.sum())) else torch.nan_to_num(part, nan=0.0, posinf=0.0, neginf=0.0)
        for name, part in gradient.items()
    }


def diagnose(diagnosis: Diagnosis, size: Tensor) -> None:
    """Note the largest entries [n] of gradients."""
    diagnosis.judged += len(size)
    diagnosis.non_finite += int((~torch.isfinite(size)).sum())
    diagnosis.zero += int((size == 0).sum())
