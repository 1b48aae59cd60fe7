"""Searches for fake users that the defence of a victim does not suspect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robench.api import FloatArray, IntArray, Interactions, Profiles
from robench.api.attacks.surrogate import Pipeline

LEVEL = 0.5  # the share of the seen users that may be less suspicious than a fake user: not above the median
HALVINGS = 5  # the steps of the search for the fewest exchanged fillers
ROWS_SHARE = 0.25  # the share of the seen users, the least suspicious ones, whose rows donate fillers
SWAP = 0.1  # the share of the fillers that the first swaps exchange
DONORS = ("rows", "popular", "uniform")

Fillers = list[IntArray]
Arrange = Callable[[Fillers], Profiles]
# Returns the loss of an attack for the fillers of all fake users, and the value of each item as a filler of each fake
# user, [fakes, items], or of all fake users, [1, items]. Fillers with high values lower the loss.
Judge = Callable[[Fillers], tuple[float, FloatArray]]


@dataclass(frozen=True, eq=False)
class Answer:
    """What the defence says about one set of fake users.

    Args:
        fillers: the fillers of each fake user.
        profiles: the profiles with these fillers.
        places: the share of the seen users that are less suspicious than each fake user, float64 [fakes]. Equally
            suspicious users count half.
        flagged: whether the defence drops each fake user, bool [fakes].
        seen: the suspicion score of each seen user, float64 [users].
    """

    fillers: Fillers
    profiles: Profiles
    places: FloatArray
    flagged: NDArray[np.bool_]
    seen: FloatArray

    @property
    def excess(self) -> FloatArray:
        """How far each fake user is above the allowed suspicion, float64 [fakes].

        It is the excess of ``places`` over ``LEVEL``, or 0 if there is none. It is larger by 1 if the defence drops the
        fake user.
        """
        return np.maximum(self.places - LEVEL, 0) + self.flagged


@dataclass(frozen=True, eq=False)
class Candidate:
    """A set of fake users with its suspicion and its loss.

    Args:
        answer: what the defence says about the fake users.
        loss: the loss of the attack.
        values: the value of each item as a filler of each fake user, [fakes, items].
    """

    answer: Answer
    loss: float
    values: FloatArray

    def beats(self, other: Candidate) -> bool:
        """Returns whether this candidate has less excess, or equal excess and less loss."""
        mine, its = (round(float(one.answer.excess.mean()), 2) for one in (self, other))
        return (mine, self.loss) < (its, other.loss)


class Evasion:
    """A search for fillers with a low loss of the attack and with little suspicion.

    Args:
        pipeline: the victim's pipeline, which counts the requests.
        train: the training items of the users that the attack sees.
        barred: the items that may not be fillers, int64.
        arrange: a function that makes profiles from fillers.
        judge: a function that returns the loss of the attack and the value of each item as a filler.
        generator: the source of random numbers.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        train: Interactions,
        barred: IntArray,
        arrange: Arrange,
        judge: Judge,
        generator: np.random.Generator,
    ) -> None:
        self.pipeline, self.train, self.arrange, self.judge = pipeline, train, arrange, judge
        self.generator = generator
        self.allowed = np.ones(train.n_items, dtype=bool)
        self.allowed[barred] = False
        self.popularity = np.log(np.maximum(train.counts(), 0.1))
        self.calm = np.arange(train.n_users)  # the least suspicious users, once their suspicion is known

    def search(self, fillers: Fillers, rounds: int) -> Profiles | None:
        """Returns the best profiles that the search has found.

        Profiles are better if their mean excess of suspicion is lower. If it is equal, the loss of the attack decides.
        The costs of the profiles state the loss before and after the search. The result is None if the defence computes
        no suspicion, or if there are no fillers.

        Args:
            fillers: the fillers of each fake user from which the search starts.
            rounds: the number of times that the values of fillers are computed again.
        """
        state = self.ask(fillers) if any(map(len, fillers)) else None
        if state is None:
            return None
        self.calm = np.argsort(state.seen, kind="stable")[: max(1, round(ROWS_SHARE * len(state.seen)))]
        best = first = self.rate(state)
        share = SWAP
        for left in range(rounds, -1, -1):
            after = (
                self.disguise(best.answer, best.values)
                if left == rounds
                else self.climb(best.answer, best.values, share, self.pipeline.requests_left // (left + 1))
            )
            if after is best.answer:
                continue
            candidate = self.rate(after)
            if candidate.beats(best):
                best = candidate
            else:
                share /= 2
        costs = {"evade_loss_before": first.loss, "evade_loss_after": best.loss}
        return Profiles(best.answer.profiles.rows, costs)

    def rate(self, answer: Answer) -> Candidate:
        """Computes the attack's loss for some fake users, and the values of items."""
        loss, values = self.judge(answer.fillers)
        return Candidate(answer, loss, np.broadcast_to(values, (len(answer.fillers), self.train.n_items)))

    def ask(self, fillers: Fillers) -> Answer | None:
        """Returns the defence's answer about these fillers, or None if it has no scores."""
        profiles = self.arrange(fillers)
        suspicion = self.pipeline.suspicion(profiles)
        if suspicion is None:
            return None
        ordered = np.sort(suspicion.seen)
        below, upto = (np.searchsorted(ordered, suspicion.fakes, side) for side in ("left", "right"))
        places = (below + upto) / (2 * max(1, len(ordered)))
        return Answer(fillers, profiles, places, suspicion.flagged, suspicion.seen)

    def disguise(self, start: Answer, values: FloatArray) -> Answer:
        """Exchanges as few fillers as possible for donated items.

        For each kind of donated items and each fake user, a binary search looks for the smallest number of exchanged
        fillers with which the suspicion is allowed. Each fake user then takes the kind with the highest values, or the
        kind with the least suspicion if none suffices.

        Args:
            start: what the defence says about the fake users so far.
            values: the values of the fillers, [fakes, items].
        """
        if not self.pipeline.requests_left:
            return start
        options: list[list[tuple[float, float, IntArray]]] = [
            [(excess, 0.0, row)] for excess, row in zip(start.excess.tolist(), start.fillers, strict=True)
        ]
        for kind in DONORS:
            if self.pipeline.requests_left < HALVINGS + 2:
                break
            donated = [self.donate(kind, len(row)) for row in start.fillers]
            low, high = np.zeros(len(donated)), np.ones(len(donated))
            share = high.copy()
            for _ in range(1 + HALVINGS):
                rows = [
                    exchange(row, donor, round(part * len(row)), value)
                    for row, donor, part, value in zip(start.fillers, donated, share.tolist(), values, strict=True)
                ]
                answer = self.ask(rows)
                assert answer is not None
                for f, (row, value) in enumerate(zip(rows, values, strict=True)):
                    gain = float(value[row].sum() - value[start.fillers[f]].sum())
                    options[f].append((round(float(answer.excess[f]), 2), -gain, row))
                enough = answer.excess == 0
                high, low = np.where(enough, share, high), np.where(enough, low, share)
                share = (low + high) / 2
        best = self.ask([min(of, key=lambda option: option[:2])[2] for of in options])
        assert best is not None
        return best

    def donate(self, kind: str, count: int) -> IntArray:
        """Returns items that may replace fillers, int64.

        Args:
            kind: ``rows`` for the items of one of the least suspicious users, ``popular`` for random items in
                proportion to their popularity, or ``uniform`` for random items. If such a user has too few items,
                random items in proportion to their popularity are added.
            count: the number of items, unless there are fewer.
        """
        generator = self.generator
        noise = generator.gumbel(size=self.train.n_items)
        keys = noise if kind == "uniform" else self.popularity + noise
        if kind == "rows":
            keys[self.train.row(generator.choice(self.calm))] += np.ptp(keys) + 1
        keys[~self.allowed] = -np.inf
        return largest(keys, min(count, int(self.allowed.sum())))

    def climb(self, state: Answer, values: FloatArray, share: float, requests: int) -> Answer:
        """Swaps fillers, as long as suspicion falls or stays allowed.

        A fake user above the allowed suspicion takes random items. Any other takes more valuable ones.

        Args:
            state: what the defence says about the current fake users.
            values: the values of the fillers, [fakes, items].
            share: the share of the fillers that the first swaps exchange.
            requests: the maximum number of requests.
        """
        sizes = np.array([max(1, round(share * len(row))) for row in state.fillers])
        while requests >= 2:
            proposed = [self.swap(state, f, int(size), values[f]) for f, size in enumerate(sizes)]
            answer = self.ask(proposed)
            assert answer is not None
            taken = np.where(state.excess > 0, answer.excess < state.excess, answer.excess == 0)
            sizes = np.where(taken, sizes, np.maximum(1, sizes // 2))
            requests -= 1
            if taken.all():
                state = answer
            elif taken.any():
                rows = [new if yes else old for old, new, yes in zip(state.fillers, proposed, taken, strict=True)]
                mixed = self.ask(rows)
                assert mixed is not None
                requests -= 1
                if mixed.excess.mean() <= state.excess.mean():
                    state = mixed
        return state

    def swap(self, state: Answer, fake: int, size: int, value: FloatArray) -> IntArray:
        """Returns the fillers of a fake user after a random swap of ``size`` fillers."""
        row = state.fillers[fake]
        if state.excess[fake] > 0:
            kind = DONORS[self.generator.integers(len(DONORS))]
            donated = self.donate(kind, len(row))
            return exchange(row, self.generator.permutation(donated), size, value)
        absent = np.where(self.allowed, value, -np.inf)
        absent[row] = -np.inf
        free = int(self.allowed.sum()) - len(row)
        donated = self.generator.permutation(largest(absent, min(5 * size, free)))[:size]
        rated = row[np.argsort(value[row], kind="stable")][: 3 * size]
        lost = self.generator.permutation(rated)[: len(donated)]
        return np.concatenate([row[~np.isin(row, lost)], donated[: len(lost)]]).astype(np.int64)


def largest(keys: FloatArray, count: int) -> IntArray:
    """Returns the places of the ``count`` largest keys, the largest first, int64."""
    count = min(count, len(keys))
    places = np.argpartition(-keys, count - 1)[:count] if count else np.empty(0, np.int64)
    return places[np.argsort(-keys[places], kind="stable")].astype(np.int64)


def exchange(row: IntArray, donated: IntArray, count: int, value: FloatArray) -> IntArray:
    """Exchanges the least valuable fillers of a fake user for donated items.

    Args:
        row: the fillers of a fake user, int64.
        donated: the items that replace fillers, int64. Those with the highest values come first. Fillers that are
            among them stay.
        count: the number of exchanged fillers, unless there are too few.
        value: the value of each item, [items].
    """
    new = donated[~np.isin(donated, row)]
    new = new[np.argsort(-value[new], kind="stable")]
    old = row[~np.isin(row, donated)]
    old = old[np.argsort(value[old], kind="stable")]
    count = min(count, len(new), len(old))
    return np.concatenate([row[~np.isin(row, old[:count])], new[:count]]).astype(np.int64)


def fillers_of(rows: Sequence[IntArray], targets: IntArray) -> Fillers:
    """Returns the items of each profile that are not targets."""
    return [row[~np.isin(row, targets)] for row in rows]
