"""The surface ``history``: edits of genuine users' histories. The host measures the distance and re-scores."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from robench.api.attacks.base import Attack
from robench.api.attacks.history import HistoryAttack
from robench.api.data import IntArray, Interactions
from robench.api.errors import PluginError
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.api.rng import Rng
from robench.api.threat import Scale, Threat, share_in_edits
from robench.engine.attack.arena import Arrays, Candidate, Proposed, chosen
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.draws import Draws
from robench.engine.attack.goal import Goal
from robench.engine.attack.users import UserArena
from robench.engine.rank.ranking import EvaluationChunk
from robench.engine.surfaces.history.oracle import EditOracle
from robench.engine.surfaces.history.slopes import ItemInputs


def budget_in_edits(epsilon: float, scale: Scale, lengths: Tensor) -> Tensor:
    """Edits that histories of ``lengths`` (int64 [B]) may have: int64 [B].

    ``absolute``: ⌊ε⌋. ``relative``: ⌊ε · length⌋, and at least one where ε > 0.
    """
    if scale == "absolute":
        return torch.full_like(lengths, int(epsilon))
    return torch.tensor([share_in_edits(epsilon, length) for length in lengths.tolist()], dtype=torch.int64)


@dataclass(eq=False)
class HistoryArena(UserArena):
    """One chunk of users of one victim.

    Args:
        oracle: of these users.
        unit: float64 [B], edits that ε = 1 stands for.
        targets: int64 [T], items whose ranks are stored.
    """

    oracle: EditOracle
    unit: Tensor
    targets: IntArray | None = None

    def __post_init__(self) -> None:
        """Costs are those of the oracle."""
        super().__post_init__()
        self._known = _lists(self.oracle.rows())

    @property
    def gradients(self) -> bool:
        """Whether the model's inputs are understood as items of the history."""
        return self.oracle.readable()

    def genuine(self) -> Candidate:
        """The genuine histories: ``items`` int64 [B, L], right-padded with −1."""
        return {"items": self.oracle.rows()}

    def proposals(self, attack: Attack, rng: Rng) -> Iterator[Proposed]:
        """Edited histories."""
        if not isinstance(attack, HistoryAttack):
            raise TypeError(f"{type(attack).__name__} edits no histories")
        yield from ({"items": rows} for rows in attack.rewrite(self.oracle, rng))

    def checked(self, proposed: Proposed) -> Candidate:
        """The genuine row where a row is over budget or holds what it may not."""
        rows = proposed.get("items")
        if rows is None or rows.dim() != 2 or len(rows) != len(self._known) or rows.dtype != torch.int64:
            shape = "nothing" if rows is None else f"{rows.dtype} {tuple(rows.shape)}"
            raise PluginError(f"the attack gave {shape} for the histories of {len(self._known)} users, int64 [B, L]")
        rows = rows.cpu()
        real = rows != -1
        length = (real * torch.arange(1, rows.shape[1] + 1)).amax(1) if rows.shape[1] else real.sum(1)
        lawful = self._lawful(rows, length)
        parts = zip(self._known, rows.tolist(), length.tolist(), strict=True)
        edits = torch.tensor([Levenshtein.distance(known, row[:end]) for known, row, end in parts], dtype=torch.int64)
        # What is not lawful is over budget by one edit at least; where there is no budget, any edit must show too.
        limit = self.oracle.limit
        spent = torch.where(lawful, edits, torch.maximum(edits, limit + 1))
        share = torch.where(limit > 0, spent / limit.clamp_min(1), torch.where(spent > 0, 1.0 + spent, 0.0))
        self.costs.overshoot = max(self.costs.overshoot, float(share.max()))
        applied = lawful & (edits <= limit)
        return chosen(applied, {"items": rows}, self.genuine())

    def _lawful(self, rows: Tensor, length: Tensor) -> Tensor:
        """Whether all items exist, none comes in that is forbidden, and none stands twice (but where it did before).

        Args:
            rows: int64 [B, L].
            length: int64 [B], without the padding.
        """
        inside = torch.arange(rows.shape[1]) < length.unsqueeze(1)
        exists = (rows >= 0) & (rows < self.oracle.n_items)
        found = self._counts(torch.where(inside & exists, rows, self.oracle.n_items))
        before = self._before
        comes_in = ((found > 0) & (before == 0) & self.oracle.forbidden).any(1)
        return (exists | ~inside).all(1) & ~comes_in & (found <= before.clamp_min(1)).all(1)

    def _counts(self, rows: Tensor) -> Tensor:
        """How often each item stands in ``rows`` (padded with n_items): int16 [B, n_items]."""
        found = torch.zeros(len(rows), self.oracle.n_items + 1, dtype=torch.int16)
        return found.scatter_add_(1, rows, torch.ones_like(rows, dtype=torch.int16))[:, :-1]

    @cached_property
    def _before(self) -> Tensor:
        rows = self.oracle.rows()
        return self._counts(torch.where(rows >= 0, rows, self.oracle.n_items))

    def read(self, candidate: Candidate) -> Tensor:
        """int64 [B, L]."""
        return candidate["items"]

    def rows(self, chosen: Tensor, expectation: int = 1) -> HistoryArena:
        """Some users."""
        return HistoryArena(self.oracle.restricted(chosen, Costs(), expectation), self.unit[chosen], self.targets)

    def distances(self, candidate: Candidate) -> Arrays:
        """Edits, and which they are."""
        made = list(zip(self.oracle.users.tolist(), self._known, _lists(candidate["items"]), strict=True))
        edits = np.array([Levenshtein.distance(old, new) for _, old, new in made], dtype=np.int64)
        return {
            "edits": edits,
            "script": np.array([line for one in made for line in script(*one)], dtype=np.int64).reshape(-1, 4),
            "spent": edits / self.unit.numpy(),
        }


