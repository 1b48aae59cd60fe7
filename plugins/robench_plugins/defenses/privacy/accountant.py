"""The noise that DP-SGD needs for a guarantee."""

from __future__ import annotations

import math
import warnings
from functools import cache, lru_cache
from importlib.util import find_spec

import numpy as np
from scipy import optimize

from robench.api import DataError
from robench_plugins.defenses.privacy.gaussian_mechanism import calibrate_noise

TOLERANCE = 2e-3  # of the logarithm of σ, which is then rounded up by as much
ERROR = 0.01  # the relative error of the accountant, which returns an upper bound
LEAST_START = 0.5  # the search for σ starts no lower, because the accountant is slow for large losses


def check_opacus() -> None:
    """Checks that opacus, which has the accountant, is installed.

    Raises:
        DataError: if the package is missing.
    """
    if find_spec("opacus") is None:
        raise DataError("dp-sgd needs the package opacus", hint="pip install 'robench[privacy]'")


def compute_eps_dp(sigma: float, delta: float, rate: float, steps: int, error: float) -> float:
    """Returns an upper bound of the privacy loss of a number of noisy steps.

    In each step, every user takes part with the probability ``rate``, independently of the others, and the sum over
    these users gets Gaussian noise of σ times the sensitivity. The accountant of opacus convolves the distributions of
    the privacy losses of the steps (Gopi, Lee & Wutschitz, NeurIPS 2021).

    Args:
        sigma: the standard deviation σ of the noise, in units of the sensitivity.
        delta: the probability by which the bound may be missed.
        rate: the probability with which a user takes part in a step, below 1.
        steps: the number of steps.
        error: the largest error of the bound.
    """
    from opacus.accountants import PRVAccountant  # noqa: PLC0415  # an extra

    accountant = PRVAccountant()
    accountant.history = [(sigma, rate, steps)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        # Its domain comes from a short list of Rényi orders. A wide one costs time, and its ends may overflow.
        warnings.filterwarnings("ignore", message="Optimal order is the (largest|smallest) alpha")
        value = float(accountant.get_epsilon(delta, eps_error=error))
    return value if math.isfinite(value) else math.inf


@lru_cache(maxsize=64)
def calibrate_steps(eps_dp: float, delta: float, rate: float, steps: int) -> float:
    """Returns the smallest σ with which all steps together are private.

    The sensitivity is 1. The result is rounded up, so the guarantee holds in spite of the tolerance of the search. If
    every user takes part in every step, the steps are one Gaussian mechanism with σ / √steps.

    Args:
        eps_dp: the bound on the privacy loss, above 0.
        delta: the probability by which the bound may be missed, between 0 and 1.
        rate: the probability with which a user takes part in a step.
        steps: the number of steps.
    """
    everyone = math.sqrt(steps) * calibrate_noise(eps_dp, delta)
    if rate >= 1:
        return everyone

    @cache
    def excess(log_sigma: float) -> float:
        bound = compute_eps_dp(math.exp(log_sigma), delta, rate, steps, ERROR * eps_dp)
        return min(math.log(max(bound, 1e-12) / eps_dp), 10.0)

    low = high = math.log(max(rate * everyone, LEAST_START))
    while excess(high) > 0:
        low, high = high, high + 0.4
    while excess(low) < 0:
        low, high = low - 0.2, low
    return math.exp(float(optimize.brentq(excess, low, high, xtol=TOLERANCE)) + TOLERANCE)
