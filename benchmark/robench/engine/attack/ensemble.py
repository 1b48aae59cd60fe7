"""Ensembles: member after member, on the users who still stand; who broke whom, and at what cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robench.api.attacks.base import Attack
from robench.api.attacks.ensemble import Ensemble, Member
from robench.api.errors import PluginError
from robench.api.rng import Rng
from robench.engine.attack.arena import Arena, Arrays, Candidate, chosen, replaced, worst
from robench.engine.attack.costs import Costs
from robench.engine.attack.draws import Judgement

NOT_RUN, NOBODY = -1, -1


def expectation_of(attack: Attack) -> int:
    """Draws that an attack takes per look at a victim that draws at test time."""
    return int(getattr(attack.config, "expectation", 1))


def members_of(ensemble: Ensemble, *, gradients: bool, stochastic: bool, follows: bool = False) -> list[Member]:
    """The members that can attack a victim: one that gives orders is left out where the victim follows none.

    Raises:
        PluginError: they are no list of members of distinct names and of the ensemble's own threat model, or none is
            left.
    """
    found: object = ensemble.members(gradients=gradients, stochastic=stochastic)
    name = f"{type(ensemble).__name__}.members()"
    if not isinstance(found, Sequence) or not found or not all(isinstance(one, Member) for one in found):
        told = "an empty list" if isinstance(found, Sequence) and not found else f"{type(found).__name__}"
        raise PluginError(f"{name} gave {told}, not a list of Member(name, attack, everyone)")
    twice = [one for one, count in Counter(member.name for member in found).items() if count > 1]
    if twice:
        raise PluginError(f"{name} has two members called '{twice[0]}'")
    for member in found:
        if member.attack.threat() != ensemble.threat():
            raise PluginError(f"{name}: '{member.name}' is of another threat model than the ensemble")
    able = [member for member in found if follows or not getattr(member.attack, "instructs", False)]
    if not able:
        raise PluginError(f"{name}: all of them give orders, and the victim answers no prompt")
    return able


@dataclass
class MemberLog:
    """What the members of an ensemble did, over all chunks of a victim.

    Args:
        members: in order.
    """

    members: Sequence[Member]
    costs: dict[str, Costs] = field(default_factory=dict)
    ran_on: dict[str, int] = field(default_factory=dict)
    damage: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, costs: Costs, users: int) -> None:
        """A member's run on a chunk."""
        self.costs.setdefault(name, Costs()).add(costs)
        self.ran_on[name] = self.ran_on.get(name, 0) + users

    def rows(self, arrays: Arrays) -> list[dict[str, Any]]:
        """A row per member, in order, for the record.

        Args:
            arrays: ``first`` int64 [U], the member that broke a user first, −1 where none did; absent where one
                perturbation serves all users.
        """
        found = []
        for number, member in enumerate(self.members):
            costs, first = self.costs.get(member.name, Costs()), arrays.get("first")
            row = {
                "name": member.name,
                "kind": member.attack.kind(),
                "everyone": member.everyone,
                "steps": getattr(member.attack.config, "steps", None),
                "users": self.ran_on.get(member.name, 0),
                "queries": costs.queries,
                "gradients": costs.gradients,
            }
            if first is not None:
                row["first_breaks"] = int((first == number).sum())
            else:
                row["damage"] = self.damage.get(member.name)
            found.append(row)
        return found


def run(arena: Arena, member_log: MemberLog, rng: Rng) -> tuple[Candidate, Arrays]:
    """The worst per row over the members. A member runs on rows that are not broken yet, or on all that were to be.

    Returns:
        The candidate; ``first`` int64 [B] and ``member_broke`` int8 [B, M]: 1 broken by this member, 0 not, −1 not run.
    """
    best = arena.genuine()
    seen = arena.look(best)
    stands, concerned = arena.to_break.clone(), arena.concerned
    first = torch.full((len(stands),), NOBODY, dtype=torch.int64)
    broke = torch.full((len(stands), len(member_log.members)), NOT_RUN, dtype=torch.int8)
    for number, member in enumerate(member_log.members):
        among = concerned if member.everyone or not arena.stops else stands
        place = among.nonzero(as_tuple=True)[0]
        if not len(place):
            continue
        part = arena.rows(place, expectation_of(member.attack))
        found, look = worst(part, member.attack, rng.child(member.name))
        member_log.note(member.name, part.costs, part.n_users)
        arena.costs.add(part.costs)
        best, seen = _merged(best, seen, place, found, look)
        broke[place.cpu(), number] = look.broken.cpu().to(torch.int8)
        fresh = place[look.broken & stands[place]]
        first[fresh.cpu()] = number
        stands[fresh] = False
    return best, {"first": first.numpy(), "member_broke": broke.numpy()}


def _merged(
    best: Candidate, seen: Judgement, place: Tensor, found: Candidate, look: Judgement
) -> tuple[Candidate, Judgement]:
    """The rows ``place`` with the worse of both."""
    whole = replaced(best, place, found)
    new = Judgement(*(old.index_copy(0, place, part.to(old.dtype)) for old, part in zip(seen, look, strict=True)))
    better = (new.damage > seen.damage) | ((new.damage == seen.damage) & (new.loss > seen.loss))
    return chosen(better, whole, best), Judgement(*(torch.where(better, n, o) for n, o in zip(new, seen, strict=True)))


def most_harmful(arena: Arena, member_log: MemberLog, rng: Rng) -> tuple[Candidate, Arrays]:
    """One perturbation for all users: the member with the worst mean.

    Returns:
        The candidate; ``member_damage`` float64 [U, M], of every user what each member's own worst did.
    """
    best = arena.genuine()
    seen = arena.look(best)
    damages = []
    for member in member_log.members:
        everything = torch.arange(len(arena.to_break), device=arena.to_break.device)
        part = arena.rows(everything, expectation_of(member.attack))
        found, look = worst(part, member.attack, rng.child(member.name))
        member_log.note(member.name, part.costs, part.n_users)
        member_log.damage[member.name] = float(look.damage[0])
        damages.append(arena.damage(found).cpu().numpy())
        arena.costs.add(part.costs)
        better = (look.damage > seen.damage) | ((look.damage == seen.damage) & (look.loss > seen.loss))
        best = chosen(better, found, best)
        seen = Judgement(*(torch.where(better, n, o) for n, o in zip(look, seen, strict=True)))
    return best, {"member_damage": np.stack(damages, axis=1)}
