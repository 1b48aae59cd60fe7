"""Computes the certificate of PORE from the votes of base models.

PORE is Jia et al., "PORE: Provably Robust Recommender Systems against Data Poisoning Attacks", USENIX Security 2023.
Base models vote for the items of a user's list. The certificate is a lower bound on the number of held-out items in
this list. The bound holds whatever interactions a few fake users have.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from robench.api.data import FloatArray, IntArray
from robench.store.npz import Arrays

FAKES = range(6)  # the numbers of fake users for which certificates are computed
LENGTH = 10  # the length of the certified list, N
ALPHA = 0.001  # the probability that any of a victim's certificates is wrong
SLACK = 1e-12  # the least difference of probabilities that counts, because floats are rounded
Certificate = dict[str, float | None]


@dataclass(frozen=True)
class Voting:
    """The numbers of a vote on which a certificate depends.

    ``api.models.votes.Votes`` describes the vote.

    Args:
        models: the number of base models, T.
        sample: the number of users in each sample, s.
        users: the number of users from which the samples are drawn, n.
        each: the maximum number of items that a base model votes for, N'.
        pairs: the number of pairs of an evaluated user and an item of the catalogue.
    """

    models: int
    sample: int
    users: int
    each: int
    pairs: int


def measure_certificate(arrays: Arrays, voting: Voting) -> Certificate:
    """Returns the plain and certified values of lists, as means over users.

    Args:
        arrays: the arrays of the cell: ``ranks`` and ``indptr`` of the held-out items, and the votes. ``item_votes``
            counts the base models that vote for each held-out item, and has the length of ``ranks``. ``other_votes``,
            int64 [U, ``LENGTH``], holds the largest counts of each user's other items.
        voting: the numbers of the vote.

    Returns:
        The fields of ``voting``, ``alpha``, the plain values ``precision``, ``recall`` and ``f1``, and for each number
        e of fake users the certified values ``precision_e``, ``recall_e`` and ``f1_e``, for example ``recall_0``.
    """
    bounds = arrays["indptr"]
    sizes = bounds[1:] - bounds[:-1]
    hits = np.add.reduceat(np.append(arrays["ranks"] <= LENGTH, False), bounds[:-1]) * (sizes > 0)
    numbers: Certificate = {
        "models": voting.models,
        "sample": voting.sample,
        "users": voting.users,
        "each": voting.each,
        "pairs": voting.pairs,
        "alpha": ALPHA,
    }
    numbers |= _values(hits.astype(np.int64), sizes, "")
    certified = certify_votes(arrays, voting)
    for fakes in FAKES:
        numbers |= _values(certified[fakes], sizes, f"_{fakes}")
    return numbers


def _values(hits: IntArray, sizes: IntArray, end: str) -> Certificate:
    """Returns the mean precision, recall and F1 of lists with ``LENGTH`` items.

    Args:
        hits: the number of held-out items in each user's list.
        sizes: the number of held-out items of each user.
        end: the ending of the names, such as ``_0``.
    """
    return {
        f"precision{end}": float((hits / LENGTH).mean()),
        f"recall{end}": float((hits / np.maximum(sizes, 1)).mean()),
        f"f1{end}": float((2 * hits / (LENGTH + sizes)).mean()),
    }


def read_voting(numbers: Mapping[str, float | None]) -> Voting:
    """Reads the numbers of a vote from a stored certificate."""
    return Voting(*(int(numbers[name] or 0) for name in ("models", "sample", "users", "each", "pairs")))


def certify_votes(arrays: Arrays, voting: Voting) -> IntArray:
    """Returns the certified number of held-out items in each user's list.

    A count of votes bounds the probability p of a vote by a one-sided Clopper-Pearson interval. The bound is a
    lower one for held-out items, and an upper one for other items. Each bound is wrong with a probability of
    at most ``ALPHA / pairs``. By the Bonferroni correction, all bounds hold at once with a probability of at least
    1 − ``ALPHA``.

    Args:
        arrays: the arrays of the cell. See ``measure_certificate``.
        voting: the numbers of the vote.

    Returns:
        The numbers for each number of fake users in ``FAKES``, int64 [fakes, U].
    """
    level = ALPHA / voting.pairs
    bounds, votes = arrays["indptr"], bound_below(arrays["item_votes"], voting.models, level)
    low = np.zeros((len(bounds) - 1, LENGTH))
    for user, (start, end) in enumerate(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)):
        best = np.sort(votes[start:end])[::-1][:LENGTH]
        low[user, : len(best)] = best
    high = bound_above(arrays["other_votes"], voting.models, level)
    shares = [compute_clean_share(voting.users, voting.sample, fakes) for fakes in FAKES]
    return np.stack([certify(low, high, share, voting.each) for share in shares])


def compute_clean_share(users: int, sample: int, fakes: int) -> float:
    """Returns the probability that a sample holds no fake user.

    It is c = C(n, s) / C(n + e, s) for e fake users, if s of all n + e users are drawn without replacement.

    Args:
        users: the number of real users, n.
        sample: the number of users in each sample, s.
        fakes: the number of fake users, e.
    """
    share = 1.0
    for number in range(1, fakes + 1):
        share *= max(users + number - sample, 0) / (users + number)
    return share


def bound_below(counts: IntArray, trials: int, level: float) -> FloatArray:
    """Returns Clopper-Pearson lower bounds of the probabilities of successes.

    Args:
        counts: the numbers of successes.
        trials: the number of trials.
        level: the largest allowed probability that one bound is wrong.
    """
    from scipy.special import betaincinv  # noqa: PLC0415  # a slow import

    some = np.asarray(counts, dtype=np.float64)
    return np.where(some > 0, betaincinv(np.maximum(some, 1), trials - some + 1, level), 0.0)


def bound_above(counts: IntArray, trials: int, level: float) -> FloatArray:
    """Returns Clopper-Pearson upper bounds of the probabilities of successes.

    The arguments are those of ``bound_below``.
    """
    return 1 - bound_below(trials - np.asarray(counts, dtype=np.int64), trials, level)


def certify(low: FloatArray, high: FloatArray, share: float, each: int) -> IntArray:
    """Returns how many held-out items stay in each list whatever fake users do.

    The number of fake users determines ``share``. The theorem is that of PORE (section 4), with this proof. Let p_i be
    the probability that a base model votes for item i, and p'_i the same probability after fake users were added. With
    probability ``share``, c, a sample holds no fake user. It is then a sample of the genuine users, so the item gets
    the vote with probability p_i. Hence c p_i ≤ p'_i ≤ c p_i + (1 − c). For m items together,
    Σ p'_j ≤ c Σ p_j + min(m, N') (1 − c), because a base model votes for at most N' items.

    Suppose that a list of N items by p' holds fewer than r held-out items. Then it holds a set C of q = N − r + 1 other
    items, and it misses a held-out item i among the r best of them. So p'_i ≤ p'_j for each j in C. The smallest of
    these p'_j is at most the mean over any m items of C. Therefore

        c p_i ≤ min over m = 1..q of (c Σ_m p_j + min(m, N') (1 − c)) / m.

    Here Σ_m is the sum over the m items of C with the smallest p_j. The right side is largest if C has the q largest
    p_j. If the bounds of the probabilities contradict this inequality, r held-out items are certified. The list is the
    one by the probabilities p', which infinitely many base models would give.

    In PORE, a user gets votes only from the base models of samples that contain this user. If each sample has s of n
    users, the probabilities are therefore at most s / n. And e fake users add s / (n + e) − (s / n) c in place of
    1 − c. Here, base models score any history, so a user gets votes from every base model. Both sides of the inequality
    are therefore larger by about the factor n / s.

    Args:
        low: lower bounds of p for the held-out items, from high to low, float64 [U, N]. The rows of users with fewer
            than N held-out items end with zeros.
        high: upper bounds of p for the other items, from high to low, float64 [U, N].
        share: the probability that a sample holds no fake user, c.
        each: the maximum number of items that a base model votes for, N'.

    Returns:
        The number of held-out items that are certified for each user, int64 [U].
    """
    n = low.shape[1]
    certified = np.zeros(len(low), dtype=np.int64)
    for r in range(1, n + 1):
        others = high[:, : n - r + 1][:, ::-1]  # the q largest, from low to high
        m = np.arange(1, others.shape[1] + 1)
        means = (share * np.cumsum(others, axis=1) + np.minimum(m, each) * (1 - share)) / m
        safe = share * low[:, r - 1] > means.min(axis=1) + SLACK
        certified[safe] = r
    return certified
