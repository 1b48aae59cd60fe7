"""Tests that validation scores only users with a reachable validation item."""

import numpy as np
import pytest

from robench.api import IntArray, Interactions, Model, TrainData
from robench.engine.fit.validation import validation_ndcg
from robench.testing.worlds import catalogue

N_ITEMS = 30
GENERATOR = np.random.default_rng(0)


class Reranker(Model):
    """A model that ranks a random permutation of the first items above all others."""

    count = 12

    def fit(self, data, rng):
        self.seen: list[int] = []
        self.order = np.array([np.random.default_rng(user).permutation(N_ITEMS) for user in range(40)])

    def candidates(self, users: IntArray, history: Interactions) -> IntArray:
        return np.array([[i if i not in history.row(u) else -1 for i in self.order[u, : self.count]] for u in users])

    def scores(self, users, history):
        self.seen += users.tolist()
        place = np.argsort(self.order[users], axis=1)
        within = (place * 7 + users[:, None]) % self.count  # the order of the candidates differs from the retriever's
        return np.where(place < self.count, 100 - within, -place).astype(np.float32)

    def state(self):
        return {}

    def restore(self, data, state, rng):
        pass


class Unaware(Reranker):
    """The same model, which does not say that it reranks candidates."""

    def candidates(self, users, history):
        return None


@pytest.mark.parametrize(("count", "k"), [(12, 10), (12, 5), (4, 10), (30, 10)])
def test_only_users_with_a_reachable_item_are_scored_and_the_value_is_the_same(count, k):
    rows = [GENERATOR.permutation(N_ITEMS)[:4].tolist() for _ in range(40)]
    data = TrainData(
        Interactions.from_rows([row[:3] for row in rows], N_ITEMS),
        Interactions.from_rows([row[3:] for row in rows], N_ITEMS),
        catalogue(N_ITEMS),
    )
    values, seen = [], []
    for kind in (Reranker, Unaware):
        model = kind()
        model.count = count
        model.fit(data, None)
        values.append(validation_ndcg(model, data, k=k))
        seen.append(model.seen)
    assert values[0] == pytest.approx(values[1], abs=1e-12)
    assert values[0] > 0
    if count == 12:
        hits = [u for u in range(40) if rows[u][3] in model.order[u, :12]]
        short = [u for u in range(40) if (~np.isin(model.order[u, :12], rows[u][:3])).sum() < k]
        assert seen[0] == sorted({*hits, *short})
        assert len(seen[0]) < len(seen[1]) == 40
    else:
        assert len(seen[0]) == 40
