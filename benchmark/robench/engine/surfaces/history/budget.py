"""Enforces ε on edits of histories.

A row that is over budget, or that breaks another rule, is replaced by the genuine row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from robench.api.errors import PluginError
from robench.api.surfaces import Scale
from robench.api.threat import share_in_edits
from robench.engine.attack.costs import Costs


def edit_limits(epsilon: float, scale: Scale, lengths: Tensor) -> Tensor:
    """Returns the maximum number of edits per history, int64 [B].

    If the scale is ``absolute``, the number is ⌊ε⌋. If the scale is ``relative``, the number is ⌊ε · length⌋, but at
    least 1 if ε > 0.

    Args:
        epsilon: the budget.
        scale: the scale of ε.
        lengths: the length of each history, int64 [B].
    """
    if scale == "absolute":
        return torch.full_like(lengths, int(epsilon))
    return torch.tensor([share_in_edits(epsilon, length) for length in lengths.tolist()], dtype=torch.int64)


@dataclass(frozen=True, eq=False)
class EditLimits:
    """The limits on edits that a threat model sets for one chunk of users.

    Args:
        edits: the maximum number of edits of each user, int64 [B].
        at_end: whether items may only be inserted after the last item.
        implausible: a mask of the items that are not plausible and may not be inserted, bool [B, n_items]. None means
            that every item is plausible.
        additive: whether the model declares that its scores are a sum over the items of a history, and the host has
            verified this.
    """

    edits: Tensor
    at_end: bool = False
    implausible: Tensor | None = None
    additive: bool = False

    def rows(self, chosen: Tensor) -> EditLimits:
        """Returns the limits of the users at some positions (int64 [b])."""
        implausible = None if self.implausible is None else self.implausible[chosen]
        return replace(self, edits=self.edits[chosen], implausible=implausible)


class EditBudget:
    """The limits on edits of histories for one chunk of users.

    Args:
        genuine: the genuine histories, int64 [B, L], right-padded with −1.
        limit: the maximum number of edits for each user, int64 [B].
        forbidden: a mask of the items that no edit may add, bool [B, n_items].
        at_end: whether items may only be inserted after the last item.
    """

    def __init__(self, genuine: Tensor, limit: Tensor, forbidden: Tensor, *, at_end: bool = False) -> None:
        self.genuine, self.limit, self.forbidden, self.at_end = genuine, limit, forbidden, at_end

    def allowed(self, rows: Tensor, costs: Costs) -> Tensor:
        """Returns whether each row is allowed, bool [B], and records the overshoot.

        Args:
            rows: the proposed histories, int64 [B, L], right-padded with −1.
            costs: the costs in which the overshoot is recorded.

        Raises:
            PluginError: if ``rows`` is not an int64 matrix with one row per user.
        """
        if rows.dim() != 2 or len(rows) != len(self.limit) or rows.dtype != torch.int64:
            shape = f"{rows.dtype} {tuple(rows.shape)}"
            raise PluginError(f"the attack gave {shape} for the histories of {len(self.limit)} users, int64 [B, L]")
        real = rows != -1
        length = (real * torch.arange(1, rows.shape[1] + 1)).amax(1) if rows.shape[1] else real.sum(1)
        lawful = self._lawful(rows, length)
        if self.at_end:
            lawful &= self._continues(rows)
        pairs = zip(self._lists, rows.tolist(), length.tolist(), strict=True)
        edits = torch.tensor([Levenshtein.distance(known, row[:end]) for known, row, end in pairs], dtype=torch.int64)
        # A row with items that are not permitted counts as at least one edit over budget. If the budget is 0, any edit
        # must count as an overshoot.
        spent = torch.where(lawful, edits, torch.maximum(edits, self.limit + 1))
        over = torch.where(spent > 0, 1.0 + spent, 0.0)
        costs.note_overshoot(float(torch.where(self.limit > 0, spent / self.limit.clamp_min(1), over).max()))
        return lawful & (edits <= self.limit)

    @cached_property
    def _lists(self) -> list[list[int]]:
        return unpadded(self.genuine)

    def _lawful(self, rows: Tensor, length: Tensor) -> Tensor:
        """Returns whether the items of each row are permitted, bool [B].

        All items must exist. No forbidden item may be added. No item may occur more often than in the genuine history,
        except that a new item may occur once.

        Args:
            rows: the edited histories, int64 [B, L].
            length: the length of each row without padding, int64 [B].
        """
        inside = torch.arange(rows.shape[1]) < length.unsqueeze(1)
        exists = (rows >= 0) & (rows < self.forbidden.shape[1])
        counts = self._count_items(torch.where(inside & exists, rows, self.forbidden.shape[1]))
        before = self._genuine_counts
        comes_in = ((counts > 0) & (before == 0) & self.forbidden).any(1)
        return (exists | ~inside).all(1) & ~comes_in & (counts <= before.clamp_min(1)).all(1)

    def _continues(self, rows: Tensor) -> Tensor:
        """Returns whether each row begins with the whole genuine history, bool [B].

        Args:
            rows: the edited histories, int64 [B, L].
        """
        missing = max(0, self.genuine.shape[1] - rows.shape[1])
        begin = torch.nn.functional.pad(rows, (0, missing), value=-1)[:, : self.genuine.shape[1]]
        return ((begin == self.genuine) | (self.genuine < 0)).all(1)

    def _count_items(self, rows: Tensor) -> Tensor:
        """Returns how often each item occurs in each row: int16 [B, n_items].

        Args:
            rows: the histories, int64 [B, L], padded with n_items.
        """
        counts = torch.zeros(len(rows), self.forbidden.shape[1] + 1, dtype=torch.int16)
        return counts.scatter_add_(1, rows, torch.ones_like(rows, dtype=torch.int16))[:, :-1]

    @cached_property
    def _genuine_counts(self) -> Tensor:
        return self._count_items(torch.where(self.genuine >= 0, self.genuine, self.forbidden.shape[1]))


def unpadded(rows: Tensor) -> list[list[int]]:
    """Converts a matrix of histories, int64 [B, L], to lists without padding."""
    return [[item for item in row if item >= 0] for row in rows.tolist()]
