from itertools import pairwise

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api.data import Interactions
from robench.api.pairwise import sample_negatives
from robench.api.sequence import windows
from robench.conformance.worlds import crowd, reference_bench
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.lstm import Lstm


@given(st.lists(st.lists(st.integers(0, 9), max_size=17), min_size=1, max_size=5), st.integers(2, 6))
@settings(deadline=None)
def test_windows_lose_no_transition_and_invent_none(rows, length):
    cut = windows(Interactions.from_rows(rows, 10), length)
    assert cut.shape[1] == length
    found = sorted(pair for row in cut for pair in pairwise(row[row < 10].tolist()))
    wanted = sorted(pair for row in rows for pair in pairwise(row))
    assert found == wanted
    for row in cut:
        n = int((row < 10).sum())
        assert n >= 2
        assert (row[:n] < 10).all()


@given(st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_negatives_are_never_items_of_the_user(seed):
    generator = np.random.default_rng(seed)
    rows = [generator.choice(8, generator.integers(0, 8), replace=False) for _ in range(6)]
    train = Interactions.from_rows(rows, 8)
    if len(train) == 0:
        return
    users = train.users()
    for user, item in zip(users, sample_negatives(users, train, generator), strict=True):
        assert item not in rows[user]


def test_a_user_of_everything_gets_any_negative():
    train = Interactions.from_rows([[0, 1, 2]], 3)
    assert sample_negatives(np.zeros(5, dtype=np.int64), train, np.random.default_rng(0)).max() < 3


def test_more_padding_changes_no_score():
    data, _ = crowd(n_users=10)
    from robench.api.rng import Rng

    for model in (Lstm.make(dim=8, hidden=8, max_length=20), Bert4Rec.make(dim=8, max_length=20)):
        model.initialise(data, Rng(0))
        model.eval()
        batch = model.queries(np.arange(10), data.train)
        longer = torch.nn.functional.pad(batch.histories, (0, 3), value=data.n_items)
        wide = type(batch)(batch.users, longer)
        with torch.no_grad():
            one, two = (model.score_from(b, model.embed(b)) for b in (batch, wide))
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)


def test_chunks_change_no_random_start():
    from robench.api.rng import Rng

    bench = reference_bench("sequence")
    (whole,) = bench.oracles(k=10)
    part = whole.rows(torch.tensor([4, 17]))
    for kind in ("normal", "uniform"):
        one, two = (getattr(oracle, kind)(Rng(3))["items"] for oracle in (whole, part))
        assert torch.equal(one[[4, 17]], two)
