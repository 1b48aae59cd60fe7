"""Requests for recommendations, and the answers of models.

A query looks up the user or the items of a request in a data set, and asks a model for the best items.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from robench.api.data import Interactions
from robench.api.errors import UserError
from robench.api.models.base import Model
from robench.api.models.torch import TorchModel
from robench.engine.data.prepared import Prepared
from robench.engine.rank.chunk import build_chunk, check_scores, mask_known
from robench.engine.rank.top import top_items
from robench.recommend.names import Titles


@dataclass(frozen=True)
class Request:
    """A request for the lists that victims recommend.

    If both ``user`` and ``items`` are None, the request is for every user of the data set.

    Args:
        user: the id of a user of the data set, or None.
        items: the items of a new user as typed, or None.
        k: the length of the list.
        model: the name or label of the only model to use.
        defense: the name or label of the only defence to use.
        seed: the seed of the victims, or None for the suite's first seed.
        only: the conditions that a victim must meet.
        overrides: settings of the suite to change.
    """

    user: str | None = None
    items: str | None = None
    k: int = 10
    model: str | None = None
    defense: str | None = None
    seed: int | None = None
    only: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """One recommended item.

    If ``held_out`` is true, the item is one of the user's held-out items.
    """

    item: str
    title: str
    score: float
    held_out: bool = False


@dataclass(frozen=True)
class Recommendation:
    """The list that one victim recommends.

    Args:
        victim: the label of the victim.
        data: the victim's data set and split.
        recipient: a description of the user for whom the list is made.
        checkpoint: the path of the victim's checkpoint.
        lines: the items, best first.
    """

    victim: str
    data: str
    recipient: str
    checkpoint: Path
    lines: tuple[Line, ...]


@dataclass(frozen=True, eq=False)
class Query:
    """A request, with its user or items looked up in a data set.

    Args:
        data: the prepared data.
        titles: the names of the items in the data set.
        k: the length of the list.
        user: the row of the user, or None for a new user.
        items: the rows of a new user's items, oldest first.
    """

    data: Prepared
    titles: Titles
    k: int
    user: int | None
    items: tuple[int, ...] = ()

    @classmethod
    def of(cls, request: Request, data: Prepared, where: str) -> Query:
        """Looks up the user or the items of a request in the data.

        Args:
            request: the request.
            data: the prepared data.
            where: the name of the data, for error messages.

        Raises:
            UserError: if a user or an item is unknown, or if k is larger than the catalogue.
        """
        titles = Titles(data.catalogue)
        if request.items is not None:
            query = cls(data, titles, request.k, None, tuple(titles.read(request.items, "--items")))
        else:
            query = cls(data, titles, request.k, _find_user(request, data, where))
        n_items = len(data.catalogue.ids)
        if request.k > n_items:
            raise UserError(f"{request.k} of {n_items} items cannot be recommended", where=where, path="--k")
        return query

    def answer(self, model: Model) -> tuple[Line, ...]:
        """Returns at most k items, best first, after masking the user's known items.

        As in the benchmark, training and validation items are masked, but held-out items are not.
        """
        if self.user is None:
            history = Interactions.from_rows([self.items], len(self.data.catalogue.ids))
            held, row = Interactions.from_rows([[]], history.n_items), 0
        else:
            history, held = self.data.history(), self.data.test
            row = self.user
        users = np.array([row], dtype=np.int64)
        scores = torch.from_numpy(check_scores(self._scores(model, history), 1, history.n_items))
        masked = mask_known(scores, build_chunk(users, history, held)).numpy()
        held_out = set(held.row(row).tolist())
        return tuple(
            Line(self.data.catalogue.ids[item], self.titles.shown(item), float(masked[0, item]), item in held_out)
            for item in top_items(masked, self.k)[0].tolist()
            if item >= 0
        )

    def _scores(self, model: Model, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of all items for the user, float32 [1, n_items]."""
        if self.user is None:
            return model.newcomers(history)
        own = history.row(self.user)
        if isinstance(model, TorchModel) and not len(own):  # the model has learned nothing about this user
            return model.newcomers(Interactions.from_rows([own], history.n_items))
        return model.scores(np.array([self.user], dtype=np.int64), history)

    def recipient(self, model: Model) -> str:
        """Returns a description of the user for whom the list is made."""
        if self.user is None:
            how = {
                "history": "from these items alone",
                "fold-in": "a vector fitted to these items",
                "content": "by the texts of these items",
                "popularity": "as for everybody",
            }[model.cold_user]
            return f"a new user with {self._titles_of(self.items)}: {how}"
        known = len(self.data.history().row(self.user))
        held = self.data.test.row(self.user).tolist()
        rest = f", held out: {self._titles_of(held)}" if held else ""
        return f"user {self.data.user_ids[self.user]}: {known} known items{rest}"

    def _titles_of(self, items: Iterable[int]) -> str:
        return ", ".join(self.titles.shown(item) for item in items)


def _find_user(request: Request, data: Prepared, where: str) -> int:
    """Returns the row of the user of a request.

    Raises:
        UserError: if the user is unknown.
    """
    name = str(request.user).strip()
    if name not in data.user_ids:
        close = difflib.get_close_matches(name, data.user_ids, n=3)
        known = f"{len(data.user_ids)} users, {data.user_ids[0]} to {data.user_ids[-1]}"
        hint = f"did you mean {' or '.join(map(repr, close))}? {known}" if close else known
        raise UserError(f"no user '{name}'", where=where, path="--user", hint=hint)
    return data.user_ids.index(name)
