"""The interface through which an attack fits copies of the victim's pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from robench.api.attacks.profiles import Profiles
from robench.api.data import FloatArray, IntArray, Interactions


class FittedModel(Protocol):
    """A fitted ``Model``."""

    def scores(self, users: IntArray, history: Interactions) -> NDArray[np.float32]:
        """Returns what ``Model.scores`` returns, float32 [B, n_items]."""
        ...


@dataclass(frozen=True, eq=False)
class Suspicion:
    """The suspicion scores of a defence, before the victim is fitted.

    The scores are computed on the users that the attack sees and on its fake users. A higher score means more
    suspicion.

    Args:
        fakes: the suspicion score of each fake user, float64 [fakes].
        seen: the suspicion score of each user that the attack sees, float64 [users].
        flagged: whether the defence drops all interactions of a fake user, bool [fakes].
    """

    fakes: FloatArray
    seen: FloatArray
    flagged: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A fitted copy of the victim: the same model with the same defence.

    Args:
        model: the fitted ``Model``, which the defence may have wrapped. User u of the surrogate is the u-th user that
            the attack sees.
        suspicion: the defence's suspicion of the users, or None if the defence computes no scores.
        validation_ndcg: the NDCG@10 on the validation items of the users that the attack sees, or NaN if there are no
            such items.
    """

    model: FittedModel
    suspicion: Suspicion | None
    validation_ndcg: float


class Pipeline(Protocol):
    """The victim's defence and model, on the users that an attack sees.

    The host counts the fits, the requests for suspicion scores, and the seconds that both take. The record of the cell
    holds these numbers.
    """

    @property
    def fits_left(self) -> int:
        """The number of fits that the attack may still request."""
        ...

    @property
    def requests_left(self) -> int:
        """The number of times that the attack may still request suspicion scores."""
        ...

    def fit(self, profiles: Profiles) -> Surrogate:
        """Fits the victim's model with its defence on the seen users and on fake users.

        The defence first cleans these data, as it cleans those of the victim.

        Args:
            profiles: fake users within the budget of the attack. There may be none.

        Raises:
            PluginError: if no fit is left, or if the profiles exceed the budget.
        """
        ...

    def suspicion(self, profiles: Profiles) -> Suspicion | None:
        """Returns the suspicion of the seen users and the fake users, without a fit.

        The result is None if the defence computes no scores. Then no request is counted.

        Args:
            profiles: fake users within the budget of the attack.

        Raises:
            PluginError: if no request is left, or if the profiles exceed the budget.
        """
        ...
