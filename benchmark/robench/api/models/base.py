"""Recommenders: the contract that the host measures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from robench.api.component import Component
from robench.api.data import Catalogue, IntArray, Interactions, Item, TrainData
from robench.api.rng import Rng
from robench.api.threat import GoalName, Surface

ColdUser = Literal["history", "fold-in", "content", "popularity"]
ColdItem = Literal["behind", "content"]


class Model(Component):
    """A recommender that scores the whole catalogue for a user.

    ``surfaces`` are those beside ``interactions`` (which every model has: its training data) that attacks may touch.
    ``reads_text``: it needs items' texts, and a data set in which no item has any of ``reads_of`` (fields of ``Item``)
    is refused. ``follows``: it answers a prompt that titles stand in, so they may hold instructions to it.
    A neural model derives from ``TorchModel``, which sets ``neural``, and does not override ``fit``.

    ``tables`` names the parameters (embedding tables) that an attack on the surface ``parameters`` perturbs.
    ``token_goals`` names the goals for which the model offers slopes by the tokens of titles.

    Cold start is declared, and tested by the conformance class. ``cold_user``: what a user outside the training data
    gets, given some items: ``history`` (scores come from the history alone), ``fold-in`` (a vector is fitted to the
    items, the rest stays), ``content`` (the items' texts), ``popularity`` (what everybody gets). ``cold_item``: where
    an item without training interactions stands: ``behind`` what a user likes (in training it is only a negative, if
    anything) or ``content`` (where its text puts it).
    """

    surfaces: ClassVar[frozenset[Surface]] = frozenset()
    neural: ClassVar[bool] = False
    tables: ClassVar[tuple[str, ...]] = ()
    token_goals: ClassVar[tuple[GoalName, ...]] = ()
    reads_text: ClassVar[bool] = False
    reads_of: ClassVar[tuple[str, ...]] = ("title",)
    follows: ClassVar[bool] = False
    cold_user: ClassVar[ColdUser] = "history"
    cold_item: ClassVar[ColdItem] = "behind"

    def __init_subclass__(cls, **more: Any) -> None:
        """What is declared must be known.

        Raises:
            TypeError: ``surfaces`` is no set of surfaces, or names some without what they need.
        """
        super().__init_subclass__(**more)
        known = get_args(Surface)
        if not isinstance(cls.surfaces, frozenset | set) or not cls.surfaces <= set(known):
            raise TypeError(f"{cls.__name__}.surfaces must be a set of {', '.join(known)}, not {cls.surfaces!r}")
        if "text" in cls.surfaces and cls.rewritten is Model.rewritten:
            raise TypeError(f"{cls.__name__} declares the surface 'text' and has no rewritten()")
        if cls.surfaces & {"embedding", "parameters"} and not cls.neural:
            raise TypeError(f"{cls.__name__} declares embedding or parameters, which only a TorchModel has")

    @abstractmethod
    def fit(self, data: TrainData, rng: Rng) -> None:
        """Learn from ``data.train`` (rows: real users, then fake ones); ``data.validation`` is for selection only."""

    @abstractmethod
    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """Scores of the whole catalogue.

        Args:
            users: int64 [B] rows of real users.
            history: one row per real user, what is known of them (training and validation items at test time).

        Returns:
            float32 [B, n_items], finite, higher is better. The host masks known items. A model that is not neural
            orders the items by their training counts for a user whose row is empty.
        """

    @classmethod
    def has_margins(cls) -> bool:
        """Returns whether the model can be trained on the hinge loss of its margins s_y − s_neg."""
        return False

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """Scores for users who are not in the training data, by their items: float32 [n, n_items], finite.

        A row without items gets a list that is the same for everybody. The default serves models whose ``scores``
        reads nothing but the history.

        Args:
            history: one row per newcomer, oldest item first.
        """
        return self.scores(np.arange(history.n_users), history)

    def outside(self) -> str:
        """A digest of what the fitted model depends on besides data, settings and code: files of weights, say.

        Raises:
            DataError: they are missing or broken; told before any work.
        """
        return ""

    def reads_profiles(self) -> bool:
        """Whether it reads what is known of users besides their history; a data set that knows nothing is refused."""
        return False

    def encodings(self, catalogue: Catalogue) -> Path | None:
        """The file in the cache, made or not, of what is read from a catalogue's texts once for all victims with these
        settings; None for a model that keeps nothing of the kind. ``robench plan`` tells of it.

        Raises:
            DataError: weights are missing or broken.
        """
        return None

    def candidates(self, users: IntArray, history: Interactions) -> IntArray | None:
        """What the second of two stages ranks: int64 [B, n] items; None for a model of one stage.

        All other items stand below these, in the order of the first stage, which an attack on the second cannot change.
        """
        return None

    def rewritten(self, items: Mapping[int, Item]) -> Model:
        """This fitted model where some items have other texts; it shares everything else and is left as it is.

        For models with the surface ``text``.

        Args:
            items: row of the catalogue -> the item as it reads now.
        """
        raise TypeError(f"{type(self).__name__} has no rewritten(), which the surface text needs")

    @abstractmethod
    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Everything learnt, as named arrays; stored as safetensors."""

    @abstractmethod
    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Become the model whose ``state`` this is, fitted on ``data`` with ``rng``."""
