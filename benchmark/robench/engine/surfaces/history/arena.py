"""The arena for attacks that edit each user's history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from robench.api.attacks.base import Attack
from robench.api.attacks.history import HistoryAttack
from robench.api.errors import PluginError
from robench.api.rng import Rng
from robench.engine.attack.arena import Candidate, Proposal, choose_rows, in_turn
from robench.engine.attack.costs import Costs
from robench.engine.attack.measurement import CellArrays
from robench.engine.attack.users import UserArena
from robench.engine.surfaces.history.budget import EditBudget, unpadded
from robench.engine.surfaces.history.oracle import EditOracle

ITEMS = "items"  # the only tensor of a candidate: int64 [B, L], right-padded with −1


@dataclass(eq=False)
class HistoryArena(UserArena):
    """An arena for one chunk of users, each with a separately edited history.

    Args:
        oracle: the oracle for these users.
        unit: the number of edits at ε = 1 for each user, float64 [B].
        targets: the targets, for which ranks are also stored, int64 [T].
    """

    oracle: EditOracle

    @cached_property
    def _budget(self) -> EditBudget:
        return EditBudget(
            self.oracle.rows(), self.oracle.limits.edits, self.oracle.forbidden, at_end=self.oracle.limits.at_end
        )

    @property
    def gradients(self) -> bool:
        """True if slopes with respect to the items of a history can be computed."""
        return self.oracle.readable()

    def genuine(self) -> Candidate:
        """Returns the candidate with the genuine histories."""
        return {ITEMS: self.oracle.rows()}

    def proposals(self, attack: Attack, rng: Rng) -> Iterator[Proposal]:
        """Yields the edited histories that the attack proposes.

        Raises:
            TypeError: if the attack is not a ``HistoryAttack``.
        """
        if not isinstance(attack, HistoryAttack):
            raise TypeError(f"{type(attack).__name__} edits no histories")
        yield from ({ITEMS: rows} for rows in in_turn(attack, attack.rewrite(self.oracle, rng)))

    def within_budget(self, proposal: Proposal) -> Candidate:
        """Returns the proposal with genuine rows in place of rows that are not allowed.

        Raises:
            PluginError: if the proposal has no histories, or if they are not an int64 matrix with one row per user.
        """
        if not isinstance(proposal[ITEMS], Tensor):
            raise PluginError(f"the attack gave nothing for the histories of {self.n_users} users, int64 [B, L]")
        rows = proposal[ITEMS].cpu()
        return choose_rows(self._budget.allowed(rows, self.costs), {ITEMS: rows}, self.genuine())

    def input_of(self, candidate: Candidate) -> Tensor:
        """Returns the histories of a candidate, int64 [B, L]."""
        return candidate[ITEMS]

    def rows(self, chosen: Tensor, expectation: int = 1) -> HistoryArena:
        """Returns an arena with only some of the users and with costs of its own."""
        oracle = self.oracle.restricted(chosen, Costs(), expectation)
        return HistoryArena(oracle, self.unit[chosen], targets=self.targets)

    def distances(self, candidate: Candidate) -> CellArrays:
        """Returns each user's number of edits, the edits and the spent budget.

        ``edit_script`` defines the rows of the array ``script``. ``spent`` is in the unit of ε.
        """
        genuine, edited = unpadded(self.oracle.rows()), unpadded(candidate[ITEMS])
        triples = list(zip(self.oracle.users.tolist(), genuine, edited, strict=True))
        edits = np.array([Levenshtein.distance(old, new) for _, old, new in triples], dtype=np.int64)
        lines = [line for triple in triples for line in edit_script(*triple)]
        return {
            "edits": edits,
            "script": np.array(lines, dtype=np.int64).reshape(-1, 4),
            "spent": edits / self.unit.numpy(),
        }


def edit_script(user: int, old: list[int], new: list[int]) -> list[tuple[int, int, int, int]]:
    """Returns the edits that turn the history ``old`` into the history ``new``.

    Returns:
        One tuple per edit, with the user, the position in ``old``, the removed item or −1, and the added item or −1.
    """
    lines = []
    for op in Levenshtein.editops(old, new):
        out = -1 if op.tag == "insert" else old[op.src_pos]
        lines.append((user, op.src_pos, out, -1 if op.tag == "delete" else new[op.dest_pos]))
    return lines
