"""Draws users, items and events with given statistics.

The statistics are the activity of users, the popularity and the lifetime of items, and the share of events that repeat
an item of the same user. The data set ``synthetic`` uses this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from robench.api import FloatArray, IntArray, Rng

DAY = 86_400  # seconds
ROUNDS = 40  # the number of times that an event which repeats an item by accident is drawn again
LOYAL_ROUNDS = 3  # after these, the event may have any taste, because the user may have all items of the own one
SKEWED_ROUNDS = 30  # after these, all available items are equally likely
LIFE_SPREAD = 1.5  # the standard deviation of the logarithm of an item's lifetime
MOST_PERIODS = 2_000


@dataclass(frozen=True)
class Population:
    """The numbers that describe the users, the items and their events.

    Args:
        users: the number of users.
        items: the number of items.
        mean: the mean number of events per user.
        fewest: the smallest number of events of a user.
        spread: the standard deviation of the logarithm of a user's events beyond the fewest.
        factors: the number of tastes.
        loyalty: the share of new events that are drawn from the user's own taste.
        skew: the exponent of Zipf's law for the popularity of items.
        repeated: the share of events whose item the user already has.
        new_items: the share of items that appear during the log.
        lifetime: the mean number of days for which an item is available, or None if items never disappear.
        days: the length of the log.
    """

    users: int
    items: int
    mean: float
    fewest: int
    spread: float
    factors: int
    loyalty: float
    skew: float
    repeated: float
    new_items: float
    lifetime: float | None
    days: float


@dataclass(frozen=True, eq=False)
class Log:
    """The events of a population, sorted by user and then by time.

    Args:
        users: the user of each event, int64 [n].
        items: the item of each event, int64 [n].
        times: the second of each event, int64 [n], where the log starts at 0.
        tastes: the taste of each item, int64 [items].
    """

    users: IntArray
    items: IntArray
    times: IntArray
    tastes: IntArray


def draw(population: Population, rng: Rng) -> Log:
    """Draws the log of a population.

    Args:
        population: the numbers.
        rng: the random stream. Each part of the draw has a stream of its own.
    """
    p = population
    tastes = rng.child("tastes").numpy().integers(0, p.factors, p.items)
    shelf = _Shelf.draw(p, tastes, rng.child("shelf").numpy())
    generator = rng.child("events").numpy()
    counts = generator.permutation(activity(p.users, p.mean, p.fewest, p.spread, most=max(p.fewest, p.items // 2)))
    users = np.repeat(np.arange(p.users, dtype=np.int64), counts)
    times = generator.random(len(users)) * p.days
    times = times[np.lexsort((times, users))]
    starts = np.repeat(np.cumsum(counts) - counts, counts)
    earlier = np.arange(len(users)) - starts  # the number of earlier events of the same user
    rate = min(1.0, p.repeated * len(users) / max(1, int((earlier > 0).sum())))
    repeats = (generator.random(len(users)) < rate) & (earlier > 0)
    source = np.where(
        repeats, starts + (generator.random(len(users)) * earlier).astype(np.int64), np.arange(len(users))
    )
    while repeats[source].any():  # a repeat of a repeat has the item of the first of them
        source = source[source]
    pools = np.where(
        generator.random(len(users)) < p.loyalty, generator.integers(0, p.factors, p.users)[users], p.factors
    )
    items = np.full(len(users), -1, dtype=np.int64)
    fresh = np.flatnonzero(~repeats)
    rows = fresh
    for number in range(ROUNDS):
        if number == LOYAL_ROUNDS:
            pools[:] = p.factors
        even = number >= SKEWED_ROUNDS
        items[rows] = shelf.pick(times[rows], pools[rows], generator.random(len(rows)), even=even)
        rows = fresh[_later_of_equal(users[fresh] * p.items + items[fresh])]
        if not len(rows):
            break
    items[rows] = -1
    items = items[source]
    kept = items >= 0
    return Log(users[kept], items[kept], (times[kept] * DAY).astype(np.int64), tastes)


def activity(users: int, mean: float, fewest: int, spread: float, most: int) -> IntArray:
    """Returns the number of events of each user, in increasing order.

    A user has ``fewest`` events and more, floor(exp(m + spread · z)), where z has the quantiles of the normal
    distribution. The number m is found by bisection, so that the mean is exact but for rounding.

    Args:
        users: the number of users.
        mean: the mean number of events per user.
        fewest: the smallest number of events of a user.
        spread: the standard deviation of the logarithm.
        most: the largest number of events of a user.
    """
    normal = NormalDist()
    z = np.array([normal.inv_cdf((i + 0.5) / users) for i in range(users)])

    def counts(m: float) -> IntArray:
        more = np.floor(np.exp(np.minimum(m + spread * z, 40.0))).astype(np.int64)
        number: IntArray = np.minimum(most, fewest + more)
        return number

    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if counts(middle).mean() < mean else (low, middle)
    return counts(high)


def _later_of_equal(keys: IntArray) -> NDArray[np.bool_]:
    """Returns whether an equal key comes before each key."""
    order = np.argsort(keys, kind="stable")
    later = np.zeros(len(keys), dtype=bool)
    later[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return later


@dataclass(frozen=True, eq=False)
class _Shelf:
    """The items that are available in each period of the log.

    Args:
        available: the available items of each period, int64.
        popularity: the weight of each item, float64 [items].
        tastes: the taste of each item, int64 [items].
        days: the length of the log.
    """

    available: list[IntArray]
    popularity: FloatArray
    tastes: IntArray
    days: float

    @staticmethod
    def draw(p: Population, tastes: IntArray, generator: np.random.Generator) -> _Shelf:
        """Draws the popularity, the first day and the last day of each item."""
        popularity = ((generator.permutation(p.items) + 1.0) ** -p.skew).astype(np.float64)
        before = 0.0 if p.lifetime is None else 2 * p.lifetime  # so that the shelf is as full at first as later
        first = np.where(generator.random(p.items) < p.new_items, generator.uniform(-before, p.days, p.items), -np.inf)
        last = np.full(p.items, np.inf)
        if p.lifetime is not None:
            lives = generator.lognormal(np.log(p.lifetime) - LIFE_SPREAD**2 / 2, LIFE_SPREAD, p.items)
            last = np.where(np.isfinite(first), first, 0.0) + lives
        shortest = p.days / 100 if p.lifetime is None else min(p.days / 100, p.lifetime / 4)
        periods = min(MOST_PERIODS, int(np.ceil(p.days / shortest))) if p.new_items or p.lifetime is not None else 1
        available = []
        for middle in (np.arange(periods) + 0.5) * p.days / periods:
            there = np.flatnonzero((first <= middle) & (middle < last))
            if not len(there):  # an empty shelf keeps the item that is nearest in time
                there = np.array([np.argmin(np.maximum(first - middle, middle - last))])
            available.append(there.astype(np.int64))
        return _Shelf(available, popularity, tastes, p.days)

    def pick(self, times: FloatArray, pools: IntArray, draws: FloatArray, *, even: bool) -> IntArray:
        """Returns an item for each event, int64.

        If no item of a pool is available, the event is drawn from all available items.

        Args:
            times: the day of each event, float64 [n].
            pools: the taste from which each event is drawn, or a larger number for all items, int64 [n].
            draws: a uniform number for each event, float64 [n].
            even: whether all items are equally popular.
        """
        periods = np.minimum((times / self.days * len(self.available)).astype(np.int64), len(self.available) - 1)
        kinds = int(pools.max(initial=0)) + 1
        place = periods * kinds + pools
        order = np.argsort(place, kind="stable")
        items = np.empty(len(times), dtype=np.int64)
        for group in np.split(order, np.flatnonzero(np.diff(place[order])) + 1):
            if not len(group):
                continue
            members = self.available[periods[group[0]]]
            own = members[self.tastes[members] == pools[group[0]]]
            members = own if len(own) else members
            weights = np.cumsum(np.ones(len(members)) if even else self.popularity[members])
            place_of_draw = np.searchsorted(weights, draws[group] * weights[-1], side="right")
            items[group] = members[np.minimum(place_of_draw, len(members) - 1)]
        return items
