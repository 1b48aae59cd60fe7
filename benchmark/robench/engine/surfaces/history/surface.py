"""Measures a victim under edits of the users' histories."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import torch

from robench.api.attacks.base import Attack
from robench.api.data import IntArray
from robench.api.edit_rules import EditRules
from robench.api.models.torch import TorchModel
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.goal import Goal
from robench.engine.attack.measurement import CellArrays
from robench.engine.attack.surface import ArenaSurface
from robench.engine.attack.trained import history_share_ignored
from robench.engine.surfaces.history.additivity import ROUNDING, additive_error
from robench.engine.surfaces.history.arena import HistoryArena
from robench.engine.surfaces.history.budget import EditLimits, edit_limits
from robench.engine.surfaces.history.oracle import EditOracle
from robench.engine.surfaces.history.plausibility import Plausibility
from robench.engine.surfaces.history.slopes import ItemInputs


class HistorySurface(ArenaSurface):
    """The histories of one victim's users, as an attack surface.

    Attributes:
        plausibility: the rule for inserted items, if the threat model of the current attack has one.
    """

    plausibility: Plausibility | None = None

    @cached_property
    def additive_error(self) -> float | None:
        """The distance of the scores from a sum, as ``additivity.py`` defines it.

        The value is None if the model does not declare that its scores are a sum over the items.
        """
        victim = self.victim
        if not victim.model.additive:
            return None
        return additive_error(victim.model, victim.history, victim.users, victim.check_rng.child("additive"))

    def arenas(
        self, attack: Attack, epsilon: float, costs: Costs, diagnosis: Diagnosis, targets: IntArray | None = None
    ) -> Iterator[HistoryArena]:
        """Yields one arena per chunk of evaluated users.

        The budget ε is a number of edits. If the scale is relative, ε is a share of the history's length instead. The
        rules of the threat model limit the edits further.
        """
        victim, threat = self.victim, attack.threat()
        rules = threat.rules or EditRules()
        self.plausibility = None if rules.plausible is None else Plausibility(victim.history, rules.plausible)
        model, history = victim.model, victim.history
        inputs = ItemInputs(model, history.n_users) if isinstance(model, TorchModel) else None
        for chunk in victim.chunks():
            lengths = torch.from_numpy(history.lengths()[chunk.users.numpy()])
            plausible = None if self.plausibility is None else self.plausibility.of(chunk.users.numpy())
            limits = EditLimits(
                edit_limits(epsilon, threat.scale, lengths),
                rules.place == "end",
                None if plausible is None else ~plausible,
                self.additive_error is not None and self.additive_error <= ROUNDING,
            )
            unit = lengths.clamp_min(1).double() if threat.scale == "relative" else torch.ones(len(lengths)).double()
            goal = Goal.of(chunk, threat.goal, threat.k, targets)
            draws = victim.draws(attack.expectation())
            oracle = EditOracle.read(model, history, chunk, goal, limits, draws, inputs, costs, diagnosis)
            yield HistoryArena(oracle, unit, targets=targets)

    def diagnostics(self, arrays: CellArrays, targets: IntArray | None) -> dict[str, float]:
        """Returns diagnostics about plausible items and about scores declared as sums.

        Each number is present only if it applies. Diagnostics about candidates do not apply, because the model chooses
        new candidates for edited histories.
        """
        numbers = {} if self.plausibility is None else {"plausible_from": self.plausibility.least}
        numbers |= {} if self.additive_error is None else {"additive_error": self.additive_error}
        return numbers | history_share_ignored(self.victim)
