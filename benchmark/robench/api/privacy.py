"""Guarantees of differentially private fits, and matrices to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robench.api.data import FloatArray

NO_NOISE: Literal["inf"] = "inf"  # the eps_dp of a fit without noise, which guarantees nothing
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
