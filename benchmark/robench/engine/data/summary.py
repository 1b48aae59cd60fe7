"""Summarises a data set: counts, quantiles, times and peculiarities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.api.data import Catalogue, Interactions
from robench.api.dataset import DatasetConfig, Ratings
from robench.api.errors import DataError, counted
from robench.api.summary import DataSummary, Quantiles
from robench.engine.data.contents import MANY_TIES, describe_contents
from robench.engine.data.events import Events
from robench.engine.data.ids import find_look_alikes, find_padded, plain_form, show_pair

FIELDS = ("title", "year", "genres", "description")
FEW = 0.5  # if a smaller share of the items or users is described, a note says so
DESCRIPTIONS = "descriptions of items"  # the words of the note on items without a description


@dataclass(frozen=True, eq=False)
class Log:
    """A raw log, and the numbers of rows that each filter has found or dropped.

    Args:
        ratings: the raw log.
        user_ids: the distinct ids of users.
        item_ids: the distinct ids of items.
        low_ratings: the number of rows with a rating below the minimum.
        repeats: the number of rows that repeat a user-item pair.
        rows: the number of rows before the k-core.
        notes: lines about the split.
        known: the number of held-out rows that were dropped because they repeat a user-item pair.
    """

    ratings: Ratings
    user_ids: Sequence[str]
    item_ids: Sequence[str]
    low_ratings: int
    repeats: int
    rows: int
    notes: tuple[str, ...] = ()
    known: int = 0


@dataclass(frozen=True)
class EventFacts:
    """Numbers about the events that remain after the filters.

    Args:
        count: the number of events.
        first: the earliest time as text, or an empty string if the source has no times.
        last: the latest time as text, or an empty string if the source has no times.
        equal_times: the share of events at the same time as another event of the same user, or None if the source has
            no times.
        per_user: quantiles of the number of events per user.
        per_item: quantiles of the number of events per item.
    """

    count: int
    first: str
    last: str
    equal_times: float | None
    per_user: Quantiles
    per_item: Quantiles


def find_facts(events: Events, ratings: Ratings) -> EventFacts:
    """Returns the numbers about the remaining events of a log."""
    timed = ratings.times is not None
    first, last = (
        describe_time(int(time), ratings.ticks, ratings.scale) for time in (events.times.min(), events.times.max())
    )
    return EventFacts(
        len(events),
        first if timed else "",
        last if timed else "",
        _equal_times(events) if timed else None,
        _quantiles(np.bincount(events.users)),
        _quantiles(np.bincount(events.items)),
    )


def summarise(
    log: Log,
    config: DatasetConfig,
    facts: EventFacts,
    parts: tuple[Interactions, Interactions, Interactions, Interactions],
    catalogue: Catalogue,
    profiles: Sequence[str],
) -> DataSummary:
    """Returns the summary of a data set after its filters and split.

    Args:
        log: the raw log, with the numbers of rows that the filters found.
        config: the filters.
        facts: the numbers about the events that remain after the filters.
        parts: the training, validation and test items, and the known items of cold users.
        catalogue: the ids and descriptions of the remaining items.
        profiles: the description of each remaining user.
    """
    train, _, test, known = parts
    return DataSummary(
        rows=len(log.ratings.users),
        low_ratings=log.low_ratings,
        repeats=log.repeats,
        outside_core=log.rows - log.known - facts.count,
        users=train.n_users,
        items=train.n_items,
        interactions=facts.count,
        parts=(len(parts[0]), len(parts[1]), len(parts[2])),
        evaluated=int(((train.lengths() + known.lengths() > 0) & (test.lengths() > 0)).sum()),
        known=len(known),
        first=facts.first,
        last=facts.last,
        equal_times=facts.equal_times,
        per_user=facts.per_user,
        per_item=facts.per_item,
        described={name: sum(bool(getattr(item, name)) for item in catalogue.items) for name in FIELDS},
        profiles=sum(map(bool, profiles)),
        notes=(*log.ratings.notes, *log.notes, *filter(None, _notes(log, config, facts.equal_times))),
    )


def _notes(log: Log, config: DatasetConfig, ties: float | None) -> list[str]:
    """Returns lines about peculiarities of the data.

    If the data do not have a peculiarity, its line is empty or left out.
    """
    ratings = log.ratings
    lines = [
        find_padded(log.user_ids, "users"),
        find_padded(log.item_ids, "items"),
        find_look_alikes(log.user_ids, "users"),
        find_look_alikes(log.item_ids, "items"),
        _unmatched(log.item_ids, ratings.catalogue, DESCRIPTIONS, "items"),
        _unmatched(log.user_ids, ratings.profiles, "profiles", "users"),
        _without_events(log.item_ids, ratings.catalogue, "items"),
        _without_events(log.user_ids, ratings.profiles, "users"),
        *describe_contents(ratings, log.user_ids, log.item_ids, ties),
    ]
    if ties is None:
        lines.append("no times: input order counts as time")
    elif ties >= MANY_TIES:
        lines.append(f"{ties:.0%} of interactions have the time of another of the same user: ordered by item id")
    if log.repeats > log.known and config.repeats == "all":
        kept = log.repeats - log.known
        lines.append(f"{counted(kept, 'interaction')} that repeat a user-item pair: kept, as repeats: all says")
    if log.known:
        lines.append(f"{log.known} held-out interactions repeat an item that the user has, and are dropped")
    return lines


def nothing_left(ratings: Ratings, config: DatasetConfig, events: Events) -> DataError:
    """Returns the error for a log in which the filters leave no rows.

    Args:
        ratings: the raw log.
        config: the filters.
        events: one event per user-item pair, before the k-core.
    """
    names = ("min_rating", "min_user_interactions", "min_item_interactions")
    defaults = type(config).model_fields
    chosen = [(name, getattr(config, name)) for name in names if getattr(config, name) != defaults[name].default]
    problem = f"nothing is left of {counted(len(ratings.users), 'row')} after the filters"
    problem += f" ({', '.join(f'{name} {value:.15g}' for name, value in chosen)})" if chosen else ""
    if not len(events):
        highest = 0.0 if ratings.ratings is None else float(ratings.ratings.max())
        return DataError(problem, hint=f"the highest rating is {highest:g}")
    most = [int(np.bincount(numbers).max()) for numbers in (events.users, events.items)]
    return DataError(
        problem,
        hint=f"before min_user_interactions and min_item_interactions, a user has at most "
        f"{counted(most[0], 'interaction')}, and an item at most {most[1]}",
    )


def _unmatched(names: Sequence[str], described: Mapping[str, object], texts: str, kind: str) -> str:
    """Returns a line about items or users that the source does not describe.

    The line is empty if the source has no descriptions, or if at least half of the ids have a description. However, ids
    that differ from a described id only in form are always reported.

    Args:
        names: the ids of the items or users in the log.
        described: the descriptions by id.
        texts: what the line calls the descriptions, such as ``titles``.
        kind: ``items`` or ``users``.
    """
    missing = [name for name in names if name not in described]
    if not described or not missing:
        return ""
    found = len(names) - len(missing)
    line = f"the {texts} match {found} of {len(names)} {kind}"
    forms = {plain_form(name): name for name in described}
    alike = [(name, forms[form]) for name in missing if (form := plain_form(name)) in forms]
    if alike:
        return f"{line}; {len(alike)} more differ only in form, such as {show_pair(*alike[0])}"
    if found >= FEW * len(names):
        return ""
    known = set(names)
    other = next((name for name in described if name not in known), None)
    strange = "" if other is None else f", and the data have no {kind.removesuffix('s')} {other!r}"
    return f"{line}: none describes {missing[0]!r}{strange}"


def _without_events(names: Sequence[str], described: Mapping[str, object], kind: str) -> str:
    """Returns a line about described items or users that no row names.

    The line is empty if there are none.

    Args:
        names: the ids of the items or users in the log.
        described: the descriptions by id.
        kind: ``items`` or ``users``.
    """
    count = len(described.keys() - set(names)) if described else 0
    return f"{count} of {len(described)} described {kind} have no interaction, and are left out" if count else ""


def notes_on_descriptions(summary: DataSummary) -> tuple[str, ...]:
    """Returns the notes on items that the source does not describe."""
    return tuple(note for note in summary.notes if DESCRIPTIONS in note)


def _equal_times(events: Events) -> float:
    """Returns the share of events at the same time as another event of the same user."""
    same = np.zeros(len(events) + 1, dtype=bool)  # whether an event has the user and the time of the one before
    same[1:-1] = (events.users[1:] == events.users[:-1]) & (events.times[1:] == events.times[:-1])
    return float((same[1:] | same[:-1]).mean())


def _quantiles(counts: NDArray[np.integer[Any]]) -> Quantiles:
    low, first, middle, third, high = np.quantile(counts, [0, 0.25, 0.5, 0.75, 1], method="lower").tolist()
    return int(low), int(first), int(middle), int(third), int(high)


def describe_time(time: int, ticks: int | None, scale: int = 1) -> str:
    """Formats a time as a date such as ``1995-01-09``.

    If the unit is unknown, or the year is not between 1900 and 9999, the time is formatted as a number.

    Args:
        time: the time, in ticks since 1970.
        ticks: the number of ticks per second, or None if the unit is unknown.
        scale: the number of ticks per unit of the source, if the unit is unknown.
    """
    if ticks is None:
        return str(time) if scale == 1 else f"{Decimal(time) / scale:f}"
    try:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=time // ticks)
    except OverflowError:
        return str(time)
    return moment.strftime("%Y-%m-%d") if moment.year >= 1900 else str(time)
