"""Scores titles by their likelihood and measures the reach of a filter.

The filter does not know the genuine titles of attacked items. It raises an alarm if a text does not read like a title.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robench.api.data import Catalogue, FloatArray
from robench.api.errors import DataError
from robench.engine.attack.measurement import TitleChange
from robench.pretrained.cache import cached_array
from robench.pretrained.gguf import packaged_identity
from robench.pretrained.likelihood import DIGITS, packaged_likelihood

FALSE_ALARMS = 0.05  # the largest share of genuine titles at which the filter raises an alarm
SAMPLE = 1000  # the largest number of genuine titles from which the threshold is computed


def title_likelihood(titles: Sequence[str]) -> FloatArray:
    """Returns the mean log-likelihood per token of titles in nats, float64 [n].

    Raises:
        DataError: if a package is missing.
    """
    return packaged_likelihood().mean(titles)


def filter_reach(rows: Sequence[TitleChange], catalogue: Catalogue) -> dict[str, float]:
    """Returns the share of rewritten titles that a likelihood filter lets through.

    The filter raises an alarm if the mean log-likelihood per token is below a threshold. The threshold is the highest
    value that raises an alarm for at most 5% of the genuine titles. The result is empty if there is no language model,
    or if no title was rewritten.

    Args:
        rows: the rewritten titles. The function also sets both likelihoods in each entry.
        catalogue: the items with their genuine titles.
    """
    if not rows or not has_language_model():
        return {}
    threshold = _threshold(catalogue)
    before, after = title_likelihood([row["before"] for row in rows]), title_likelihood([row["after"] for row in rows])
    for row, old, new in zip(rows, before.tolist(), after.tolist(), strict=True):
        row["likelihood_before"], row["likelihood_after"] = old, new
    return {"filter_reach": float((after >= threshold).mean()), "filter_threshold": threshold}


def has_language_model() -> bool:
    """Returns whether all packages that the likelihoods need are installed."""
    try:
        packaged_identity()
    except DataError:
        return False
    return True


def _threshold(catalogue: Catalogue) -> float:
    """Returns the lowest likelihood at which the filter raises no alarm."""
    titles = sorted({item.title for item in catalogue.items if item.title.strip()})
    some = [titles[place] for place in np.linspace(0, len(titles) - 1, min(len(titles), SAMPLE)).astype(int)]
    values = cached_array("likelihoods", [packaged_identity(), some], lambda: title_likelihood(some).astype(np.float32))
    return float(np.sort(values.astype(np.float64).round(DIGITS))[int(FALSE_ALARMS * len(values))])
