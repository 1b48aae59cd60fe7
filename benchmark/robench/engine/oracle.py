"""The host's side of an attack at test time: it owns the loss, counts every query and judges every candidate."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import softplus

from robench.api.attack import Evaluation, LossName
from robench.api.delta import Delta, linf, masked
from robench.api.rng import Rng
from robench.api.torch_model import Batch, TorchModel
from robench.engine.ranking import Questions, held_out_ranks, mask_known


def attack_loss(scores: Tensor, held: Tensor, name: LossName, k: int, rival: Tensor | None = None) -> Tensor:
    """How far the held-out items have fallen; higher is further.

    ``ce``: mean over the held-out items of logsumexp(s) − s_y. ``margin``: s_(k) − max s_y, s_(k) the k-th best
    unmasked item that is not held out, or the item ``rival`` [B] where one is named. ``bpr``: mean over these items
    and the held-out ones of softplus(s_j − s_y).

    Args:
        scores: float [B, n_items], −inf where masked.
        held: int64 [B, H], padded with −1.

    Returns:
        float [B].
    """
    valid = held >= 0
    ids = held.clamp_min(0)
    own = scores.gather(1, ids)
    count = valid.sum(1)
    if name == "ce":
        fallen = scores.logsumexp(1, keepdim=True) - own
        return torch.where(valid, fallen, 0.0).sum(1) / count
    # Padding points at item 0: give it a value that no maximum picks, without touching item 0 itself.
    holders = torch.zeros_like(scores, dtype=torch.bool)
    row = torch.arange(len(held), device=held.device).unsqueeze(1).expand_as(held)
    holders[row[valid], held[valid]] = True
    rivals = scores.masked_fill(holders, -torch.inf)
    if name == "margin":
        best = torch.where(valid, own, -torch.inf).amax(1)
        if rival is not None:
            return scores.gather(1, rival.unsqueeze(1)).squeeze(1) - best
        return rivals.topk(min(k, scores.shape[1]), dim=1).values[:, -1] - best
    free = rivals > -torch.inf
    total = torch.zeros_like(own[:, 0])
    for h in range(held.shape[1]):
        gap = torch.where(free, rivals, 0.0) - own[:, h : h + 1]
        mean = torch.where(free, softplus(gap), 0.0).sum(1) / free.sum(1).clamp_min(1)
        total = total + torch.where(valid[:, h], mean, 0.0)
    return total / count


def damage(ranks: Tensor) -> Tensor:
    """What the host compares candidates by: −Σ 1 / log2(1 + rank), higher is worse; one held-out item: its rank.

    Args:
        ranks: int64 [B, H], 0 at the padding.

    Returns:
        float64 [B].
    """
    return -torch.where(ranks > 0, 1 / torch.log2(1 + ranks.double().clamp_min(1)), 0.0).sum(1)


@dataclass
class Costs:
    """What an attack spent: user-level score evaluations and gradients; how far it overshot its budget, in radii."""

    queries: int = 0
    gradients: int = 0
    overshoot: float = 0.0


@dataclass
class Diagnosis:
    """Per hit user: gradients seen, and whether one was zero or not finite."""

    judged: int = 0
    zero: int = 0
    non_finite: int = 0


@dataclass(eq=False)
class HostOracle:
    """An ``Oracle`` over one chunk of users.

    Args:
        model: the victim, in eval mode.
        batch: the queries [B].
        questions: masks and held-out items of the same users.
        k: the top k of the threat model.
    """

    model: TorchModel
    batch: Batch
    questions: Questions
    k: int
    costs: Costs = field(default_factory=Costs)
    diagnosis: Diagnosis = field(default_factory=Diagnosis)

    def __post_init__(self) -> None:
        """Embed once and judge the clean inputs."""
        with torch.no_grad():
            self.clean = self.model.embed(self.batch)
            ranks = held_out_ranks(self.scores(self.zero()), self.questions.held)
            self._hit = ((ranks <= self.k) & (self.questions.held >= 0)).any(1)
        self._first_gradient = True

    @property
    def users(self) -> Tensor:
        """int64 [B]."""
        return self.questions.users

    @property
    def hit(self) -> Tensor:
        """bool [B]: a held-out item is in the clean top k."""
        return self._hit

    def zero(self) -> dict[str, Tensor]:
        """δ = 0."""
        return self.clean.zero()

    def lengths(self) -> Tensor:
        """d · n_valid per row: float [B]."""
        return self.clean.sizes()

    def scores(self, delta: Delta) -> Tensor:
        """Masked scores at δ: float [B, n_items]."""
        return mask_known(self.model.score_from(self.batch, self.clean.plus(delta)), self.questions)

    def judge(self, delta: Delta) -> tuple[Tensor, Tensor]:
        """Masked scores [B, n_items] and the loss ``ce`` [B] at δ; the host's own look, not counted."""
        with torch.no_grad():
            scores = self.scores(delta)
            return scores, attack_loss(scores, self.questions.held, "ce", self.k)

    def rivals(self, count: int) -> Tensor:
        """The best unmasked items that are not held out, at δ = 0: int64 [B, count] (fewer where there are fewer)."""
        with torch.no_grad():
            scores = self.scores(self.zero())
            row = torch.arange(len(scores), device=scores.device).unsqueeze(1).expand_as(self.questions.held)
            valid = self.questions.held >= 0
            scores[row[valid], self.questions.held[valid]] = -torch.inf
            fewest = int((scores > -torch.inf).sum(1).min())
            return scores.topk(min(count, fewest), dim=1).indices

    def _judge(self, scores: Tensor, loss: LossName, rival: Tensor | None = None) -> tuple[Tensor, Tensor]:
        ranks = held_out_ranks(scores.detach(), self.questions.held)
        broken = ((ranks > self.k) | (ranks == 0)).all(1)
        return attack_loss(scores, self.questions.held, loss, self.k, rival), broken

    def evaluate(self, delta: Delta, loss: LossName = "ce") -> Evaluation:
        """Loss and outcome at δ."""
        self.costs.queries += len(self.users)
        with torch.no_grad():
            value, broken = self._judge(self.scores(delta), loss)
        return Evaluation(value, broken, None)

    def gradient(self, delta: Delta, loss: LossName = "ce", rival: Tensor | None = None) -> Evaluation:
        """Loss, outcome and gradient at δ; entries that may not be touched have gradient 0."""
        self.costs.queries += len(self.users)
        self.costs.gradients += len(self.users)
        leaves = {name: part.detach().requires_grad_() for name, part in delta.items()}
        # cuDNN's recurrent kernels give no gradient in eval mode.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            value, broken = self._judge(self.scores(leaves), loss, rival)
            total = value.sum()
            found = (
                torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
                if total.requires_grad
                else [None] * len(leaves)
            )
        pairs = zip(leaves.items(), found, strict=True)
        gradient = {name: torch.zeros_like(leaf) if g is None else g for (name, leaf), g in pairs}
        self._diagnose(gradient)
        clean = {name: torch.nan_to_num(part, nan=0.0, posinf=0.0, neginf=0.0) for name, part in gradient.items()}
        return Evaluation(value.detach(), broken, masked(clean, self.clean.valid))

    def _diagnose(self, gradient: Delta) -> None:
        """Judge the first gradient of each hit user: a defence that hides it shows here."""
        if not self._first_gradient:
            return
        self._first_gradient = False
        size = linf(gradient)[self.hit]
        self.diagnosis.judged += len(size)
        self.diagnosis.non_finite += int((~torch.isfinite(size)).sum())
        self.diagnosis.zero += int((size == 0).sum())

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

    def rows(self, chosen: Tensor) -> HostOracle:
        """The oracle of some rows (int64 [b]); costs and diagnosis are shared."""
        batch = Batch(self.batch.users[chosen], self.batch.histories[chosen])
        row, item = self.questions.masked
        place = torch.full((len(self.users),), -1, device=chosen.device)
        place[chosen] = torch.arange(len(chosen), device=chosen.device)
        kept = place[row] >= 0
        questions = Questions(self.users[chosen], (place[row][kept], item[kept]), self.questions.held[chosen])
        return HostOracle(self.model, batch, questions, self.k, self.costs, self.diagnosis)
