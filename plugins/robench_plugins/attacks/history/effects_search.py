"""The search that the attack ``edit-effects`` runs on a block of users."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import pad

from robench.api import HistoryOracle, Rng
from robench.api.attacks.edits import edited
from robench.api.attacks.history import DELETE, INSERT, KINDS, SUBSTITUTE
from robench_plugins.attacks.history.effects import Effects, damage_of, in_turn

if TYPE_CHECKING:
    from torch import Tensor


class EffectsSearch:
    """The measured effects and the edited histories of a block of users.

    Args:
        oracle: the oracle of a chunk of users.
        config: the settings of the attack.
        block: the positions of the users in the oracle, int64 [b].
        items: the items whose insertion is scored, int64 [any number], per user.

    Attributes:
        rows: the worst histories so far, int64 [b, L].
        origin: 1 plus the place that each item of ``rows`` has in the genuine history, int64 [b, L]. Inserted items
            and padding have 0.
    """

    def __init__(self, oracle: HistoryOracle, config: Any, block: Tensor, items: list[Tensor]) -> None:
        self.oracle, self.config, self.block, self.items = oracle, config, block, items
        self.promotes = config.goal == "promote"
        self.goal, self.budget = oracle.goal_items()[block], oracle.budget()[block]
        self.rows = oracle.rows()[block]
        self.rows = self.rows[:, : max(1, int((self.rows >= 0).sum(1).max()))]
        self.origin = torch.where(self.rows >= 0, torch.arange(1, self.rows.shape[1] + 1), 0)
        self.effects: list[Effects] = []
        self._edits: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []  # damage, kind, place and item, [b] each

    @classmethod
    def measure(cls, oracle: HistoryOracle, config: Any, block: Tensor, rng: Rng) -> EffectsSearch:
        """Returns a search that has scored the deletions and insertions of a block.

        Args:
            oracle: the oracle of a chunk of users.
            config: the settings of the attack.
            block: the positions of the users in the oracle, int64 [b].
            rng: the stream of the attack.
        """
        allowed = oracle.insertable()[block]
        if bool((allowed.sum(1) > config.inserted).any()):
            drawn = oracle.uniform(rng.child("items"), oracle.n_items)[block].masked_fill_(~allowed, 2.0)
            allowed &= drawn <= drawn.kthvalue(config.inserted, dim=1).values.unsqueeze(1)
        search = cls(oracle, config, block, [row.nonzero()[:, 0] for row in allowed])
        search._measure()
        return search

    def proposals(self) -> Iterator[Tensor]:
        """Yields the histories after the best edits, int64 [b, any L] each.

        There is one round per edit of the largest budget in the block. A round yields at most ``finalists`` results.
        """
        for edit in range(int(self.budget.max())):
            if edit:
                self._edits = []
                self.scores = self._score(self.rows, torch.arange(len(self.block)))
            affordable = edit < self.budget
            self._verify(affordable, first=edit == 0)
            if not self._edits:  # no user has an edit to try
                return
            if edit == 0 and self.config.place == "anywhere":
                self._vary_leaders(affordable)
            yield from self._step(affordable)

    def _measure(self) -> None:
        """Scores the genuine histories, and the deletions and insertions that are needed.

        The method stores the effects of these edits in ``effects``.
        """
        self.scores = self._score(self.rows, torch.arange(len(self.block)))
        lengths = (self.rows >= 0).sum(1)
        substitutes = "substitute" in self.config.kinds
        removed = lengths if substitutes or "delete" in self.config.kinds else torch.zeros_like(lengths)
        counts = torch.tensor([len(items) for items in self.items])
        added = counts if substitutes or "insert" in self.config.kinds else torch.zeros_like(counts)
        deleting = self._table(removed, lambda users, place: (DELETE, place, 0))
        inserting = self._table(
            added, lambda users, row: (INSERT, lengths[users], self._item(users, torch.full_like(users, row + 1)))
        )
        if self.oracle.additive:  # an empty history has no sum, so its scores tell nothing about the only item
            for table, scores in zip(deleting, self.scores, strict=True):
                if len(table) == 1 + 1:
                    table[1] = torch.nan_to_num(-scores, posinf=0.0, neginf=0.0)
        pairs = zip(deleting, inserting, self.goal, strict=True)
        self.effects = [Effects(less, more, own[own >= 0], self.promotes) for less, more, own in pairs]

    def _table(self, counts: Tensor, edit_of: Callable[[Tensor, int], tuple[Any, Any, Any]]) -> list[Tensor]:
        """Scores several edits of each user and returns their effects.

        Args:
            counts: the number of edits of each user, int64 [b].
            edit_of: a function that takes some users and the number of an edit, and returns the kind, the place and
                the item of this edit.

        Returns:
            One tensor per user, float [count + 1, n_items]. Row 0 is zero.
        """
        tables = [torch.zeros(count + 1, self.scores.shape[1]) for count in counts.tolist()]
        for number in range(int(counts.max())):
            users = (counts > number).nonzero()[:, 0]
            for user, row in zip(users.tolist(), self._look(users, *edit_of(users, number)), strict=True):
                tables[user][number + 1] = row
        return tables

    def _score(self, rows: Tensor, users: Tensor) -> Tensor:
        return self.oracle.scores(rows, self.block[users]).float()

    def _look(self, users: Tensor, kind: int | Tensor, place: int | Tensor, item: int | Tensor) -> Tensor:
        """Scores one edit for each of some users and stores the damage.

        Args:
            users: the users in the block, int64 [b].
            kind: the kind of the edit, either one for all users or int64 [b].
            place: the place of the edit, either one for all users or int64 [b].
            item: the item that comes in, either one for all users or int64 [b].

        Returns:
            The change of the scores, float [b, n_items].
        """
        edit = [torch.as_tensor(part).expand(len(users)) for part in (kind, place, item)]
        scores = self._score(edited(self.rows[users], *edit), users)
        parts = [damage_of(scores, self.goal[users], promotes=self.promotes), *edit]
        full = [torch.full((len(self.block),), -torch.inf, dtype=torch.float64)]
        full += [torch.full((len(self.block),), -1) for _ in edit]
        for whole, part in zip(full, parts, strict=True):
            whole[users] = part
        self._edits.append((full[0], full[1], full[2], full[3]))
        return torch.nan_to_num(scores - self.scores[users])  # a known item has −inf in both

    def _verify(self, affordable: Tensor, *, first: bool) -> None:
        """Scores the edits with the highest predicted damage.

        Args:
            affordable: whether each user may make another edit, bool [b].
            first: whether this is the first edit. If so, single deletions and insertions have already been scored.
        """
        lengths, none = (self.rows >= 0).sum(1), torch.empty(0, dtype=torch.int64)
        pairs = [
            effects.best(self.scores[user], self._possible(user, first=first), self.config.verified)
            if affordable[user] and len(effects.goal)
            else (none, none)
            for user, effects in enumerate(self.effects)
        ]
        for users, deletion, insertion in in_turn(pairs):
            kind = torch.where(deletion == 0, INSERT, torch.where(insertion == 0, DELETE, SUBSTITUTE))
            found = (self.origin[users] == deletion.unsqueeze(1)) & (self.rows[users] >= 0)
            place = torch.where(deletion == 0, lengths[users], found.int().argmax(1))
            self._look(users, kind, place, self._item(users, insertion))

    def _possible(self, user: int, *, first: bool) -> Tensor:
        """Returns which pairs of a deletion and an insertion may be scored next.

        Args:
            user: the position of the user in the block.
            first: whether this is the first edit. If so, single deletions and insertions have already been scored.

        Returns:
            A mask with one row per row of ``Effects.deleting`` and one column per row of ``Effects.inserting``, bool.
        """
        kinds, effects = self.config.kinds, self.effects[user]
        present = torch.zeros(len(effects.deleting), dtype=torch.bool)
        present[self.origin[user][self.origin[user] < len(present)]] = True
        present[0] = False
        new = torch.zeros(len(effects.inserting), dtype=torch.bool)
        new[1:] = ~torch.isin(self.items[user], self.rows[user])[: len(new) - 1]
        possible = present[:, None] & new if "substitute" in kinds else torch.zeros(len(present), len(new)).bool()
        if not first:
            possible[0] = new & ("insert" in kinds)
            possible[:, 0] = present & ("delete" in kinds)
        return possible

    def _item(self, users: Tensor, insertion: Tensor) -> Tensor:
        """Returns the items of some rows of ``Effects.inserting``, int64 [b].

        The item is 0 if nothing is inserted.
        """
        pairs = zip(users.tolist(), insertion.tolist(), strict=True)
        return torch.tensor([int(self.items[user][row - 1]) if row else 0 for user, row in pairs])

    def _vary_leaders(self, affordable: Tensor) -> None:
        """Scores the leaders at the latest places of each history.

        A leader is the item of one of the best insertions and substitutions. It is inserted and substituted at each
        place, if the settings allow these edits.
        """
        lengths = (self.rows >= 0).sum(1)
        damage, kinds, _, items = (torch.stack(parts) for parts in zip(*self._edits, strict=True))
        damage = damage.masked_fill(kinds == DELETE, -torch.inf)
        for _ in range(self.config.leaders):
            leader = items.gather(0, damage.argmax(0, keepdim=True))[0]
            exists = damage.amax(0) > -torch.inf
            damage = damage.masked_fill(items == leader, -torch.inf)
            for back in range(self.config.places):
                for name, kind in (("insert", INSERT), ("substitute", SUBSTITUTE)):
                    users = (affordable & exists & (lengths > back)).nonzero()[:, 0]
                    if name in self.config.kinds and len(users):
                        self._look(users, kind, lengths[users] - 1 - back, leader[users])

    def _step(self, affordable: Tensor) -> Iterator[Tensor]:
        """Yields the histories after each finalist, int64 [b, any L], the best one first.

        A finalist is one of a user's most damaging edits. The best edit of each user is then made if it raises the
        damage.
        """
        before = damage_of(self.scores, self.goal, promotes=self.promotes)
        damage, kinds, places, items = (torch.stack(parts) for parts in zip(*self._edits, strict=True))
        allowed = torch.isin(kinds, torch.tensor([KINDS[name] for name in self.config.kinds]))
        damage = damage.masked_fill(~(allowed & affordable), -torch.inf)
        best = damage.topk(min(self.config.finalists, len(damage)), dim=0)
        rows, origin = self.rows, torch.where(self.rows >= 0, self.origin, -1)
        for number, (value, index) in enumerate(zip(best.values, best.indices.unsqueeze(1), strict=True)):
            chosen, place, item = (part.gather(0, index)[0] for part in (kinds, places, items))
            chosen = torch.where(value > -torch.inf, chosen, -1)
            proposal = edited(rows, chosen, place, item)
            if number == 0:
                better = (value > before).unsqueeze(1)
                new = edited(origin, chosen, place, torch.zeros_like(item))
                self.rows = torch.where(better, proposal, pad(rows, (0, 1), value=-1))
                self.origin = torch.where(better, new, pad(origin, (0, 1), value=-1)).clamp_min(0)
            yield proposal
