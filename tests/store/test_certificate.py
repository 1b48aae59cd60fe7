"""Tests the certificate of votes.

The oracles enumerate all samples, all attacks of a small world, or all ways to add votes.
"""

from itertools import combinations, combinations_with_replacement, product
from math import comb

import numpy as np
import pytest
from scipy.stats import binom

from robench.store.certificate import (
    ALPHA,
    FAKES,
    LENGTH,
    Voting,
    bound_above,
    bound_below,
    certify,
    certify_votes,
    compute_clean_share,
    measure_certificate,
    read_voting,
)

ITEMS, N = 5, 2


def vote(rows, sample, user):
    """Returns the item that a base model votes for: the one with the most weight."""
    weights = np.zeros(ITEMS)
    for one in sample:
        weights += rows[one] * (1 + 3 * (rows[one] * rows[user]).sum())
    weights[rows[user] > 0] = -1
    return int(np.argmax(weights))  # the first of equal items


def probabilities(rows, user, size):
    """Returns the exact probability of a vote for each item, over all samples."""
    samples = list(combinations(range(len(rows)), size))
    return np.bincount([vote(rows, sample, user) for sample in samples], minlength=ITEMS) / len(samples)


def hits(p, held, known):
    """Returns the number of held-out items among the N most probable items.

    Among equal probabilities, held-out items come last.
    """
    order = sorted((item for item in range(ITEMS) if item not in known), key=lambda i: (-round(p[i], 12), i in held))
    return len(set(order[:N]) & set(held))


def certified(p, held, known, share):
    low = np.zeros((1, N))
    best = sorted((p[i] for i in held), reverse=True)[:N]
    low[0, : len(best)] = best
    others = sorted((p[i] for i in range(ITEMS) if i not in held and i not in known), reverse=True)[:N]
    high = np.zeros((1, N))
    high[0, : len(others)] = others
    return int(certify(low, high, share, 1)[0])


@pytest.mark.parametrize("seed", range(3))
def test_no_attack_with_so_many_fake_users_breaks_the_certificate(seed):
    generator = np.random.default_rng(seed)
    rows = (generator.random((9, ITEMS)) < [0.9, 0.7, 0.5, 0.4, 0.3]).astype(int)
    rows[0] = [1, 0, 0, 0, 0]
    held, known, size = (1, 2), (0,), 2
    clean = probabilities(rows, 0, size)
    profiles = [np.array(row) for row in product((0, 1), repeat=ITEMS) if sum(row)]
    positive = False
    for fakes in (0, 1, 2):
        bound = certified(clean, held, known, compute_clean_share(9, size, fakes))
        positive |= fakes > 0 and bound > 0
        choices = profiles[::3] if fakes == 2 else profiles
        for attack in combinations_with_replacement(choices, fakes):
            assert hits(probabilities([*rows, *attack], 0, size), held, known) >= bound
    assert positive, "a certificate of 0 shows nothing"


def worst_case(p, held, share, each):
    """Returns the least number of held-out items over all ways to add votes."""
    others = [item for item in range(len(p)) if item not in held]
    kept = sorted((share * p[i] for i in held), reverse=True)
    for r in range(min(len(held), N), 0, -1):
        level = kept[r - 1]  # the best held-out item that the attack must push out of the list
        lacks = [[max(0.0, level - share * p[j]) for j in chosen] for chosen in combinations(others, N - r + 1)]
        added = 1 - share
        if not any(max(lack) <= added + 1e-9 and sum(lack) <= each * added + 1e-9 for lack in lacks):
            return r
    return 0


@pytest.mark.parametrize("each", [1, 2, 3])
def test_the_certificate_is_the_worst_case_over_all_added_votes(each):
    generator = np.random.default_rng(each)
    seen = set()
    for _ in range(400):
        p = np.minimum(generator.dirichlet(np.full(6, 0.5)) * each, 1)
        held, share = (0, 1, 2), generator.uniform(0.6, 1)
        low = np.sort(p[:3])[::-1][None, :N]
        high = np.sort(p[3:])[::-1][None, :N]
        result = int(certify(low, high, share, each)[0])
        assert result == worst_case(p, held, share, each)
        seen.add(result)
    assert seen == {0, 1, 2}


def test_the_share_of_samples_without_fake_users_is_that_of_all_samples():
    for users, sample, fakes in ((9, 2, 1), (9, 4, 3), (5, 5, 1), (943, 200, 5)):
        expected = comb(users, sample) / comb(users + fakes, sample)
        assert compute_clean_share(users, sample, fakes) == pytest.approx(expected)
    assert compute_clean_share(943, 200, 0) == 1


def test_bounds_are_those_of_the_binomial_distribution():
    counts, level = np.array([0, 1, 7, 50, 99, 100]), 1e-4
    low, high = bound_below(counts, 100, level), bound_above(counts, 100, level)
    assert (low[0], high[-1]) == (0, 1)
    assert binom.sf(counts[1:] - 1, 100, low[1:]) == pytest.approx(level)
    assert binom.cdf(counts[:-1], 100, high[:-1]) == pytest.approx(level)


def votes(users=40, seed=0):
    """Returns the arrays of a cell with three held-out items per user."""
    generator = np.random.default_rng(seed)
    others = np.sort(generator.integers(0, 60, (users, LENGTH)), axis=1)[:, ::-1]
    return {
        "indptr": np.arange(0, 3 * users + 1, 3),
        "ranks": generator.integers(1, 20, 3 * users),
        "item_votes": generator.integers(0, 900, 3 * users),
        "other_votes": others,
    }


def test_values_fall_with_the_number_of_fake_users_from_the_bound_without_any():
    arrays, voting = votes(), Voting(1000, 50, 943, 1, 40 * 100)
    numbers = measure_certificate(arrays, voting)
    assert read_voting(numbers) == voting
    for name in ("precision", "recall", "f1"):
        values = [numbers[f"{name}_{fakes}"] for fakes in FAKES]
        assert values == sorted(values, reverse=True)
        assert values[0] > values[-1] > 0
    hits = (arrays["ranks"].reshape(-1, 3) <= LENGTH).sum(1)
    assert numbers["precision"] == pytest.approx(hits.mean() / LENGTH)
    assert numbers["recall"] == pytest.approx(hits.mean() / 3)
    assert numbers["f1"] == pytest.approx(np.mean(2 * hits / (3 + LENGTH)))


def test_without_fake_users_an_item_is_certified_if_its_interval_lies_above_those_of_its_rivals():
    arrays, voting = votes(), Voting(1000, 50, 943, 1, 40 * 100)
    level = ALPHA / voting.pairs
    certificates = certify_votes(arrays, voting)[0]
    for user, result in enumerate(certificates):
        low = np.sort(bound_below(arrays["item_votes"][3 * user : 3 * user + 3], 1000, level))[::-1]
        high = bound_above(arrays["other_votes"][user], 1000, level)
        expected = max((r for r in (1, 2, 3) if low[r - 1] > high[LENGTH - r]), default=0)
        assert result == expected
    assert len(set(certificates.tolist())) > 1


def test_a_sample_of_all_users_certifies_nothing_against_a_fake_user():
    certificates = certify_votes(votes(), Voting(1000, 943, 943, 1, 40 * 100))
    assert certificates[0].any()
    assert not certificates[1:].any()


def test_the_small_integers_of_a_packed_folder_give_the_same_numbers():
    arrays, voting = votes(), Voting(100_000, 50, 943, 1, 40 * 100)
    packed = arrays | {name: arrays[name].astype(np.int16) for name in ("item_votes", "other_votes")}
    assert measure_certificate(packed, voting) == measure_certificate(arrays, voting)
