"""Where an attack at test time meets a victim: the host checks, re-scores and keeps the worst, on every surface."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robench.api.attacks.ball import wide
from robench.api.attacks.base import Attack
from robench.api.data import IntArray
from robench.api.rng import Rng
from robench.engine.attack.costs import Costs, Diagnosis
from robench.engine.attack.draws import Judgement
from robench.engine.rank.ranking import EvaluationChunk, Ranking, candidates, judge

Arrays = dict[str, NDArray[Any]]
Candidate = dict[str, Tensor]
Proposed = Mapping[str, Tensor]


@dataclass
class Measurement:
    """Arrays for the npz, achieved budget, diagnostics; for the record a row per member of an ensemble, and per title
    that was rewritten.
    """

    arrays: Arrays
    achieved: dict[str, float] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)
    members: list[dict[str, Any]] = field(default_factory=list)
    titles: list[dict[str, Any]] = field(default_factory=list)


class Arena(ABC):
    """A chunk of one victim on one surface at one budget. Axis 0 of every tensor of a candidate are its rows: users,
    or rows of tables where one perturbation serves all users.
    """

    oracle: Any
    costs: Costs
    diagnosis: Diagnosis

    def __post_init__(self) -> None:
        """Costs are those of the oracle, which a dataclass beneath this has as a field."""
        self.costs, self.diagnosis = self.oracle.costs, self.oracle.diagnosis

    @property
    def to_break(self) -> Tensor:
        """bool [B]: rows whose goal is not reached at clean."""
        found: Tensor = self.oracle.to_break
        return found

    @property
    def stops(self) -> bool:
        """Whether an ensemble leaves a user who is broken. Not where items are promoted, as more still counts,
        and not where the victim draws at test time, as the next draw may tell otherwise.
        """
        return True

    @property
    def gradients(self) -> bool:
        """Whether an attack can have gradients by what it may touch."""
        return True

    @property
    def concerned(self) -> Tensor:
        """bool [B]: rows that an ensemble attacks at all. To promote, also those whose items are in the top k."""
        return self.to_break

    @property
    def n_users(self) -> int:
        """How many users one look scores."""
        return len(self.to_break)

    @abstractmethod
    def genuine(self) -> Candidate:
        """Nothing changed."""

    @abstractmethod
    def proposals(self, attack: Attack, rng: Rng) -> Iterator[Proposed]:
        """What an attack proposes.

        Raises:
            TypeError: an attack of another surface.
        """

    @abstractmethod
    def checked(self, proposed: Proposed) -> Candidate:
        """What of it may be applied within the budget; notes how far it overshot.

        Raises:
            PluginError: it has not the shape of a candidate, or is not finite.
        """

    @abstractmethod
    def look(self, candidate: Candidate) -> Judgement:
        """The host's own look, not counted."""

    @abstractmethod
    def rows(self, chosen: Tensor, expectation: int = 1) -> Arena:
        """The arena of some rows (int64 [b]), with costs of its own; ``expectation``: draws per look of its attack."""

    @abstractmethod
    def stored(self, candidate: Candidate) -> Arrays:
        """What is kept of the final candidate, a row per user; ``held_count`` if further chunks are joined to it."""

    def damage(self, candidate: Candidate) -> Tensor:
        """Returns what a candidate does to each user, float64 [U]; higher is worse."""
        return self.look(candidate).damage

    def spent(self, candidate: Candidate) -> dict[str, float]:
        """What of the budget was spent, where that is not said per user in ``stored``."""
        return {}


def worst(arena: Arena, attack: Attack, rng: Rng) -> tuple[Candidate, Judgement]:
    """Per row the candidate of the most damage, then of the highest loss; the genuine one is a candidate."""
    best = arena.genuine()
    seen = arena.look(best)
    for proposed in arena.proposals(attack, rng):
        candidate = arena.checked(proposed)
        arena.costs.queries += arena.n_users
        look = arena.look(candidate)
        better = (look.damage > seen.damage) | ((look.damage == seen.damage) & (look.loss > seen.loss))
        best = chosen(better, candidate, best)
        seen = Judgement(*(torch.where(better, new, old) for new, old in zip(look, seen, strict=True)))
    return best, seen


def chosen(better: Tensor, new: Candidate, old: Candidate) -> Candidate:
    """``new`` in the rows where ``better``, else ``old``; the shorter is padded with −1 along axis 1."""
    found = {}
    for name, part in old.items():
        one, two = even(new[name], part)
        found[name] = torch.where(wide(better, one), one, two)
    return found


def even(one: Tensor, two: Tensor) -> tuple[Tensor, Tensor]:
    """Both as long as the longer along axis 1; only lists of item ids differ."""
    if one.dim() < 2 or one.shape[1] == two.shape[1]:
        return one, two
    length = max(one.shape[1], two.shape[1])
    first, second = (torch.nn.functional.pad(x, (0, length - x.shape[1]), value=-1) for x in (one, two))
    return first, second


def replaced(whole: Candidate, place: Tensor, part: Candidate) -> Candidate:
    """``whole`` with the rows ``place`` (int64 [b]) of ``part``."""
    found = {}
    for name, old in whole.items():
        length = max(old.shape[1], part[name].shape[1]) if old.dim() > 1 else 0
        full = even(old, old.new_empty(len(old), length, *old.shape[2:]))[0] if length else old
        full = full.clone()
        full[place] = even(part[name], full)[0]
        found[name] = full
    return found


def per_user(
    chunk: EvaluationChunk, looks: list[Ranking], damages: list[Tensor], n_items: int, targets: IntArray | None
) -> Arrays:
    """Ranks, lists and ranks of promoted items as they are stored. Of several looks the one of each user whose damage
    is the median (of an even number the upper), so that the ranks belong together.

    Args:
        looks: the outcome of every draw.
        damages: float64 [B] each.
    """
    order = torch.stack(damages).argsort(dim=0, stable=True)[len(damages) // 2].cpu()
    user = torch.arange(len(order))
    held = chunk.held.cpu()
    ranks = torch.stack([look.ranks for look in looks])[order, user]
    top = np.stack([look.top for look in looks])[order.numpy(), user.numpy()]
    arrays: Arrays = {
        "ranks": ranks[held >= 0].numpy(),
        "held_count": (held >= 0).sum(1).numpy(),
        "top": top,
        "candidates": candidates(chunk, n_items),
    }
    if all(look.pairs is not None for look in looks):
        likes, dislikes = np.stack([np.asarray(look.pairs) for look in looks])[order.numpy(), :, user.numpy()].swapaxes(
            0, 1
        )
        arrays |= {"likes": likes[held.numpy() >= 0], "dislikes": dislikes[held.numpy() >= 0]}
    if targets is not None and len(targets):
        arrays["target_ranks"] = np.stack([look.targets for look in looks])[order.numpy(), :, user.numpy()].T
    return arrays


def judged(scores: Tensor, chunk: EvaluationChunk, targets: IntArray | None) -> Ranking:
    """The outcome of masked scores [B, n_items]; ``chunk`` of these users."""
    return judge(scores.cpu().numpy(), chunk.to(torch.device("cpu")), targets, masked=True)


def joined(parts: list[Arrays], users: IntArray) -> Arrays:
    """The chunks of a victim in one; ``indptr`` cuts the ranks by user."""
    found = {
        name: np.concatenate([part[name] for part in parts], axis=-1 if name == "target_ranks" else 0)
        for name in parts[0]
    }
    found["indptr"] = np.concatenate([[0], np.cumsum(found.pop("held_count"))]).astype(np.int64)
    found["users"] = np.array(users, dtype=np.int64)
    return found
