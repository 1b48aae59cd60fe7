"""Guarantees of differentially private fits, and what such fits return."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from robench.api.data import FloatArray

NO_NOISE: Literal["inf"] = "inf"  # the eps_dp of a fit without noise, which guarantees nothing
NOTHING = "nothing"  # what a fit without noise covers
EpsDp = float | Literal["inf"]
GuaranteeFacts = dict[str, float | str | list[str]]  # the fields of a guarantee, as in a record


@dataclass(frozen=True)
class Guarantee:
    """What a differentially private fit guarantees.

    Let D and D' be training data that differ only in the row of one user, which is empty in one of them. For every set
    S of outcomes of what is covered, P(S | D) ≤ exp(eps_dp) · P(S | D') + delta (Dwork & Roth 2014, Definition 2.4).
    The probability is over the noise. ``eps_dp`` is not ε, which is the budget of an attack.

    Args:
        eps_dp: the bound on the privacy loss, or ``inf`` if no noise is added.
        delta: the probability by which the bound may be missed.
        covers: what the guarantee is about, as a phrase.
        unit: what one record of the data is. Here it is a user with all interactions.
    """

    eps_dp: EpsDp
    delta: float
    covers: str
    unit: Literal["user"] = "user"

    def as_dict(self) -> GuaranteeFacts:
        """Returns the fields by name, for records."""
        return {"eps_dp": self.eps_dp, "delta": self.delta, "unit": self.unit, "covers": self.covers}

    def find_mistake(self) -> str:
        """Returns why this is no guarantee of differential privacy, or an empty string.

        Without noise, nothing is guaranteed, so ``covers`` must be ``nothing``, and ``delta`` must be 0.
        """
        unit: object = self.unit  # plugins may give anything
        eps_dp: object = self.eps_dp
        if unit != "user":
            return f"its unit is {unit!r}, and not 'user'"
        if self.eps_dp == NO_NOISE:
            claims = self.covers != NOTHING or self.delta != 0
            return f"without noise, it claims {self.covers!r} with delta {self.delta!r}" if claims else ""
        if not isinstance(eps_dp, float | int) or not 0 < eps_dp < math.inf:
            return f"its eps_dp is {eps_dp!r}, and not a finite number above 0 or 'inf'"
        if not 0 <= self.delta < 1:
            return f"its delta is {self.delta!r}, and not at least 0 and below 1"
        if not self.covers.strip() or self.covers == NOTHING:
            return "it does not say in words what it covers"
        return ""


@dataclass(frozen=True, eq=False)
class PrivateGram:
    """A private item-item matrix, and its guarantee.

    Args:
        gram: the matrix, float64 [n_items, n_items], symmetric. Entry (i, j) estimates the number of users that have
            both items.
        guarantee: the guarantee of the matrix.
    """

    gram: FloatArray
    guarantee: Guarantee


@dataclass(frozen=True)
class PrivateFit:
    """Describes the fit of a private training loop.

    Args:
        guarantee: the guarantee of all weights of the model.
        epochs: the number of epochs.
        facts: further numbers for the record, by name, such as the noise. They must not depend on the training data.
    """

    guarantee: Guarantee
    epochs: int
    facts: Mapping[str, float] = field(default_factory=dict)
