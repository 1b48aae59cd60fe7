import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api.data import Interactions
from robench.api.models.pairwise import sample_negatives
from robench.api.rng import Rng
from robench.testing.worlds import ReferencePairwise, crowd

N_ITEMS = 8


@given(
    st.lists(st.sets(st.integers(0, N_ITEMS - 1)), min_size=1, max_size=6),
    st.integers(0, 1000),
)
@settings(max_examples=100, deadline=None)
def test_a_negative_is_never_an_item_of_its_user(rows, seed):
    train = Interactions.from_rows([sorted(row) for row in rows], N_ITEMS)
    users = np.repeat(np.arange(len(rows)), 5)
    negatives = sample_negatives(users, train, np.random.default_rng(seed))
    assert negatives.shape == users.shape
    for user, item in zip(users.tolist(), negatives.tolist(), strict=True):
        assert 0 <= item < N_ITEMS
        assert item not in rows[user] or len(rows[user]) == N_ITEMS


def test_a_user_of_everything_gets_any_negative():
    train = Interactions.from_rows([[0, 1, 2], []], 3)
    negatives = sample_negatives(np.array([0, 0, 0, 1]), train, np.random.default_rng(0))
    assert ((negatives >= 0) & (negatives < 3)).all()


def test_negatives_are_uniform_over_the_unused_items():
    train = Interactions.from_rows([[0, 1, 2, 3, 4]], N_ITEMS)
    drawn = sample_negatives(np.zeros(3000, dtype=np.int64), train, np.random.default_rng(0))
    counts = np.bincount(drawn, minlength=N_ITEMS)
    assert counts[:5].sum() == 0
    assert counts[5:].min() > 900


def test_an_epoch_holds_every_interaction_once_with_unused_negatives():
    data, _ = crowd(n_users=12)
    model = ReferencePairwise()
    model.initialise(data, Rng(0))
    seen = []
    for batch in model.batches(data, Rng(1)):
        for user, pos, neg in zip(
            batch.users.tolist(), batch.targets["positives"].tolist(), batch.targets["negatives"].tolist(), strict=True
        ):
            seen.append((user, pos))
            assert neg not in data.train.row(user)
    assert sorted(seen) == sorted(zip(data.train.users().tolist(), data.train.items.tolist(), strict=True))


def test_batches_depend_on_their_rng_alone():
    data, _ = crowd(n_users=12)
    model = ReferencePairwise()
    model.initialise(data, Rng(0))
    one, two, other = (next(model.batches(data, rng)).targets["negatives"] for rng in (Rng(1), Rng(1), Rng(2)))
    assert one.equal(two)
    assert not one.equal(other)


def test_the_loss_of_a_triple_is_that_of_bpr():
    data, _ = crowd(n_users=12)
    model = ReferencePairwise()
    model.initialise(data, Rng(0))
    batch = next(model.batches(data, Rng(1)))
    e = model.embed(batch)
    margin, loss = model.margins_from(batch, e).value, model.loss_from(batch, e).value
    torch.testing.assert_close(loss, -torch.sigmoid(margin).log())
