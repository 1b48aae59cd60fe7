import numpy as np
import pytest
from tests.plugins.defenses.detection.worlds import BANDWAGON, RANDOM, detect, poisoned

from robench.api import Interactions, Rng
from robench.testing import DefenseTests
from robench_plugins.defenses.detection.pca_varselect import PcaVarSelect


class TestPcaVarSelect(DefenseTests):
    defense = PcaVarSelect


def naive(train, components):
    """Returns the distances of PCA-VarSelect from whole matrices, one per user.

    A distance is the sum of the user's squared entries in the first ``components`` principal components. The components
    come from the covariance of the users' z-scores.
    """
    dense = np.zeros((train.n_users, train.n_items))
    dense[train.users(), train.items] = 1
    z = (dense - dense.mean(1, keepdims=True)) / dense.std(1, keepdims=True)
    values, vectors = np.linalg.eigh(z @ z.T)
    return sum(vectors[:, place] ** 2 for place in np.argsort(-values)[:components])


@pytest.mark.parametrize("components", [1, 2, 3])
def test_scores_have_the_papers_distances(components):
    train = poisoned(RANDOM, 6)
    scores = PcaVarSelect.make(components=components).scores(train, Rng(0))
    np.testing.assert_allclose(np.exp(-scores), np.maximum(naive(train, components), 1e-12), rtol=1e-6, atol=1e-10)


def test_random_profiles_are_suspected_most():
    numbers = detect(poisoned(RANDOM, 6), PcaVarSelect.make(components=2))  # as many as span three communities
    assert numbers["auroc"] > 0.99
    assert numbers["recall"] == 1
    assert numbers["false_alarms"] < 0.05


def test_profiles_alike_form_a_component_of_their_own_and_slip_through():
    numbers = detect(poisoned(BANDWAGON, 6), PcaVarSelect.make(components=3))
    assert numbers["auroc"] < 0.6
    assert numbers["recall"] == 0


def test_hardly_more_users_than_components_and_a_user_with_all_items():
    train = Interactions.from_rows([[0, 1, 2], [0, 1], [2]], 3)
    scores = PcaVarSelect.make(components=1).scores(train, Rng(0))
    assert np.isfinite(scores).all()
    assert scores[0] == scores.max()
