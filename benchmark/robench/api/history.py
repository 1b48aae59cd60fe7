"""Attacks on the surface ``history``: some interactions of a genuine user are substituted, inserted or deleted.

Rows of histories are int64 [B, L], oldest item first, right-padded with −1.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol

import torch
from pydantic import AfterValidator, Field

from robench.api.attack import Attack, Evaluation, LossName
from robench.api.component import BaseConfig
from robench.api.rng import Rng
from robench.api.threat import Scale, Stage, Surface, Threat

if TYPE_CHECKING:
    from torch import Tensor

Edit = Literal["substitute", "insert", "delete"]
SUBSTITUTE, INSERT, DELETE = 0, 1, 2
KINDS: dict[Edit, int] = {"substitute": SUBSTITUTE, "insert": INSERT, "delete": DELETE}


def _distinct(edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    if not edits or len(set(edits)) < len(edits):
        raise ValueError("name each kind of edit once, and at least one")
    return edits


class HistoryConfig(BaseConfig):
    """Settings of every attack on the surface ``history``."""

    unit: Literal["edits", "fraction"] = Field(
        default="edits", description="of ε: a number of edits, or a share of the history's length (at least one edit)"
    )
    goal: Literal["untargeted", "promote"] = "untargeted"
    k: int = Field(default=10, ge=1, description="the top k that an item shall leave, or enter")
    expectation: int = Field(default=1, ge=1, description="draws per look at a victim that draws at test time")
    edits: Annotated[tuple[Edit, ...], AfterValidator(_distinct)] = ("substitute", "insert", "delete")


@dataclass(frozen=True, eq=False)
class Slopes:
    """First-order change of the loss by every substitution: the loss rises by about ⟨g_l, v_j − v_i⟩ when item i at
    place l becomes item j (HotFlip, Ebrahimi et al., ACL 2018, eq. 1), g_l the gradient by the vector at l.

    Args:
        gradient: float [B, W, d], or [B, 1, d] where all places share one.
        place: int64 [B, W] places of the history that the model reads, −1 where it reads fewer.
        present: int64 [B, W] the items that stand there.
        vectors: float [n_items, d].
    """

    gradient: Tensor
    place: Tensor
    present: Tensor
    vectors: Tensor

    def of(self, user: int) -> Tensor:
        """Slopes of one row: float [W, n_items], −inf where there is no place and where an item would stay."""
        gain = self.gradient[user] @ self.vectors.T
        present = self.present[user].clamp_min(0).unsqueeze(1)
        slopes = gain - gain.expand(len(present), -1).gather(1, present)
        slopes.scatter_(1, present, -torch.inf)
        return slopes.masked_fill_(self.place[user].unsqueeze(1) < 0, -torch.inf)

    def steepest(self, count: int, allowed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best substitutions, best first.

        Args:
            count: how many per row.
            allowed: bool [B, n_items], items that may come in.

        Returns:
            place int64 [B, count], −1 where there are fewer; item int64 [B, count]; slope float [B, count].
        """
        rows, n_items = len(self.place), len(self.vectors)
        place = torch.full((rows, count), -1)
        item = torch.zeros((rows, count), dtype=torch.int64)
        slope = torch.full((rows, count), -torch.inf)
        for user in range(rows):
            flat = self.of(user).masked_fill_(~allowed[user], -torch.inf).flatten()
            best = flat.topk(min(count, len(flat)))
            kept = best.values > -torch.inf
            index, found = best.indices[kept], best.values[kept]
            place[user, : len(index)] = self.place[user][index // n_items]
            item[user, : len(index)] = index % n_items
            slope[user, : len(index)] = found
        return place, item, slope


class HistoryOracle(Protocol):
    """One chunk of users of one victim, as an attack on histories may query it. Every evaluation is counted.

    The host owns the loss, see ``Oracle``; the masks stay those of the genuine histories. All tensors are on the CPU.
    """

    @property
    def users(self) -> Tensor:
        """int64 [B]."""
        ...

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        ...

    @property
    def to_break(self) -> Tensor:
        """bool [B]: the goal is not reached with the genuine history."""
        ...

    def rows(self) -> Tensor:
        """The genuine histories: int64 [B, L]."""
        ...

    def budget(self) -> Tensor:
        """Edits that each user may have: int64 [B]. The host takes the Levenshtein distance to the genuine history."""
        ...

    def insertable(self, rows: Tensor | None = None) -> Tensor:
        """Items that may come into ``rows`` (default: the genuine ones): bool [B, n_items].

        No held-out and no promoted item, and none that the row holds.
        """
        ...

    def evaluate(self, rows: Tensor, loss: LossName = "ce") -> Evaluation:
        """Loss and outcome with these histories."""
        ...

    def slopes(self, rows: Tensor, loss: LossName = "ce") -> Slopes | None:
        """Slopes of the loss at these histories; None where the model offers no gradient by its items."""
        ...

    def uniform(self, rng: Rng, *shape: int) -> Tensor:
        """Uniform in [0, 1), a stream per user, so that chunks change nothing: float64 [B, *shape]."""
        ...


class HistoryAttack(Attack):
    """Edits a user's history at test time within a number of edits."""

    Config: ClassVar[type[BaseConfig]] = HistoryConfig
    surface: ClassVar[Surface] = "history"
    stage: ClassVar[Stage] = "test"

    def threat(self) -> Threat:
        """History, at test time; relative where ε is a share of the history's length."""
        c = self.config
        scale: Scale = "relative" if c.unit == "fraction" else "absolute"
        return Threat("history", "test", "edits", scale, c.goal, c.k)

    @abstractmethod
    def rewrite(self, oracle: HistoryOracle, rng: Rng) -> Iterator[Tensor]:
        """Candidates, int64 [B, any L]. The host refuses a row that is over budget or holds a forbidden item, re-scores
        the others and keeps the worst per user.
        """


def edited(rows: Tensor, kind: Tensor, place: Tensor, item: Tensor) -> Tensor:
    """One edit per row.

    Args:
        rows: int64 [B, L].
        kind: int64 [B], one of ``KINDS``, or −1 for a row that stays.
        place: int64 [B]: the place that is substituted or deleted, or that the inserted item will have.
        item: int64 [B], what comes in.

    Returns:
        int64 [B, L + 1].
    """
    kind, place, item = (part.unsqueeze(1) for part in (kind, place, item))
    at = torch.arange(rows.shape[1] + 1).expand(len(rows), -1)
    behind = at > place
    source = at - (behind & (kind == INSERT)).long() + ((behind | (at == place)) & (kind == DELETE)).long()
    wide = torch.nn.functional.pad(rows, (0, 2), value=-1)
    comes = (at == place) & ((kind == SUBSTITUTE) | (kind == INSERT))
    return torch.where(comes, item, wide.gather(1, source))


def random_edits(
    oracle: HistoryOracle, rows: Tensor, uniform: Tensor, edits: tuple[Edit, ...]
) -> tuple[Tensor, Tensor, Tensor]:
    """Uniform edits that are allowed: the kind among ``edits``, then the place, then the item.

    A row without items can only be inserted into, and nothing can be inserted where no item is left; a row for which
    no kind of edit remains stays.

    Args:
        oracle: of these users.
        rows: int64 [B, L] the present histories.
        uniform: float64 [B, Q, 3] in [0, 1).
        edits: kinds to draw from.

    Returns:
        kind, place and item, int64 [B, Q] each, for ``edited``.
    """
    allowed = oracle.insertable(rows).cumsum(1)
    lengths, left = (rows >= 0).sum(1, keepdim=True), allowed[:, -1:]
    kinds = torch.tensor([KINDS[name] for name in edits])
    possible = ((kinds == INSERT) | (lengths > 0)) & ((kinds == DELETE) | (left > 0))
    ways = possible.cumsum(1)
    drawn, spots, picks = uniform.unbind(2)
    # Right of a cumulative count stands the first entry that exceeds the draw: the (draw + 1)-th of the possible ones.
    chosen = torch.searchsorted(ways, (drawn * ways[:, -1:]).long(), right=True)
    kind = torch.where(ways[:, -1:] > 0, kinds[chosen.clamp_max(len(kinds) - 1)], -1)
    place = (spots * (lengths + (kind == INSERT))).long()
    item = torch.searchsorted(allowed, (picks * left).long(), right=True)
    return kind, place, item.clamp_max(oracle.n_items - 1)