def script(user: int, old: list[int], new: list[int]) -> list[tuple[int, int, int, int]]:
    """The edits that make ``new`` of ``old``: (user, place in the old history, item out or −1, item in or −1)."""
    found = []
    for op in Levenshtein.editops(old, new):
        out = -1 if op.tag == "insert" else old[op.src_pos]
        found.append((user, op.src_pos, out, -1 if op.tag == "delete" else new[op.dest_pos]))
    return found


def history_arenas(
    model: Model,
    history: Interactions,
    chunk: Iterable[EvaluationChunk],
    threat: Threat,
    epsilon: float,
    *,
    draws: Draws,
    costs: Costs,
    diagnosis: Diagnosis,
    targets: IntArray | None = None,
) -> Iterator[HistoryArena]:
    """The chunks of a victim at ε: a number of edits, or, where the scale is relative, a share of the history.

    Args:
        model: the victim, in eval mode if it is neural.
        history: what is known of each real user at test time.
        questions: of each chunk, on the CPU.
        draws: streams where the victim draws at test time; every chunk starts them anew.
        costs: shared by the chunks, as is ``diagnosis``.
        targets: int64 [T], the promoted items.
    """
    inputs = ItemInputs(model, history.n_users) if isinstance(model, TorchModel) else None
    for asked in chunk:
        lengths = torch.from_numpy(history.lengths()[asked.users.numpy()])
        limit = budget_in_edits(epsilon, threat.scale, lengths)
        unit = lengths.clamp_min(1).double() if threat.scale == "relative" else torch.ones(len(lengths)).double()
        goal = Goal.of(asked, threat.goal, threat.k, targets)
        oracle = EditOracle(model, history, asked, goal, limit, replace(draws), inputs, costs, diagnosis)
        yield HistoryArena(oracle, unit, targets)


def _lists(rows: Tensor) -> list[list[int]]:
    """The rows without their padding."""
    return [[item for item in row if item >= 0] for row in rows.tolist()]
