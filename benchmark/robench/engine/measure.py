"""Measuring one victim: clean, and under attacks at test time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from robench.api.attacks.ball import Ball
from robench.api.attacks.base import Attack
from robench.api.attacks.embedding import MinimumNormAttack
from robench.api.attacks.ensemble import Ensemble
from robench.api.data import Catalogue, IntArray, Interactions
from robench.api.errors import PluginError
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.engine.attack.arena import Arena, Arrays, Measurement, joined, per_user, worst
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.draws import Draws
from robench.engine.attack.ensemble import MemberLog, expectation_of, members_of, most_harmful, run
from robench.engine.attack.goal import Goal
from robench.engine.candidates import second_stage
from robench.engine.data.titles import Clean
from robench.engine.rank.ranking import EvaluationChunk, chunk_size, evaluation_chunk, judge, of_catalogue
from robench.engine.surfaces.embedding import TINY, EmbeddingArena, EmbeddingOracle, Minimum
from robench.engine.surfaces.history.arena import history_arenas
from robench.engine.surfaces.parameters import ParametersArena, ParametersOracle, Tables
from robench.engine.surfaces.text.oracle import TitleOracle, best_of_members, best_titles, spent_on, told
from robench.engine.surfaces.text.reader import HeldOutGoal, PromotionGoal, Reader
from robench.engine.surfaces.text.similarity import resemblance

ROUNDING = 1e-5  # a projected float32 norm may exceed its radius by this share
FEW = 8  # users whose scores are compared between two looks
NOISE = 1e-4  # between two looks, in standard deviations of the scores: more is a victim that draws at test time
SPENT = ("l2", "linf", "edits")


class MeasuredVictim:
    """One victim ready to be measured.

    Args:
        model: fitted; in eval mode if it is a ``TorchModel``.
        history: int rows of what is known of each real user at test time.
        held: the held-out items, one row per real user.
        users: int64 [U], whom to evaluate.
        seed: of the attacks.
        catalogue: the genuine items, for attacks on their titles.
        read: how the defence reads a title, where it has a say.
        negatives: int64, an item beside each held-out one whose scores are stored too; None to store no scores.
    """

    def __init__(
        self,
        model: Model,
        history: Interactions,
        held: Interactions,
        users: IntArray,
        seed: int,
        catalogue: Catalogue | None = None,
        read: Clean | None = None,
        negatives: IntArray | None = None,
    ) -> None:
        self.model, self.history, self.held, self.users = model, history, held, users
        self.catalogue, self.read, self.negatives = catalogue, read, negatives
        # An attack is handed the one, and could follow its children: the host draws from the other.
        self.rng, self._own_rng = Rng(seed).child("attack"), Rng(seed).child("host")
        self._minima: dict[str, Minimum] = {}
        self._rms: float | None = None
        self._noise: float | None = None
        self._chunks: list[EvaluationChunk] = []

    def chunks(self) -> list[EvaluationChunk]:
        """What is asked, in host-fixed chunks of users; made once per victim."""
        size = chunk_size(self.history.n_items)
        starts = range(0, 0 if self._chunks else len(self.users), size)
        self._chunks += [
            evaluation_chunk(self.users[at : at + size], self.history, self.held, self.negatives) for at in starts
        ]
        return self._chunks

    def noise(self) -> float:
        """The largest difference between two looks at the scores of the first few users, in standard deviations."""
        if self._noise is None:
            few, looks = self.chunks()[0].users.numpy()[:FEW], []
            for look in range(2):
                with self._own_rng.child("noise", look).stream():
                    raw = self.model.scores(few, self.history)
                looks.append(of_catalogue(raw, len(few), self.history.n_items))
            self._noise = float(np.abs(looks[1] - looks[0]).max() / max(float(looks[0].std()), TINY))
        return self._noise

    def draws(self, expectation: int = 1) -> Draws:
        """The streams in which this victim is looked at."""
        return Draws(self._own_rng.child("draws"), self.rng.child("draws"), self.noise() > NOISE, expectation)

    def oracles(
        self,
        k: int,
        costs: Costs | None = None,
        diagnosis: Diagnosis | None = None,
        *,
        goal: Any = "untargeted",
        targets: IntArray | None = None,
        expectation: int = 1,
    ) -> Iterator[EmbeddingOracle]:
        """An oracle per chunk on the surface ``embedding``; with ``costs`` and ``diagnosis`` shared where given."""
        costs, diagnosis = costs or Costs(), diagnosis or Diagnosis()
        for chunk in self.chunks():
            model = self._neural()
            batch = model.queries(chunk.users.numpy(), self.history).to(model.device)
            asked = chunk.to(model.device)
            of_chunk = Goal.of(asked, goal, k, targets)
            yield EmbeddingOracle(model, batch, asked, of_chunk, self.draws(expectation), costs, diagnosis)

    def _neural(self) -> TorchModel:
        if not isinstance(self.model, TorchModel):
            raise PluginError(f"{type(self.model).__name__} has no embedded inputs")
        return self.model

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
        """Ranks, top lists and target ranks without an attack; a victim that draws at test time by its median look."""
        arrays = self._outcome(self.model, targets)
        return Measurement(arrays, diagnostics={"stochastic": self.noise()} | self._stages(arrays, targets))

    def _stages(self, arrays: Arrays, targets: IntArray | None) -> dict[str, float]:
        return second_stage(self.model, self.history, self.chunks(), arrays, targets)

    def _outcome(self, model: Model, targets: IntArray | None) -> Arrays:
        """What is stored of a victim as it stands."""
        parts: list[Arrays] = []
        for chunk in self.chunks():
            outcome, damages = [], []
            for context in self.draws().host(last=True):
                with context:
                    raw = model.scores(chunk.users.numpy(), self.history)
                raw = of_catalogue(raw, len(chunk.users), self.history.n_items)
                outcome.append(judge(raw, chunk, targets))
                ranks = outcome[-1].ranks.double()
                damages.append(-torch.where(ranks > 0, 1 / torch.log2(1 + ranks.clamp_min(1)), 0.0).sum(1))
                del raw  # before the next chunk's scores, which then take the same place in memory
            parts.append(per_user(chunk, outcome, damages, self.history.n_items, targets))
        return joined(parts, self.users)

    def arenas(
        self, attack: Attack, epsilon: float, costs: Costs, diagnosis: Diagnosis, targets: IntArray | None = None
    ) -> Iterator[Arena]:
        """The chunks of this victim on the surface of an attack, at budget ε.

        Raises:
            TypeError: no measurement is known for the surface.
        """
        threat, c = attack.threat(), attack.config
        wanted = targets if threat.goal != "untargeted" else None
        if threat.surface == "embedding":
            found = self.oracles(
                threat.k, costs, diagnosis, goal=threat.goal, targets=wanted, expectation=expectation_of(attack)
            )
            for oracle in found:
                yield EmbeddingArena(oracle, *self._ball(oracle, epsilon, threat.norm, threat.scale), wanted)
        elif threat.surface == "parameters":
            chunks = [(o.batch, o.chunk, o.goal) for o in self.oracles(threat.k, goal=threat.goal, targets=wanted)]
            known = self.history if getattr(c, "positives", "") == "known" else None
            tables = Tables(self._neural())
            draws = self.draws(expectation_of(attack))
            whole = ParametersOracle(tables, chunks, draws, known, costs, diagnosis)
            unit = tables.unit(threat.norm, threat.scale)
            yield ParametersArena(whole, Ball("l2" if threat.norm == "l2" else "linf", unit * epsilon), unit, wanted)
        elif threat.surface == "history":
            yield from history_arenas(
                self.model,
                self.history,
                self.chunks(),
                threat,
                epsilon,
                draws=self.draws(expectation_of(attack)),
                costs=costs,
                diagnosis=diagnosis,
                targets=wanted,
            )
        else:
            raise TypeError(f"no measurement is known for the surface '{threat.surface}'")

    def attacked(self, attack: Attack, epsilon: float, key: str, targets: IntArray | None = None) -> Measurement:
        """The worst over the genuine input and everything the attack proposes, per user or for one δ for all.

        Args:
            epsilon: budget in the unit of the attack's threat model.
            key: identifies the attack without ε; a minimum-norm attack runs once per key.
            targets: the promoted items, int64 [T].
        """
        if isinstance(attack, MinimumNormAttack):
            return self._within_minimum(attack, epsilon, key, targets)
        if attack.threat().surface == "text":
            return self._rewritten(attack, epsilon, targets)
        costs, diagnosis = Costs(), Diagnosis()
        parts: list[Arrays] = []
        extra: dict[str, float] = {}
        member_log: MemberLog | None = None
        for arena in self.arenas(attack, epsilon, costs, diagnosis, targets):
            more: Arrays = {}
            if isinstance(attack, Ensemble) and member_log is None:
                stochastic = self.draws().stochastic
                member_log = MemberLog(members_of(attack, gradients=arena.gradients, stochastic=stochastic))
            if member_log is None:
                best, _ = worst(arena, attack, self.rng)
            elif isinstance(arena, ParametersArena):
                best, more = most_harmful(arena, member_log, self.rng)
            else:
                best, more = run(arena, member_log, self.rng)
            parts.append(arena.stored(best) | more)
            extra |= arena.spent(best)
        whole = "held_count" not in parts[0]
        arrays = parts[0] if whole else joined(parts, self.users)
        diagnostics = _diagnostics(arrays, diagnosis) | {"expectation": expectation_of(attack)}
        if attack.threat().surface == "embedding":
            diagnostics["rms"] = self.rms()
        diagnostics["stochastic"] = self.noise()
        if attack.threat().surface != "history":  # there the first stage reads the edited history too
            diagnostics |= self._stages(arrays, targets if attack.threat().goal != "untargeted" else None)
        rows = [] if member_log is None else member_log.rows(arrays)
        return Measurement(arrays, _achieved(arrays, costs) | extra, diagnostics, rows)

    def _rewritten(self, attack: Attack, epsilon: float, targets: IntArray | None) -> Measurement:
        """The worst rewriting of titles, one for all users."""
        if self.catalogue is None:
            raise PluginError("nothing is known of the items, whose titles the attack would rewrite")
        threat, n_items = attack.threat(), self.history.n_items
        wanted = targets if threat.goal != "untargeted" else None
        goal = HeldOutGoal(np.arange(n_items), threat.k) if wanted is None else PromotionGoal(wanted, threat.k)
        reader = Reader(self.model, self.history, self.chunks(), self.catalogue, self.draws(), self.read)
        oracle = TitleOracle(reader, goal, epsilon, "words" if threat.norm == "words" else "characters")
        if not any(oracle.genuine):
            raise PluginError("none of the items has a title that could be rewritten")
        member_log = self._title_members(attack)
        kept = (
            best_titles(attack, oracle, self.rng)
            if member_log is None
            else best_of_members(member_log, oracle, self.rng)
        )
        clean = oracle.look(oracle.genuine)
        arrays = self._outcome(reader.victim(oracle.of_all(kept.titles)), wanted)
        arrays |= {"clean_loss": clean[1].numpy(), "loss": kept.loss.numpy()}
        found = Measurement(arrays, spent_on(oracle, kept), titles=told(oracle, kept))
        found.members = [] if member_log is None else member_log.rows(arrays)
        found.achieved |= {f"similarity_{how}": value for how, value in resemblance(found.titles).items()}
        found.achieved |= _achieved({}, oracle.costs)
        found.diagnostics |= _diagnostics(arrays, oracle.diagnosis) | {"stochastic": self.noise()}
        found.diagnostics |= self._stages(arrays, wanted)
        return found

    def _title_members(self, attack: Attack) -> MemberLog | None:
        """The members of an ensemble that can rewrite titles of this victim; None of a single attack."""
        if not isinstance(attack, Ensemble):
            return None
        able = attack.threat().goal in getattr(self.model, "token_goals", ())
        stochastic = self.draws().stochastic
        return MemberLog(members_of(attack, gradients=able, stochastic=stochastic, follows=self.model.follows))

    def _within_minimum(
        self, attack: MinimumNormAttack, epsilon: float, key: str, targets: IntArray | None
    ) -> Measurement:
        """A minimum-norm attack at ε: broken where the least δ fits the budget."""
        threat, expectation = attack.threat(), expectation_of(attack)
        wanted = targets if threat.goal != "untargeted" else None
        if key not in self._minima:
            oracles = self.oracles(threat.k, goal=threat.goal, targets=wanted, expectation=expectation)
            self._minima[key] = Minimum.of(attack, oracles, self.rng)
        found = self._minima[key]
        costs, diagnosis = found.copies()
        parts = []
        for number, arena in enumerate(self.arenas(attack, epsilon, Costs(), Diagnosis(), targets)):
            assert isinstance(arena, EmbeddingArena)  # the only surface of a minimum-norm attack
            part = arena.stored(found.within(number, arena.ball.radius, ROUNDING))
            # Who is not hit at clean needs no perturbation: radius 0 (A4), and no part in the statistics.
            length = found.lengths[number] / arena.unit.clamp_min(TINY)
            parts.append(part | {"radius": torch.where(arena.to_break, length, 0.0).cpu().numpy()})
        arrays = joined(parts, self.users)
        diagnostics = _diagnostics(arrays, diagnosis) | {"expectation": expectation, "rms": self.rms()}
        return Measurement(arrays, _achieved(arrays, costs), diagnostics | {"stochastic": self.noise()})

    def _ball(self, oracle: EmbeddingOracle, epsilon: float, norm: str, scale: str) -> tuple[Ball, torch.Tensor]:
        """The budget and the radius at ε = 1: linf RMS; l2 RMS·√(d·n_valid); 1 where the scale is absolute."""
        entries = oracle.lengths()
        unit = torch.ones_like(entries)
        if scale == "relative":
            unit = unit * self.rms() * (entries.sqrt() if norm == "l2" else 1.0)
        return Ball("l2" if norm == "l2" else "linf", unit * epsilon), unit


def _achieved(arrays: Arrays, costs: Costs) -> dict[str, float]:
    found: dict[str, float] = {}
    if "spent" in arrays:
        found |= {"epsilon": float(arrays["spent"].max()), "epsilon_mean": float(arrays["spent"].mean())}
    for name in SPENT:
        if name in arrays:
            found |= {f"{name}_{how}": float(getattr(arrays[name], how)()) for how in ("max", "mean")}
    return found | {"queries": costs.queries, "gradients": costs.gradients, "overshoot": costs.overshoot}


def _diagnostics(arrays: Arrays, diagnosis: Diagnosis) -> dict[str, float]:
    judged_ = max(1, diagnosis.judged)
    return {
        "loss_clean": float(arrays["clean_loss"].mean()),
        "loss_attacked": float(arrays["loss"].mean()),
        "gradients_judged": diagnosis.judged,
        "zero_gradient_share": diagnosis.zero / judged_,
        "non_finite_share": diagnosis.non_finite / judged_,
    }
