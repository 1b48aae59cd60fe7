"""Measuring one victim: clean, and under attacks on embedded inputs. The host projects, re-scores, keeps the worst."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robench.api.attack import EmbeddingAttack, MinimumNormAttack
from robench.api.data import IntArray, Interactions
from robench.api.delta import Ball, Delta, l2, linf, masked, sizes
from robench.api.errors import PluginError
from robench.api.model import Model
from robench.api.rng import Rng
from robench.api.torch_model import TorchModel
from robench.engine.oracle import Costs, Diagnosis, HostOracle, damage
from robench.engine.ranking import (
    Judged,
    Questions,
    ask,
    candidates,
    chunk_size,
    held_out_ranks,
    judge,
)

ROUNDING = 1e-5  # a projected float32 norm may exceed its radius by this share
FEW = 8  # users whose scores are compared between two looks
Arrays = dict[str, NDArray[Any]]


@dataclass
class Measurement:
    """Arrays for the npz, achieved budget and diagnostics for the record."""

    arrays: Arrays
    achieved: dict[str, float] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)


@dataclass(eq=False)
class _Minimum:
    """What a minimum-norm attack found, reused by every ε: δ per chunk, and its length (inf where not broken)."""

    deltas: list[dict[str, Tensor]]
    lengths: list[Tensor]
    costs: Costs
    diagnosis: Diagnosis


class Bench:
    """One victim ready to be measured.

    Args:
        model: fitted; in eval mode if it is a ``TorchModel``.
        history: int rows of what is known of each real user at test time.
        held: the held-out items, one row per real user.
        users: int64 [U], whom to evaluate.
        seed: of the attacks.
    """

    def __init__(self, model: Model, history: Interactions, held: Interactions, users: IntArray, seed: int) -> None:
        self.model, self.history, self.held, self.users = model, history, held, users
        self.rng = Rng(seed).child("attack")
        self._minima: dict[str, _Minimum] = {}
        self._rms: float | None = None
        self._questions: list[Questions] = []

    def questions(self) -> list[Questions]:
        """What is asked, in host-fixed chunks of users; made once per victim."""
        size = chunk_size(self.history.n_items)
        starts = range(0, 0 if self._questions else len(self.users), size)
        self._questions += [ask(self.users[at : at + size], self.history, self.held) for at in starts]
        return self._questions

    def oracles(self, k: int, costs: Costs | None = None, diagnosis: Diagnosis | None = None) -> Iterator[HostOracle]:
        """An oracle per chunk (neural models only)."""
        if not isinstance(self.model, TorchModel):
            raise PluginError(f"{type(self.model).__name__} has no embedded inputs")
        for questions in self.questions():
            batch = self.model.queries(questions.users.numpy(), self.history).to(self.model.device)
            asked = questions.to(self.model.device)
            yield HostOracle(self.model, batch, asked, k, costs or Costs(), diagnosis or Diagnosis())

    def rms(self) -> float:
        """Root mean square over the valid entries of all evaluated users; once per victim."""
        if self._rms is None:
            squares, entries = [], []
            for oracle in self.oracles(k=1):
                squares.append(oracle.clean.square_sum())
                entries.append(oracle.clean.sizes().double())
            self._rms = float((torch.cat(squares).sum() / torch.cat(entries).sum()).sqrt())
        return self._rms

    def clean(self, targets: IntArray | None) -> Measurement:
        """Ranks, top lists and target ranks without an attack.

        The first chunk is scored twice. ``stochastic``: the largest difference over its first few users, in standard
        deviations of their scores.
        """
        parts: list[Arrays] = []
        noise = 0.0
        for questions in self.questions():
            raw = self.model.scores(questions.users.numpy(), self.history)
            if raw.shape != (len(questions.users), self.history.n_items):
                wanted = (len(questions.users), self.history.n_items)
                raise PluginError(f"scores have shape {raw.shape}, not {wanted}")
            once = None if parts else raw[:FEW].copy()
            judged = judge(raw, questions, targets)
            parts.append(_stored(judged, questions, self.history.n_items))
            del raw  # before the next chunk's scores, which then take the same place in memory
            if once is not None:
                again = self.model.scores(questions.users.numpy(), self.history)[:FEW]
                noise = float(np.abs(again - once).max() / max(float(once.std()), 1e-30))
        return Measurement(self._joined(parts), diagnostics={"stochastic": noise})

    def attacked(self, attack: EmbeddingAttack, epsilon: float, key: str) -> Measurement:
        """The worst per user over δ = 0 and everything the attack proposes, projected.

        Args:
            epsilon: budget in the unit of the attack's threat model.
            key: identifies the attack without ε; a minimum-norm attack runs once per key.
        """
        config = attack.config
        if isinstance(attack, MinimumNormAttack):
            if key not in self._minima:
                self._minima[key] = self._minimum(attack)
            found = self._minima[key]
            # Copies: what one ε adds must not show in the next one's record.
            costs, diagnosis = replace(found.costs), replace(found.diagnosis)
        else:
            found, costs, diagnosis = None, Costs(), Diagnosis()
        parts: list[Arrays] = []
        for number, oracle in enumerate(self.oracles(config.k, costs, diagnosis)):
            ball = self._ball(oracle, epsilon, config.norm, config.scale)
            delta = self._worst(attack, oracle, ball) if found is None else _affordable(found, number, ball)
            scores, loss = oracle.judge(delta)
            clean_loss = oracle.judge(oracle.zero())[1]
            questions = self.questions()[number]
            judged = judge(scores.cpu().numpy(), questions, masked=True)
            part = _stored(judged, questions, self.history.n_items)
            unit = self._ball(oracle, 1.0, config.norm, config.scale).radius
            part |= {
                "clean_loss": clean_loss.cpu().numpy(),
                "loss": loss.cpu().numpy(),
                "l2": l2(delta).cpu().numpy(),
                "linf": linf(delta).cpu().numpy(),
                "spent": (sizes(delta, config.norm) / unit.clamp_min(1e-30)).cpu().numpy(),
                "hit": oracle.hit.cpu().numpy(),
            }
            if found is not None:
                # Who is not hit at clean needs no perturbation: radius 0 (A4), and no part in the statistics.
                radius = torch.where(oracle.hit, found.lengths[number] / unit.clamp_min(1e-30), 0.0)
                part["radius"] = radius.cpu().numpy()
            parts.append(part)
        arrays = self._joined(parts)
        return Measurement(arrays, _achieved(arrays, costs), _diagnostics(arrays, diagnosis, self.rms()))

    def _ball(self, oracle: HostOracle, epsilon: float, norm: str, scale: str) -> Ball:
        """The budget: linf ε·RMS; l2 ε·RMS·√(d·n_valid); without RMS and √ where the scale is absolute."""
        entries = oracle.lengths()
        unit = torch.full_like(entries, epsilon)
        if scale == "relative":
            unit = unit * self.rms() * (entries.sqrt() if norm == "l2" else 1.0)
        return Ball("l2" if norm == "l2" else "linf", unit)

    def _worst(self, attack: EmbeddingAttack, oracle: HostOracle, ball: Ball) -> dict[str, Tensor]:
        """Per user the candidate with the worst rank, then the highest loss; δ = 0 is a candidate."""
        best = oracle.zero()
        scores, loss = oracle.judge(best)
        worst = damage(held_out_ranks(scores, oracle.questions.held))
        for proposed in attack.perturb(oracle, ball, self.rng):
            candidate = _checked(proposed, oracle)
            size = sizes(candidate, ball.norm)
            share = torch.where(ball.radius > 0, size / ball.radius.clamp_min(1e-30), 0.0)
            oracle.costs.overshoot = max(oracle.costs.overshoot, float(share.max()))
            candidate = ball.project(candidate)
            oracle.costs.queries += len(oracle.users)
            scores, new_loss = oracle.judge(candidate)
            new = damage(held_out_ranks(scores, oracle.questions.held))
            better = (new > worst) | ((new == worst) & (new_loss > loss))
            worst, loss = torch.where(better, new, worst), torch.where(better, new_loss, loss)
            best = _chosen(better, candidate, best)
        return best

    def _minimum(self, attack: MinimumNormAttack) -> _Minimum:
        """Run a minimum-norm attack on the users that are hit; keep the shortest δ that breaks each."""
        result = _Minimum([], [], Costs(), Diagnosis())
        for oracle in self.oracles(attack.config.k, result.costs, result.diagnosis):
            best, length = oracle.zero(), torch.full_like(oracle.lengths(), torch.inf)
            chosen = oracle.hit.nonzero(as_tuple=True)[0]
            if len(chosen):
                part = oracle.rows(chosen)
                for proposed in attack.minimise(part, self.rng):
                    candidate = oracle.zero()
                    for name, rows in _checked(proposed, part).items():
                        candidate[name][chosen] = rows
                    size = sizes(candidate, attack.config.norm)
                    # Judged in the full chunk: the one path by which every rank of this victim is computed.
                    better = oracle.evaluate(candidate).broken & oracle.hit & (size < length)
                    best, length = _chosen(better, candidate, best), torch.where(better, size, length)
            result.deltas.append(best)
            result.lengths.append(length)
        return result

    def _joined(self, parts: list[Arrays]) -> Arrays:
        joined = {
            name: np.concatenate([part[name] for part in parts], axis=-1 if name == "target_ranks" else 0)
            for name in parts[0]
        }
        lengths = joined.pop("held_count")
        joined["indptr"] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        joined["users"] = np.array(self.users, dtype=np.int64)
        return joined


def _stored(judged: Judged, questions: Questions, n_items: int) -> Arrays:
    valid = questions.held >= 0
    arrays: Arrays = {
        "ranks": judged.ranks[valid].numpy(),
        "held_count": valid.sum(1).numpy(),
        "top": judged.top,
        "candidates": candidates(questions, n_items),
    }
    if len(judged.targets):
        arrays["target_ranks"] = judged.targets
    return arrays


def _checked(proposed: Delta, oracle: HostOracle) -> dict[str, Tensor]:
    """A candidate with the shapes of the inputs, finite, and zero where nothing may be touched."""
    for name, part in oracle.clean.inputs.items():
        if name not in proposed or proposed[name].shape != part.shape:
            shape = tuple(proposed[name].shape) if name in proposed else "nothing"
            raise PluginError(f"the attack gave {shape} for input '{name}' of shape {tuple(part.shape)}")
        if not bool(torch.isfinite(proposed[name]).all()):
            raise PluginError(f"the attack gave a δ that is not finite for input '{name}'")
    return masked({name: proposed[name].detach() for name in oracle.clean.inputs}, oracle.clean.valid)


def _chosen(better: Tensor, new: Delta, old: Delta) -> dict[str, Tensor]:
    return {
        name: torch.where(better.reshape(-1, *[1] * (part.dim() - 1)), new[name], part) for name, part in old.items()
    }


def _affordable(found: _Minimum, number: int, ball: Ball) -> dict[str, Tensor]:
    """The minimum where it fits the budget, else δ = 0."""
    fits = found.lengths[number] <= ball.radius * (1 + ROUNDING)
    delta = found.deltas[number]
    return _chosen(fits, delta, {name: torch.zeros_like(part) for name, part in delta.items()})


def _achieved(arrays: Arrays, costs: Costs) -> dict[str, float]:
    return {
        "epsilon": float(arrays["spent"].max()),
        "epsilon_mean": float(arrays["spent"].mean()),
        **{f"{norm}_{how}": float(getattr(arrays[norm], how)()) for norm in ("l2", "linf") for how in ("max", "mean")},
        "queries": costs.queries,
        "gradients": costs.gradients,
        "overshoot": costs.overshoot,
    }


def _diagnostics(arrays: Arrays, diagnosis: Diagnosis, rms: float) -> dict[str, float]:
    judged = max(1, diagnosis.judged)
    return {
        "rms": rms,
        "loss_clean": float(arrays["clean_loss"].mean()),
        "loss_attacked": float(arrays["loss"].mean()),
        "gradients_judged": diagnosis.judged,
        "zero_gradient_share": diagnosis.zero / judged,
        "non_finite_share": diagnosis.non_finite / judged,
    }
