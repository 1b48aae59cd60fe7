"""Ensembles: member after member, on the users who still stand; who broke whom, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from robench.api.attack import Member
from robench.api.rng import Rng
from robench.engine.arena import Arena, Arrays, Candidate, Look, chosen, replaced, worst
from robench.engine.costs import Costs

NOT_RUN, NOBODY = -1, -1


@dataclass
class Ledger:
    """What the members of an ensemble did, over all chunks of a victim.

    Args:
        names: of the members, in order.
    """

    names: Sequence[str]
    costs: dict[str, Costs] = field(default_factory=dict)
    ran_on: dict[str, int] = field(default_factory=dict)

    def note(self, name: str, costs: Costs, users: int) -> None:
        """A member's run on a chunk."""
        self.costs.setdefault(name, Costs()).add(costs)
        self.ran_on[name] = self.ran_on.get(name, 0) + users

    def achieved(self, arrays: Arrays) -> dict[str, float]:
        """Per member: share of first breaks among all breaks, users it ran on, queries and gradients.

        Args:
            arrays: ``first`` int64 [U], the member that broke a user first, −1 where none did.
        """
        first, found = arrays["first"], {}
        broken = max(1, int((first >= 0).sum()))
        for number, name in enumerate(self.names):
            costs = self.costs.get(name, Costs())
            found[f"first_breaks/{name}"] = float((first == number).sum() / broken)
            found[f"users/{name}"] = float(self.ran_on.get(name, 0))
            found[f"queries/{name}"], found[f"gradients/{name}"] = float(costs.queries), float(costs.gradients)
        return found


def run(arena: Arena, members: Sequence[Member], rng: Rng, ledger: Ledger) -> tuple[Candidate, Arrays]:
    """The worst per row over the members. A member runs on rows that are not broken yet, or on all that were to be.

    Returns:
        The candidate; ``first`` int64 [B] and ``member_broke`` int8 [B, M]: 1 broken by this member, 0 not, −1 not run.
    """
    best = arena.genuine()
    seen = arena.look(best)
    stands, everybody = arena.to_break.clone(), torch.ones_like(arena.to_break)
    first = torch.full((len(stands),), NOBODY, dtype=torch.int64)
    broke = torch.full((len(stands), len(members)), NOT_RUN, dtype=torch.int8)
    for number, member in enumerate(members):
        among = everybody if not arena.stops else arena.to_break if member.everyone else stands
        place = among.nonzero(as_tuple=True)[0]
        if not len(place):
            continue
        part = arena.rows(place)
        found, look = worst(part, member.attack, rng.child(member.name))
        ledger.note(member.name, part.costs, part.n_users)
        arena.costs.add(part.costs)
        best, seen = _merged(best, seen, place, found, look)
        broke[place.cpu(), number] = look.broken.cpu().to(torch.int8)
        fresh = place[look.broken & stands[place]]
        first[fresh.cpu()] = number
        stands[fresh] = False
    return best, {"first": first.numpy(), "member_broke": broke.numpy()}


def _merged(best: Candidate, seen: Look, place: Tensor, found: Candidate, look: Look) -> tuple[Candidate, Look]:
    """The rows ``place`` with the worse of both."""
    whole = replaced(best, place, found)
    new = Look(*(old.index_copy(0, place, part.to(old.dtype)) for old, part in zip(seen, look, strict=True)))
    better = (new.damage > seen.damage) | ((new.damage == seen.damage) & (new.loss > seen.loss))
    return chosen(better, whole, best), Look(*(torch.where(better, n, o) for n, o in zip(new, seen, strict=True)))


def most_harmful(
    arena: Arena, members: Sequence[Member], rng: Rng, ledger: Ledger
) -> tuple[Candidate, dict[str, float]]:
    """One perturbation for all users: the member with the worst mean, and every member's damage."""
    best = arena.genuine()
    seen, damages = arena.look(best), {}
    for member in members:
        part = arena.rows(torch.arange(len(arena.to_break), device=arena.to_break.device))
        found, look = worst(part, member.attack, rng.child(member.name))
        ledger.note(member.name, part.costs, part.n_users)
        arena.costs.add(part.costs)
        damages[f"damage/{member.name}"] = float(look.damage[0])
        better = (look.damage > seen.damage) | ((look.damage == seen.damage) & (look.loss > seen.loss))
        best, seen = (
            chosen(better, found, best),
            Look(*(torch.where(better, n, o) for n, o in zip(look, seen, strict=True))),
        )
    return best, damages


def member_shares(broke: np.ndarray[tuple[int, ...], np.dtype[np.int8]]) -> list[float]:
    """Of each member, the share of the users it ran on that it broke; NaN where it ran on none."""
    return [float((c == 1).sum() / ran) if (ran := int((c != NOT_RUN).sum())) else float("nan") for c in broke.T]
