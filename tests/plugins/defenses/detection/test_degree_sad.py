import numpy as np
import pytest
from tests.plugins.defenses.detection.worlds import BANDWAGON, RANDOM, detect, poisoned, real_users

from robench.api import Interactions, Rng
from robench.testing import DefenseTests
from robench_plugins.defenses.detection.degree_sad import DegreeSad, degree_features
from robench_plugins.defenses.detection.training_fakes import make_training_fakes


class TestDegreeSad(DefenseTests):
    defense = DegreeSad


def test_the_features_by_hand():
    degrees = np.array([4, 1, 3, 2, 9])
    features = degree_features([np.array([0, 1, 2, 3]), np.array([4])], degrees)
    np.testing.assert_allclose(features, [[10 / 4, 3, 1.75], [9, 0, 9]])


def naive_tree(features, labels, depth, leaf):
    """Returns the share of fake users in each user's leaf of a decision tree.

    Each node takes the best of all splits, found by loops. ``depth`` is the largest depth, and ``leaf`` is the smallest
    number of users in a leaf.
    """

    def entropy(part):
        share = part.mean()
        return 0 if share in (0, 1) else -share * np.log2(share) - (1 - share) * np.log2(1 - share)

    shares = np.empty(len(labels))

    def split(rows, left):
        best = None
        for column in range(features.shape[1]):
            values = np.unique(features[rows, column])
            for cut in (values[1:] + values[:-1]) / 2:
                low, high = rows[features[rows, column] <= cut], rows[features[rows, column] > cut]
                if min(len(low), len(high)) >= leaf:
                    cost = sum(len(part) * entropy(labels[part]) for part in (low, high))
                    if best is None or cost < best[0] - 1e-9:
                        best = cost, low, high
        if left == 0 or best is None or entropy(labels[rows]) == 0:
            shares[rows] = labels[rows].mean()
            return
        split(best[1], left - 1)
        split(best[2], left - 1)

    split(np.arange(len(labels)), depth)
    return shares


@pytest.mark.parametrize("depth", [1, 2])
def test_scores_are_those_of_a_naive_tree(depth):
    train, rng = poisoned(RANDOM, 6), Rng(4)
    detector = DegreeSad.make(depth=depth, trained_on=("random",))
    fakes = make_training_fakes(train, "random", int(np.ceil(0.1 * train.n_users)), rng.child("random").numpy())
    rows = [*(train.row(user) for user in range(train.n_users)), *fakes]
    features = degree_features(rows, train.counts())
    labels = np.arange(len(rows)) >= train.n_users
    expected = naive_tree(features, labels, depth, int(np.ceil(0.01 * len(rows))))
    np.testing.assert_allclose(detector.scores(train, rng), expected[: train.n_users])


def popular_taste():
    """Returns 120 real users without communities, who mostly have popular items."""
    generator = np.random.default_rng(2)
    shares = 1 / (1 + np.arange(90)) ** 1.1
    rows = [
        generator.choice(90, generator.integers(14, 25), replace=False, p=shares / shares.sum()) for _ in range(120)
    ]
    return Interactions.from_rows(rows, 90)


def test_fake_users_of_the_kind_it_learned_are_caught():
    train = poisoned(RANDOM, 3, popular_taste(), size=20)
    numbers = detect(train, DegreeSad.make(trained_on=("random",), fakes=1))
    assert numbers["auroc"] > 0.95
    assert numbers["recall"] == 1
    assert numbers["false_alarms"] < 0.1


def test_fake_users_of_another_kind_slip_through():
    train = poisoned(BANDWAGON, 3, popular_taste(), size=20)
    assert detect(train, DegreeSad.make(trained_on=("random",), fakes=1))["recall"] == 0


def test_it_says_which_attacks_it_knows():
    assert DegreeSad().known_attacks() == ("random-profiles", "segment")
    assert DegreeSad.make(trained_on=("popular",)).known_attacks() == ("bandwagon",)


@pytest.mark.parametrize("kind", ["random", "segment", "popular"])
def test_training_fakes_look_like_the_attack(kind):
    train = real_users()
    rows = make_training_fakes(train, kind, 200, Rng(1).numpy())
    assert len(rows) == 200
    assert all(len(np.unique(row)) == len(row) for row in rows)
    assert {len(row) for row in rows} <= set(train.lengths().tolist())
    popularity = np.mean([train.counts()[row].mean() for row in rows])
    uniform = train.counts().mean()
    assert (popularity > 1.6 * uniform) == (kind == "popular")
    assert (popularity < 1.05 * uniform) == (kind == "random")


def test_a_segment_comes_from_the_community_of_the_targets():
    train = real_users()

    def purity(kind):
        rows = make_training_fakes(train, kind, 200, Rng(1).numpy())
        return np.mean([np.bincount(row // 30, minlength=3).max() / len(row) for row in rows])

    assert purity("segment") > purity("random") + 0.1
