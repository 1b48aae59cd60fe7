"""Selects the members of an ensemble and searches their proposals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
import torch

from robench.api.attacks.ensemble import Ensemble, Member
from robench.api.errors import PluginError
from robench.api.rng import Rng
from robench.engine.attack.arena import Arena, Candidate, Worst, replace_rows, search_worst
from robench.engine.attack.costs import Costs
from robench.engine.attack.measurement import CellArrays, MemberOutcome

NOT_RUN, NOBODY = -1, -1


def members_of(ensemble: Ensemble, *, gradients: bool, stochastic: bool, follows: bool = False) -> list[Member]:
    """Returns the members that can attack a victim, in order.

    Args:
        ensemble: the ensemble.
        gradients: whether the victim has gradients with respect to its inputs.
        stochastic: whether the victim draws random numbers at test time.
        follows: whether the victim answers prompts with titles. If not, members that write instructions are left out.

    Raises:
        PluginError: if ``members()`` does not return a list of members, if no member is left, if two members have the
            same name, or if the threat model of a member differs from that of the ensemble.
    """
    answer: object = ensemble.members(gradients=gradients, stochastic=stochastic)
    name = f"{type(ensemble).__name__}.members()"
    if not isinstance(answer, Sequence) or not answer or not all(isinstance(one, Member) for one in answer):
        kind = "an empty list" if isinstance(answer, Sequence) and not answer else f"{type(answer).__name__}"
        raise PluginError(f"{name} gave {kind}, not a list of Member(name, attack, everyone)")
    twice = [one for one, count in Counter(member.name for member in answer).items() if count > 1]
    if twice:
        raise PluginError(f"{name} has two members called '{twice[0]}'")
    for member in answer:
        if member.attack.threat() != ensemble.threat():
            raise PluginError(f"{name}: '{member.name}' has a different threat model than the ensemble")
    able = [member for member in answer if follows or not member.attack.instructs]
    if not able:
        raise PluginError(f"{name}: all of them write instructions, and the victim answers no prompt")
    return able


@dataclass
class MemberLog:
    """A log of what each member of an ensemble did, over all chunks of a victim.

    Args:
        members: the members, in order.
        costs: the costs of each member, by name.
        users: the number of users on which each member ran, by name.
        damage: the mean damage of the worst candidate that each member found, by name. The mapping is empty unless one
            perturbation serves all users.
    """

    members: Sequence[Member]
    costs: dict[str, Costs] = field(default_factory=dict)
    users: dict[str, int] = field(default_factory=dict)
    damage: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, costs: Costs, users: int) -> None:
        """Adds the costs and the number of users of a member's run on one chunk."""
        self.costs.setdefault(name, Costs()).add(costs)
        self.users[name] = self.users.get(name, 0) + users

    def rows(self, arrays: CellArrays) -> list[MemberOutcome]:
        """Returns the record's entry for each member, in order.

        Args:
            arrays: the arrays of the cell. The array ``first``, int64 [users], holds the number of the member that
                broke each user first, or −1. If one perturbation serves all users, there is no such array.
        """
        rows = []
        for number, member in enumerate(self.members):
            costs, first = self.costs.get(member.name, Costs()), arrays.get("first")
            row: MemberOutcome = {
                "name": member.name,
                "kind": member.attack.kind(),
                "everyone": member.everyone,
                "steps": member.attack.steps(),
                "users": self.users.get(member.name, 0),
                "queries": costs.queries,
                "gradients": costs.gradients,
            }
            if first is not None:
                row["first_breaks"] = int((first == number).sum())
            else:
                row["damage"] = self.damage.get(member.name)
            rows.append(row)
        return rows


def search_each_user(arena: Arena, log: MemberLog, rng: Rng) -> tuple[Candidate, CellArrays]:
    """Runs all members and returns the worst candidate of each row.

    A member runs on the rows that are still to be broken. A member with ``everyone`` runs on all rows that the ensemble
    attacks. If ``arena.stops`` is False, every member runs on all these rows.

    Returns:
        The candidate and two arrays. ``first``, int64 [B], holds the number of the member that broke each row first, or
        −1. ``member_broke``, int8 [B, members], is 1 if the member broke the row, 0 if the row survived, and −1 if the
        member did not run on the row.
    """
    worst = Worst.genuine(arena)
    standing, concerned = arena.to_break.clone(), arena.concerned
    first = torch.full((len(standing),), NOBODY, dtype=torch.int64)
    broke = torch.full((len(standing), len(log.members)), NOT_RUN, dtype=torch.int8)
    for number, member in enumerate(log.members):
        chosen = concerned if member.everyone or not arena.stops else standing
        place = chosen.nonzero(as_tuple=True)[0]
        if not len(place):
            continue
        part = arena.rows(place, member.attack.expectation())
        own = search_worst(part, member.attack, rng.child(member.name))
        log.note(member.name, part.costs, part.n_users)
        arena.costs.add(part.costs)
        worst.update_rows(place, own)
        broken = own.judgement.broken
        broke[place.cpu(), number] = broken.cpu().to(torch.int8)
        newly = place[broken & standing[place]]
        first[newly.cpu()] = number
        standing[newly] = False
    return worst.candidate, {"first": first.numpy(), "member_broke": broke.numpy()}


def search_pool(arenas: Sequence[Arena], log: MemberLog, rng: Rng) -> Iterator[tuple[Candidate, CellArrays]]:
    """Runs all members on a pool of users and yields each arena's worst candidate.

    The pool holds the users that the ensemble has to break, from all arenas. The candidate of all other users is the
    genuine input.

    Args:
        arenas: arenas of the same form, which share their costs.
        log: the log of the members.
        rng: the random stream of the attacks.

    Yields:
        For each arena, the candidate and the arrays that ``search_each_user`` describes.
    """
    places = [arena.to_break.nonzero(as_tuple=True)[0] for arena in arenas]
    ends = list(accumulate(map(len, places), initial=0))
    candidate, arrays = search_each_user(arenas[0].pooled(arenas, places), log, rng) if ends[-1] else ({}, {})
    for arena, place, start, end in zip(arenas, places, ends, ends[1:], strict=False):
        whole = arena.genuine()
        first = np.full(arena.n_users, NOBODY, dtype=np.int64)
        broke = np.full((arena.n_users, len(log.members)), NOT_RUN, dtype=np.int8)
        if len(place):
            whole = replace_rows(whole, place, {name: part[start:end] for name, part in candidate.items()})
            users = place.cpu().numpy()
            first[users], broke[users] = arrays["first"][start:end], arrays["member_broke"][start:end]
        yield whole, {"first": first, "member_broke": broke}


def search_for_all(arena: Arena, log: MemberLog, rng: Rng) -> tuple[Candidate, CellArrays]:
    """Runs all members and returns the candidate with the highest mean damage.

    The candidate is a single perturbation that serves all users. The genuine input is also a candidate.

    Returns:
        The candidate, and the array ``member_damage``, float64 [users, members]. An entry is the damage that the worst
        candidate of a member does to a user.
    """
    worst = Worst.genuine(arena)
    damages = []
    for member in log.members:
        everything = torch.arange(len(arena.to_break), device=arena.to_break.device)
        part = arena.rows(everything, member.attack.expectation())
        own = search_worst(part, member.attack, rng.child(member.name))
        log.note(member.name, part.costs, part.n_users)
        log.damage[member.name] = float(own.judgement.damage[0])
        damages.append(arena.damage(own.candidate).cpu().numpy())
        arena.costs.add(part.costs)
        worst.update(own.candidate, own.judgement)
    return worst.candidate, {"member_damage": np.stack(damages, axis=1)}
