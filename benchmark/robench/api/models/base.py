"""The base class of recommenders, with every method that the host calls."""

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
from robench.api.surfaces import Surface
from robench.api.threat import GoalName

ColdUser = Literal["history", "fold-in", "content", "popularity"]
ColdItem = Literal["behind", "content"]


class Model(Component):
    """A recommender that scores the whole catalogue for a user.

    A neural model derives from ``TorchModel`` and does not override ``fit``. The conformance class tests the
    declarations below.

    Attributes:
        surfaces: the surfaces that attacks may touch. Every model also has the surface ``interactions``, its training
            data.
        baseline: whether this is the baseline that every other model must beat. Only robench's own model is the
            baseline.
        neural: whether the model derives from ``TorchModel``.
        tables: the parameters (embedding tables) that an attack on the surface ``parameters`` perturbs.
        token_goals: the goals for which the model offers slopes with respect to the tokens of titles.
        reads_text: whether the model needs texts of items. A data set without any text in ``reads_of`` is refused.
        reads_of: the fields of ``Item`` that the model reads.
        follows: whether the model answers a prompt that contains titles, which may contain instructions to the model.
        cold_user: the source of scores for a user outside the training data. With ``history``, scores depend only on
            the history. With ``fold-in``, a vector is fitted to the user's items. With ``content``, scores depend on
            the texts of the user's items. With ``popularity``, all users get the same list.
        cold_item: the rank of an item without training interactions. With ``behind``, such an item ranks below the
            items that a user likes. With ``content``, the item's text decides the rank.
    """

    surfaces: ClassVar[frozenset[Surface]] = frozenset()
    baseline: ClassVar[bool] = False
    neural: ClassVar[bool] = False
    tables: ClassVar[tuple[str, ...]] = ()
    token_goals: ClassVar[tuple[GoalName, ...]] = ()
    reads_text: ClassVar[bool] = False
    reads_of: ClassVar[tuple[str, ...]] = ("title",)
    follows: ClassVar[bool] = False
    cold_user: ClassVar[ColdUser] = "history"
    cold_item: ClassVar[ColdItem] = "behind"

    def __init_subclass__(cls, **more: Any) -> None:
        """Checks the surfaces that a subclass declares.

        Raises:
            TypeError: if ``surfaces`` is not a set of surfaces, or if the class does not support one of them.
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
        """Fits the model to ``data.train``.

        The rows of real users come first in ``data.train``, followed by the rows of fake users. ``data.validation`` may
        only be used to select weights.
        """

    @abstractmethod
    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of the whole catalogue for some users.

        Args:
            users: the rows of B real users, int64 [B].
            history: the history of each real user, one row per user. At test time, a row holds the training and
                validation items.

        Returns:
            Finite scores, float32 [B, n_items]. A higher score is better. The host masks known items. For a user with
            an empty row, a model that is not neural orders the items by their training counts.
        """

    @classmethod
    def has_margins(cls) -> bool:
        """Returns whether the model offers margins for the hinge loss.

        A margin is the score of a target minus the score of a negative.
        """
        return False

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of users that are not in the training data.

        The default implementation suits a model if ``scores`` reads only the history.

        Args:
            history: one row per newcomer, oldest item first.

        Returns:
            Finite scores, float32 [n, n_items]. All rows without items get the same list.
        """
        return self.scores(np.arange(history.n_users), history)

    def outside(self) -> str:
        """Returns a digest of other inputs, or an empty string if there are none.

        Other inputs, such as weight files, are not part of the data, the model's settings or the model's code. The host
        calls this method before any work, so that missing files are reported early.

        Raises:
            DataError: if a file is missing or broken.
        """
        return ""

    def reads_profiles(self) -> bool:
        """Returns whether the model reads profiles of users.

        If so, a data set must have profiles.
        """
        return False

    def encodings(self, catalogue: Catalogue) -> Path | None:
        """Returns the cache file for the encoded texts of a catalogue, or None.

        All victims with the same settings share this file, which need not exist yet. The result is None for a model
        that does not precompute encodings. ``robench plan`` shows how many texts are still to be encoded.

        Raises:
            DataError: if weights are missing or broken.
        """
        return None

    def declared_memory(self, users: int, items: int, interactions: int) -> int:
        """Returns the bytes that a fit needs at its peak, without the data, or 0.

        A model declares this number if it grows faster than the data, as a matrix of items × items does. ``robench
        plan`` shows it before any work, from 1 GiB on. The result is 0 for a model that declares nothing.

        Args:
            users: the number of users.
            items: the size of the catalogue.
            interactions: the number of training interactions.
        """
        return 0

    def candidates(self, users: IntArray, history: Interactions) -> IntArray | None:
        """Returns the items that are reranked, or None if the model does not rerank.

        A two-stage model reranks only these candidates. All other items follow in the order of the first stage. An
        attack on the second stage cannot change this order.

        Returns:
            The candidates of each user, int64 [B, n].
        """
        return None

    def rewritten(self, items: Mapping[int, Item]) -> Model:
        """Returns a view of this fitted model that reads other texts for some items.

        A model with the surface ``text`` overrides this method. The view shares everything else with this model, which
        does not change.

        Args:
            items: the new description of each rewritten item, by its row in the catalogue.
        """
        raise TypeError(f"{type(self).__name__} has no rewritten(), which the surface text needs")

    @abstractmethod
    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns all learnt values as named arrays.

        The host stores these arrays as safetensors.
        """

    @abstractmethod
    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Restores a ``state`` of a model that was fitted on ``data`` with ``rng``."""
