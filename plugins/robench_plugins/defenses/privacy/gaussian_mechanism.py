"""The noise that the Gaussian mechanism needs for a guarantee."""

from __future__ import annotations

import math
from functools import lru_cache

from scipy import optimize
from scipy.special import log_ndtr

TOLERANCE = 1e-12  # of the logarithm of σ, which is then rounded up by as much


def compute_log_delta(sigma: float, eps_dp: float) -> float:
    """Returns log δ of the Gaussian mechanism with sensitivity 1.

    The mechanism adds N(0, σ²) to every entry. Its smallest δ is Φ(1/(2σ) − ε·σ) − exp(ε) · Φ(−1/(2σ) − ε·σ), for
    ε = ``eps_dp`` (Balle & Wang, ICML 2018, Theorem 8). The difference is computed from the logarithms of its terms, so
    that it does not cancel.

    Args:
        sigma: the standard deviation σ of the noise.
        eps_dp: the bound on the privacy loss.
    """
    first = float(log_ndtr(1 / (2 * sigma) - eps_dp * sigma))
    second = eps_dp + float(log_ndtr(-1 / (2 * sigma) - eps_dp * sigma))
    return first + math.log(-math.expm1(second - first)) if second < first else -math.inf


@lru_cache(maxsize=64)
def calibrate_noise(eps_dp: float, delta: float) -> float:
    """Returns the smallest σ with which the Gaussian mechanism is private.

    The sensitivity is 1. The result is rounded up, so the guarantee holds in spite of the tolerance of the search.

    Args:
        eps_dp: the bound on the privacy loss, above 0.
        delta: the probability by which the bound may be missed, between 0 and 1.
    """

    def excess(log_sigma: float) -> float:
        value = compute_log_delta(math.exp(log_sigma), eps_dp)
        return max(value, -1e6) - math.log(delta)

    low, high = 0.0, 0.0
    while excess(low) < 0:
        low -= 1
    while excess(high) > 0:
        high += 1
    return math.exp(float(optimize.brentq(excess, low, high, xtol=TOLERANCE)) + TOLERANCE)
