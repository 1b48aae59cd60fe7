"""Measures a victim under edits of the users' histories."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from robench.api.attacks.base import Attack
from robench.api.data import IntArray
from robench.api.models.torch import TorchModel
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.goal import Goal
from robench.engine.attack.measurement import CellArrays
from robench.engine.attack.surface import ArenaSurface
from robench.engine.surfaces.history.arena import HistoryArena
from robench.engine.surfaces.history.budget import edit_limits
from robench.engine.surfaces.history.oracle import EditOracle
from robench.engine.surfaces.history.slopes import ItemInputs


class HistorySurface(ArenaSurface):
    """The histories of one victim's users, as an attack surface."""

    def arenas(
        self, attack: Attack, epsilon: float, costs: Costs, diagnosis: Diagnosis, targets: IntArray | None = None
    ) -> Iterator[HistoryArena]:
        """Yields one arena per chunk of evaluated users.

        The budget ε is a number of edits. If the scale is relative, ε is a share of the history's length instead.
        """
        victim, threat = self.victim, attack.threat()
        model, history = victim.model, victim.history
        inputs = ItemInputs(model, history.n_users) if isinstance(model, TorchModel) else None
        for chunk in victim.chunks():
            lengths = torch.from_numpy(history.lengths()[chunk.users.numpy()])
            limit = edit_limits(epsilon, threat.scale, lengths)
            unit = lengths.clamp_min(1).double() if threat.scale == "relative" else torch.ones(len(lengths)).double()
            goal = Goal.of(chunk, threat.goal, threat.k, targets)
            draws = victim.draws(attack.expectation())
            oracle = EditOracle.read(model, history, chunk, goal, limit, draws, inputs, costs, diagnosis)
            yield HistoryArena(oracle, unit, targets=targets)

    def diagnostics(self, arrays: CellArrays, targets: IntArray | None) -> dict[str, float]:
        """Returns an empty mapping, because this surface has no diagnostics of its own.

        Diagnostics about candidates do not apply, because a model also chooses its candidates by the edited histories.
        """
        return {}
