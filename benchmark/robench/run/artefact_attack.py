"""Attacks that propose exactly what an artefact holds.

The host judges these proposals like those of any other attack. A proposal beyond its budget raises an error that states
its size. It is never projected onto the budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from robench.api.attacks.ball import Ball, sizes
from robench.api.attacks.base import Attack
from robench.api.attacks.embedding import EmbeddingAttack
from robench.api.attacks.history import HistoryAttack
from robench.api.attacks.text import TextAttack, printable
from robench.api.errors import UserError
from robench.api.rng import Rng
from robench.api.threat import Threat
from robench.engine.attack.costs import Costs
from robench.engine.surfaces.embedding.oracle import EmbeddingOracle
from robench.engine.surfaces.history.budget import EditBudget, unpadded
from robench.engine.surfaces.history.oracle import EditOracle
from robench.engine.surfaces.text.oracle import TitleOracle
from robench.engine.surfaces.vector_budget import ROUNDING, TINY
from robench.store.artefact import Artefact


class _ArtefactAttack(Attack):
    """An attack that proposes the content of an artefact.

    Args:
        artefact: the artefact.
        threat: the threat model of the cell.
    """

    def __init__(self, artefact: Artefact, threat: Threat) -> None:
        super().__init__()
        self.artefact, self._threat = artefact, threat
        self._place = {user: place for place, user in enumerate(artefact.users.tolist())}

    def threat(self) -> Threat:
        """Returns the threat model of the cell."""
        return self._threat

    def _places(self, users: Tensor) -> tuple[list[int], list[int]]:
        """Returns the rows of a chunk that the artefact perturbs, and their places in it."""
        pairs = [(row, self._place[user]) for row, user in enumerate(users.tolist()) if user in self._place]
        return [row for row, _ in pairs], [place for _, place in pairs]

    def _refuse(self, problem: str, hint: str = "") -> NoReturn:
        raise UserError(problem, where=self.artefact.where, hint=hint)


class ArtefactDeltas(_ArtefactAttack, EmbeddingAttack):
    """An attack that applies the shifts of an artefact to embedded inputs."""

    def perturb(self, oracle: Any, ball: Ball, rng: Rng) -> Iterator[dict[str, Tensor]]:
        """Yields the shifts of the users of one chunk.

        Raises:
            UserError: if the inputs or their shapes are not those of the victim, if a place that may not be perturbed
                is shifted, or if a shift is beyond its budget.
        """
        assert isinstance(oracle, EmbeddingOracle)
        delta = oracle.zero()
        rows, places = self._places(oracle.users)
        if {*self.artefact.deltas} != {*delta}:
            self._refuse(f"the inputs of this victim are {', '.join(delta)}, not {', '.join(self.artefact.deltas)}")
        for name, part in delta.items():
            given = self.artefact.deltas[name]
            if given.shape[1:] != part.shape[1:]:
                shapes = f"{tuple(given.shape[1:])} per user, and those of this victim {tuple(part.shape[1:])}"
                self._refuse(f"the shifts of input '{name}' have the shape {shapes}", "was it made for another victim?")
            part[rows] = torch.from_numpy(np.ascontiguousarray(given[places])).to(part)
        allowed = oracle.checked(delta)
        for name, part in delta.items():
            wrong = (part != allowed[name]).flatten(1).any(1)
            if bool(wrong.any()):
                user = int(oracle.users[wrong][0])
                self._refuse(f"the δ of user {user} shifts places of '{name}' that may not be perturbed")
        self._check_sizes(sizes(delta, ball.norm), ball, oracle.users)
        yield delta

    def _check_sizes(self, size: Tensor, ball: Ball, users: Tensor) -> None:
        """Checks the size of each user's shift.

        Raises:
            UserError: if a shift is larger than its radius by more than rounding.
        """
        over = size > ball.radius * (1 + ROUNDING)
        if bool(over.any()):
            share = torch.where(over, size / ball.radius.clamp_min(TINY), 0.0)
            worst = int(share.argmax())
            count = int(over.sum())
            more = f"; at least {count} users are beyond theirs" if count > 1 else ""
            self._refuse(f"the δ of user {int(users[worst])} is {float(share[worst]):.4g} times its budget{more}")


class ArtefactHistories(_ArtefactAttack, HistoryAttack):
    """An attack that replaces histories with those of an artefact."""

    def rewrite(self, oracle: Any, rng: Rng) -> Iterator[Tensor]:
        """Yields the edited histories of one chunk.

        Raises:
            UserError: if a history has too many edits, or breaks a rule for edits.
        """
        assert isinstance(oracle, EditOracle)
        assert self.artefact.histories is not None
        genuine, given = oracle.rows(), self.artefact.histories
        rows, places = self._places(oracle.users)
        length = max(genuine.shape[1], given.shape[1])
        edited = torch.nn.functional.pad(genuine, (0, length - genuine.shape[1]), value=-1)
        edited[rows] = torch.from_numpy(
            np.pad(given[places], ((0, 0), (0, length - given.shape[1])), constant_values=-1)
        )
        limits = oracle.limits
        budget = EditBudget(genuine, limits.edits, oracle.forbidden, at_end=limits.at_end)
        wrong = (~budget.allowed(edited, Costs())).nonzero().flatten().tolist()
        if wrong:
            row, user = wrong[0], int(oracle.users[wrong[0]])
            edits = Levenshtein.distance(unpadded(genuine)[row], unpadded(edited)[row])
            if edits > int(limits.edits[row]):
                self._refuse(
                    f"the history of user {user} has {edits} edits, and its budget is {int(limits.edits[row])}"
                )
            self._refuse(
                f"the history of user {user} breaks a rule for edits",
                "an item exists, is not held out or promoted, and comes in once; the threat model may have more rules",
            )
        yield edited


class ArtefactTitles(_ArtefactAttack, TextAttack):
    """An attack that replaces titles with those of an artefact."""

    def rewrite(self, oracle: Any, rng: Rng) -> Iterator[Sequence[str]]:
        """Yields the titles of all items that may get new ones.

        Raises:
            UserError: if a title may not be rewritten, has too many edits, is not printable, or breaks a rule for
                titles.
        """
        assert isinstance(oracle, TitleOracle)
        genuine, items = oracle.titles(), oracle.items.tolist()
        for item in self.artefact.titles:
            if item not in items:
                self._refuse(f"the title of item {item} may not be rewritten")
        titles = [self.artefact.titles.get(item, old) for item, old in zip(items, genuine, strict=True)]
        kept = oracle.allowed.enforce(titles, Costs())
        edits, limits = oracle.allowed.edits(titles), oracle.allowed.limit
        for item, new, used, spent, limit in zip(items, titles, kept, edits, limits, strict=True):
            if new != used and spent > limit:
                self._refuse(f"the title of item {item} has {spent} edits, and its budget is {limit}")
            if new != used and not printable(new):
                self._refuse(f"the title of item {item} has characters that cannot be printed")
            if new != used:
                hint = "see stealth in the reference of threat models"
                self._refuse(f"the title of item {item} breaks a rule for titles", hint)
        yield titles


_CLASSES: Mapping[str, type[_ArtefactAttack]] = {
    "embedding": ArtefactDeltas,
    "history": ArtefactHistories,
    "text": ArtefactTitles,
}
ARTEFACT_SURFACES = tuple(_CLASSES)


def make_artefact_attack(artefact: Artefact, threat: Threat) -> Attack:
    """Returns the attack that proposes what an artefact holds.

    Raises:
        UserError: if the artefact does not perturb the surface of the threat model.
    """
    if artefact.surface != threat.surface:
        problem = f"the artefact perturbs {artefact.surface}, and its cell is attacked through {threat.surface}"
        raise UserError(problem, where=artefact.where)
    return _CLASSES[threat.surface](artefact, threat)
