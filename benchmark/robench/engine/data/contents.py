"""Finds columns that seem to hold something else than what they are read as."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from robench.api.dataset import Ratings

DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T].*)?|[0-9]{1,2}([./-])[0-9]{1,2}\2([0-9]{4}|[0-9]{2})( .*)?")
SECONDS = re.compile(r"[1-9][0-9]{9}([0-9]{3})?")  # seconds or milliseconds since 1970
FRACTION = re.compile(r"[0-9]{1,2}[.,][0-9]{1,2}")
SIGNS = ("\t", "::", ";", ",", "|")  # usual separators of columns
EARLIEST, LATEST = 500_000_000, 2_200_000_000  # the years 1985 to 2039, in seconds
HIGHEST = 10  # the highest rating on most scales
MOST_RATINGS = 11  # the most distinct whole ratings on such a scale
ROWS_PER_RATING = 100  # ids of so few rows may be those of a small file
LEAST_TIME = 10**8  # the smallest number that looks like a time rather than a rating
MANY_TIES = 0.2  # if at least this share of interactions has equal times, a note says so


def describe_contents(
    ratings: Ratings, user_ids: Sequence[str], item_ids: Sequence[str], ties: float | None
) -> Iterator[str]:
    """Yields a line about each column that seems to hold something else.

    Args:
        ratings: the raw log.
        user_ids: the distinct ids of users.
        item_ids: the distinct ids of items.
        ties: the share of events with the time of another event of the same user, or None without times.
    """
    dated = ratings.times is not None and ratings.ticks is not None
    for names, kind in ((user_ids, "users"), (item_ids, "items")):
        what = _kind_of_ids(names, len(ratings.users), dated)
        if what:
            yield f"the ids of {kind} look like {what}, such as {names[0]!r}: is the right column taken for {kind}?"
        sign = next((one for one in SIGNS if all(one in name for name in names)), None)
        if sign is not None:
            yield f"all ids of {kind} hold {sign!r}, such as {names[0]!r}: does it separate columns?"
    if len(user_ids) == len(ratings.users) > 1:
        yield "each user has one row: is this a file of items or of users?"
    if ratings.ratings is not None and float(ratings.ratings.min()) >= LEAST_TIME:
        yield f"the ratings look like times, such as {ratings.ratings[0]:.15g}: is the right column taken for ratings?"
    if ratings.times is not None and ratings.ticks is None and ties is not None and ties >= MANY_TIES:
        distinct = np.unique(ratings.times[: ROWS_PER_RATING * MOST_RATINGS])
        if len(distinct) <= MOST_RATINGS and int(ratings.times.max()) <= HIGHEST * ratings.scale:
            yield f"the times look like ratings, with few values up to {HIGHEST}: is the right column taken for times?"


def _kind_of_ids(names: Sequence[str], rows: int, dated: bool) -> str:
    """Returns what ids look like, or an empty string.

    Args:
        names: the distinct ids.
        rows: the number of rows.
        dated: whether the source has times since 1970. If so, long numbers are taken for ids.
    """
    if all(map(DATE.fullmatch, names)):
        return "dates"
    if not dated and all(map(SECONDS.fullmatch, names)):
        return "times" if all(EARLIEST <= int(name[:10]) <= LATEST for name in names) else ""
    if len(names) <= HIGHEST * HIGHEST + 1 and all(map(FRACTION.fullmatch, names)):
        numbers = [float(name.replace(",", ".")) for name in names]
        return "ratings" if max(numbers) <= HIGHEST and any(number % 1 for number in numbers) else ""
    few = len(names) <= MOST_RATINGS and rows >= ROWS_PER_RATING * len(names)
    return "ratings" if few and all(name.isdecimal() and int(name) <= HIGHEST for name in names) else ""
