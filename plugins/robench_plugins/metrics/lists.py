"""Beyond-accuracy metrics of recommended lists.

They need facts about the items: training counts, and genres.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from robench.api import FloatArray, IntArray, Metric, Outcome
from robench.api.metric import ItemFacts, Needs


class ListMetric(Metric):
    """The base class of metrics that need the recommended items and facts about them."""

    needs: ClassVar[Needs] = "items"

    def per_user(self, outcome: Outcome, k: int) -> FloatArray:
        """Returns the values of all users, float64 [users].

        Without facts about the items, all values are NaN.
        """
        if outcome.items is None:
            return np.full(outcome.n_users, np.nan)
        return self.of_lists(outcome.top[:, :k], outcome.items)

    def of_lists(self, lists: IntArray, items: ItemFacts) -> FloatArray:
        """Returns the values of all users, float64 [users].

        Args:
            lists: the recommended items of each user, int64 [users, k], padded with −1.
            items: facts about the items.

        Raises:
            TypeError: if the subclass does not define this method.
        """
        raise TypeError(f"{type(self).__name__} has no of_lists()")


def list_means(values: FloatArray, lists: IntArray) -> FloatArray:
    """Returns the mean of a value over the items of each list, float64 [users].

    The mean of an empty list is NaN.

    Args:
        values: the value of each item, float64 [n_items].
        lists: the items of each list, int64 [users, k], padded with −1.
    """
    there = lists >= 0
    count = there.sum(1)
    total = np.where(there, values[lists], 0.0).sum(1)
    result: FloatArray = np.divide(total, count, out=np.full(len(lists), np.nan), where=count > 0)
    return result


class CollectiveMetric(ListMetric):
    """The base class of metrics that describe the lists of all users together."""

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    pooled: ClassVar[bool] = True
    collective: ClassVar[bool] = True

    def of_lists(self, lists: IntArray, items: ItemFacts) -> FloatArray:
        """Returns the value of all lists, once per user: float64 [users]."""
        shown = np.bincount(lists[lists >= 0], minlength=len(items.counts))
        return np.full(len(lists), self.of_exposure(shown.astype(np.float64)))

    def of_exposure(self, shown: FloatArray) -> float:
        """Returns the value of the metric for all lists together.

        Args:
            shown: the number of lists that hold each item, float64 [n_items].

        Raises:
            TypeError: if the subclass does not define this method.
        """
        raise TypeError(f"{type(self).__name__} has no of_exposure()")


class Coverage(CollectiveMetric):
    """Coverage@k: the share of the catalogue that is in at least one list.

    This is the catalogue coverage of Herlocker et al. (TOIS 2004). The value depends on the number of users, so only
    cells with the same users are comparable.
    """

    def of_exposure(self, shown: FloatArray) -> float:
        """Returns the share of the items that are in a list."""
        return float((shown > 0).mean()) if len(shown) else float("nan")


class Gini(CollectiveMetric):
    """Gini@k: how unequally the items of the catalogue are recommended.

    The value is 0 if all items are in the same number of lists, and near 1 if few items fill all lists. Let n be the
    number of items, and let x₁ ≤ ... ≤ xₙ be the numbers of lists that hold each item. The value is
    Σ (2i − n − 1) · xᵢ / (n · Σ xᵢ), with sums over i = 1, ..., n (Fleder & Hosanagar, Management Science 2009).
    """

    higher_is_better: ClassVar[bool] = False

    def of_exposure(self, shown: FloatArray) -> float:
        """Returns the Gini coefficient of ``shown``, or NaN if all lists are empty."""
        n, total = len(shown), shown.sum()
        if not total:
            return float("nan")
        return float((2 * np.arange(1, n + 1) - n - 1) @ np.sort(shown) / (n * total))


class ListPopularity(ListMetric):
    """List popularity@k: how popular the items in the list are on average.

    The popularity of an item is its number of training interactions. The value is the average recommendation popularity
    of Yin et al. (VLDB 2012).
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))
    higher_is_better: ClassVar[bool] = False

    def of_lists(self, lists: IntArray, items: ItemFacts) -> FloatArray:
        """Returns the values of all users, float64 [users] of at least 0."""
        return list_means(items.counts.astype(np.float64), lists)


class Novelty(ListMetric):
    """Novelty@k: the mean self-information of the items in the list, in bits.

    The self-information of an item is −log₂ of the share of the users who have the item in the training data (Zhou et
    al., PNAS 2010). An item without training interactions counts as an item with one.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, float("inf"))

    def of_lists(self, lists: IntArray, items: ItemFacts) -> FloatArray:
        """Returns the values of all users, float64 [users] of at least 0."""
        share = np.maximum(items.counts, 1) / max(items.n_users, 1)
        return list_means(-np.log2(np.minimum(share, 1.0)), lists)


class Diversity(ListMetric):
    """Diversity@k: the mean dissimilarity of two items in the list.

    This is the intra-list diversity of Smyth & McClave (ICCBR 2001). The dissimilarity of two items is the Jaccard
    distance of their genres: 1 − (common genres) / (genres of either item). Pairs in which an item has no genre are
    left out. The value of a list without other pairs is NaN.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def of_lists(self, lists: IntArray, items: ItemFacts) -> FloatArray:
        """Returns the values of all users, float64 [users] in [0, 1]."""
        there = lists >= 0
        genres = (items.genres[lists] & there[:, :, None]).astype(np.float64)
        sizes = genres.sum(2)
        common = genres @ genres.transpose(0, 2, 1)
        either = sizes[:, :, None] + sizes[:, None, :] - common
        first, second = np.triu_indices(lists.shape[1], 1)
        known = (sizes[:, first] > 0) & (sizes[:, second] > 0)
        distance = 1 - common[:, first, second] / np.maximum(either[:, first, second], 1)
        count = known.sum(1)
        result: FloatArray = np.divide(
            np.where(known, distance, 0.0).sum(1), count, out=np.full(len(lists), np.nan), where=count > 0
        )
        return result
