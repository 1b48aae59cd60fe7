"""The base class of recommenders, with all methods that the host calls."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from robench.api.component import Component
from robench.api.data import Catalogue, IntArray, Interactions, Item, TrainData
from robench.api.models.votes import Votes
from robench.api.rng import Rng
from robench.api.spending import Spending
from robench.api.surfaces import Surface
from robench.api.threat import GoalName

ColdUser = Literal["history", "fold-in", "content", "popularity"]
ColdItem = Literal["behind", "content"]


class Model(Component):
    """A recommender that scores the whole catalogue for a user.

    A neural model derives from ``TorchModel`` and does not override ``fit``. The conformance class tests the attributes
    that a subclass declares.

    Attributes:
        surfaces: the surfaces that attacks may touch. Every model also has the surface ``interactions``, its training
            data.
        baseline: whether this is the baseline that every other model must beat. Only a model of robench itself can be
            the baseline.
        neural: whether the model derives from ``TorchModel``.
        trained_elsewhere: whether the model was trained outside robench, so that a fit learns nothing. The base classes
            of such models are in ``trained.py`` and ``trained_torch.py``.
        tables: the parameters (embedding tables) that an attack on the surface ``parameters`` perturbs.
        feature_table: the buffer with the vectors of items, float [n_items, d], or an empty string. The model keeps
            ``data.catalogue.vectors`` there unchanged. An attack on the surface ``features`` perturbs this buffer. A
            data set without vectors is refused.
        token_goals: the goals for which the model offers slopes with respect to the tokens of titles.
        reads_text: whether the model needs texts of items. A data set in which all fields of ``reads_of`` are empty is
            refused.
        reads_of: the fields of ``Item`` that the model reads.
        follows: whether the model answers a prompt with titles. Instructions in a title can then influence the model.
        cold_user: the source of scores for a user outside the training data. With ``history``, scores depend only on
            the history. With ``fold-in``, a vector is fitted to the user's items. With ``content``, scores depend on
            the texts of the user's items. With ``popularity``, all users get the same list.
        cold_item: the rank of an item without training interactions. With ``behind``, such an item ranks below the
            items that a user likes. With ``content``, the item's text decides the rank.
        additive: whether the scores of a history that is not empty are a sum of one vector per item. The host verifies
            this before attacks on histories.
        learns_gram: whether the model can learn from an item-item matrix alone. If ``TrainData.gram`` is not None, the
            model then learns from this matrix, and the rows of all users are empty.
        chosen: the settings that validation has chosen among the ``alternatives``. The mapping is empty before this
            choice, or if there are no alternatives.
    """

    surfaces: ClassVar[frozenset[Surface]] = frozenset()
    baseline: ClassVar[bool] = False
    neural: ClassVar[bool] = False
    trained_elsewhere: ClassVar[bool] = False
    tables: ClassVar[tuple[str, ...]] = ()
    feature_table: ClassVar[str] = ""
    token_goals: ClassVar[tuple[GoalName, ...]] = ()
    reads_text: ClassVar[bool] = False
    reads_of: ClassVar[tuple[str, ...]] = ("title",)
    follows: ClassVar[bool] = False
    additive: ClassVar[bool] = False
    learns_gram: ClassVar[bool] = False
    cold_user: ClassVar[ColdUser] = "history"
    cold_item: ClassVar[ColdItem] = "behind"
    chosen: Mapping[str, float] = {}

    def __init_subclass__(cls, **more: Any) -> None:
        """Checks the surfaces that a subclass declares.

        Raises:
            TypeError: if ``surfaces`` is not a set of surfaces, or if the class lacks what a declared surface requires.
        """
        super().__init_subclass__(**more)
        known = get_args(Surface)
        if not isinstance(cls.surfaces, frozenset | set) or not cls.surfaces <= set(known):
            raise TypeError(f"{cls.__name__}.surfaces must be a set of {', '.join(known)}, not {cls.surfaces!r}")
        if "text" in cls.surfaces and cls.rewritten is Model.rewritten:
            raise TypeError(f"{cls.__name__} declares the surface 'text' and has no rewritten()")
        if "features" in cls.surfaces and not (cls.neural and cls.feature_table):
            raise TypeError(f"{cls.__name__} declares the surface 'features' and no feature_table of a TorchModel")
        if cls.surfaces & {"embedding", "parameters"} and not cls.neural:
            raise TypeError(f"{cls.__name__} declares embedding or parameters, which only a TorchModel has")

    @abstractmethod
    def fit(self, data: TrainData, rng: Rng) -> None:
        """Fits the model to ``data.train``.

        The rows of real users come first in ``data.train``, followed by the rows of fake users. ``data.validation`` may
        only be used to select weights.
        """

    def alternatives(self, data: TrainData) -> Iterator[Mapping[str, float]]:
        """Yields settings to choose from and prepares the model with each of them.

        After each yield, the host measures the validation NDCG@10 of the model. Then the host sets ``chosen`` to the
        settings with the best value, and calls ``fit``. If two values are equal, the earlier settings are chosen. The
        host does not call this method if there are no users to validate on. The default implementation yields nothing.
        For a ``TorchModel``, the host uses the alternatives differently: see ``TorchModel.alternatives``.

        Args:
            data: the data of the fit. ``data.validation`` must not be read.
        """
        return iter(())

    @abstractmethod
    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of the whole catalogue for some users.

        Args:
            users: the rows of B real users, int64 [B].
            history: the history of each real user, one row per user. At test time, a row holds the training and
                validation items.

        Returns:
            Finite scores, float32 [B, n_items]. A higher score is better. The host masks known items. If a user's row
            is empty, a model that is not neural must order the items by their training counts.
        """

    @classmethod
    def has_margins(cls) -> bool:
        """Returns whether the model offers margins for the hinge loss.

        A margin is the score of a target minus the score of a negative.
        """
        return False

    @classmethod
    def has_terms(cls) -> bool:
        """Returns whether the model splits its training loss into terms."""
        return False

    @classmethod
    def has_logits(cls) -> bool:
        """Returns whether the model offers the distributions of its training loss.

        These are the distributions that the loss compares with the targets.
        """
        return False

    def newcomers(self, history: Interactions) -> NDArray[np.float32]:
        """Returns the scores of newcomers, which are users outside the training data.

        The default implementation suits models in which ``scores`` reads only the history.

        Args:
            history: one row per newcomer, oldest item first.

        Returns:
            Finite scores, float32 [n, n_items]. All newcomers without items get the same list.
        """
        return self.scores(np.arange(history.n_users), history)

    def outside(self) -> str:
        """Returns a digest of further inputs such as weight files, or an empty string.

        Further inputs are inputs outside the data, the model's settings and the model's code. The host calls this
        method before any work, so that missing files are reported early.

        Raises:
            DataError: if a file is missing or broken.
        """
        return ""

    def reads_profiles(self) -> bool:
        """Returns whether the model reads profiles of users.

        If so, a data set without profiles is refused.
        """
        return False

    def encodings(self, catalogue: Catalogue) -> Path | None:
        """Returns the path of the cache file for a catalogue's encoded texts, or None.

        All victims with the same settings and catalogue share this file, which need not exist yet. The result is None
        for a model that does not precompute encodings. ``robench plan`` shows the number of texts, and whether the file
        exists.

        Raises:
            DataError: if weights are missing or broken.
        """
        return None

    def declared_memory(self, users: int, items: int, interactions: int) -> int:
        """Returns the peak memory of a fit in bytes, without the data, or 0.

        A model overrides this method if its memory grows faster than the data, for example with a matrix of items ×
        items. ``robench plan`` shows the number if it is at least 1 GiB. The result is 0 for a model that declares
        nothing.

        Args:
            users: the number of users.
            items: the number of items in the catalogue.
            interactions: the number of training interactions.
        """
        return 0

    def declared_spending(self, histories: int | None) -> Spending | None:
        """Returns the most that one victim may spend at services, or None.

        A model overrides this method if it sends requests to a service outside this machine. The model must enforce
        what it declares. ``robench plan`` shows the amounts. ``robench run`` asks for ``--yes`` if they are large. The
        result is None for a model that uses no service.

        Args:
            histories: the maximum number of different histories that the victim scores, or None if there is no bound.
                An attack at test time may score any number of them.
        """
        return None

    @classmethod
    def uses_service(cls) -> bool:
        """Returns whether the model sends requests to a service, as its class declares."""
        return cls.declared_spending is not Model.declared_spending

    def candidates(self, users: IntArray, history: Interactions) -> IntArray | None:
        """Returns the candidates that the model reranks, or None if it reranks none.

        A retriever chooses the candidates, and the model reranks only these. All other items follow in the order of the
        retriever. An attack on the reranking cannot change this order.

        Returns:
            The candidates of each user, int64 [B, n].
        """
        return None

    def votes(self, users: IntArray, history: Interactions) -> Votes | None:
        """Returns how many base models vote for each item, or None.

        A model overrides this method if base models on samples of the users vote for its lists. The host then computes
        a certificate against a few fake users. A list must hold the items with the most votes.

        Args:
            users: the rows of B real users, int64 [B].
            history: the history of each real user, one row per user. Its items get no votes.
        """
        return None

    def rewritten(self, items: Mapping[int, Item]) -> Model:
        """Returns a view of this fitted model in which some items have different texts.

        A model with the surface ``text`` overrides this method. The view shares everything else with this model. This
        model does not change.

        Args:
            items: the new description of each rewritten item, by the item's row in the catalogue.
        """
        raise TypeError(f"{type(self).__name__} has no rewritten(), which the surface text needs")

    @abstractmethod
    def state(self) -> Mapping[str, NDArray[np.generic]]:
        """Returns all learned values as named arrays.

        The host stores these arrays as safetensors.
        """

    @abstractmethod
    def restore(self, data: TrainData, state: Mapping[str, NDArray[np.generic]], rng: Rng) -> None:
        """Restores the ``state`` of a model that was fitted on ``data`` with ``rng``."""
