from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from robench.api.data import Interactions
from robench.api.models.sequence import windows
from robench.api.models.torch import Batch
from robench.api.rng import Rng
from robench.testing.worlds import ReferenceSequence, crowd, reference_victim
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.gru4rec import Gru4Rec
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.sasrec import SasRec

N_ITEMS = 30
MODELS = [ReferenceSequence, Lstm, Gru4Rec, SasRec, Bert4Rec]


@given(st.lists(st.lists(st.integers(0, N_ITEMS - 1), max_size=25), min_size=1, max_size=6), st.integers(2, 12))
@settings(max_examples=200, deadline=None)
def test_windows_hold_every_transition_exactly_once(sequences, length):
    result = windows(Interactions.from_rows(sequences, N_ITEMS), length)
    assert result.shape[1] == length
    assert ((result != N_ITEMS).sum(1) >= 2).all()
    pairs = []
    for row in result.tolist():
        real = [i for i in row if i != N_ITEMS]
        assert row[: len(real)] == real, "padding is on the right"
        pairs += pairwise(real)
    expected = [pair for row in sequences for pair in pairwise(row)]
    assert sorted(pairs) == sorted(expected)


@given(st.lists(st.integers(0, N_ITEMS - 1), min_size=2, max_size=40), st.integers(2, 12))
@settings(max_examples=50, deadline=None)
def test_the_first_window_of_a_row_ends_with_its_last_item(sequence, length):
    first = windows(Interactions.from_rows([sequence], N_ITEMS), length)[0]
    assert first[first != N_ITEMS].tolist() == sequence[-length:]


def test_no_rows_no_windows():
    assert windows(Interactions.from_rows([[], [3]], N_ITEMS), 5).shape == (0, 5)


def _made(kind, **settings):
    data, _ = crowd(n_users=12)
    model = kind.make(**settings)
    model.initialise(data, Rng(0))
    return model.eval(), data


@pytest.mark.parametrize("kind", MODELS)
def test_further_padding_changes_no_score(kind):
    model, data = _made(kind)
    batch = model.queries(np.arange(12), data.train)
    wider = Batch(batch.users, torch.nn.functional.pad(batch.histories, (0, 1), value=data.n_items))
    with torch.no_grad():
        narrow, wide = (model.score_from(b, model.embed(b)) for b in (batch, wider))
    torch.testing.assert_close(narrow, wide, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_a_longer_neighbour_in_the_batch_changes_no_score(kind):
    model, data = _made(kind)
    rows = Interactions.from_rows([data.train.row(u)[: 2 + u % 5] for u in range(12)], data.n_items)
    with torch.no_grad():
        together = model.scores(np.arange(12), rows)
        alone = np.concatenate([model.scores(np.array([u]), rows) for u in range(12)])
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_what_stands_in_the_padding_reaches_no_score(kind):
    model, data = _made(kind)
    rows = Interactions.from_rows([data.train.row(u)[: 2 + u % 5] for u in range(12)], data.n_items)
    batch = model.queries(np.arange(12), rows)
    e = model.embed(batch)
    x = e.inputs["items"].detach().requires_grad_()
    scores = model.score_from(batch, type(e)({"items": x}, e.valid, e.context))
    (gradient,) = torch.autograd.grad(scores.square().sum(), x)
    padding = batch.histories == data.n_items
    assert padding.any()
    assert not gradient[padding].any()
    assert bool((gradient[e.valid["items"]].abs().amax(1) > 0).all())


@pytest.mark.parametrize("settings", [{}, {"layers": 2}])
@pytest.mark.parametrize("kind", MODELS)
def test_states_at_places_are_the_states_at_these_places(kind, settings):
    model, data = _made(kind, **(settings if kind is not ReferenceSequence else {}))
    batch = next(model.batches(data, Rng(1)))
    row, position = (batch.targets["items"] != data.n_items).nonzero(as_tuple=True)
    with torch.no_grad():
        e = model.embed(batch)
        some, every = model.states_at(batch, e, row, position), model.states(batch, e)
    torch.testing.assert_close(some, every[row, position], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_last_states_are_the_states_of_the_last_items_with_gradients(kind):
    model, data = _made(kind, **({"layers": 2} if kind is not ReferenceSequence else {}))
    rows = Interactions.from_rows([data.train.row(u)[: u % 6] for u in range(12)], data.n_items)
    batch = model.queries(np.arange(12), rows)
    e = model.embed(batch)
    x = e.inputs["items"].detach().requires_grad_()
    moved = type(e)({"items": x}, e.valid, e.context)
    own, every = model.last_states(batch, moved), model.states(batch, moved)
    whole = every[torch.arange(12), model.last_position(batch)]
    torch.testing.assert_close(own, whole, rtol=1e-5, atol=1e-6)
    weights = torch.linspace(-1, 1, own.numel()).reshape(own.shape)
    slopes = [torch.autograd.grad((part * weights).sum(), x)[0] for part in (own, whole)]
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-5)


def test_padding_does_not_depend_on_the_other_users():
    data, _ = crowd(n_users=12, length=9, ragged=True)
    model = ReferenceSequence.make()
    model.initialise(data, Rng(0))
    widths = {model.queries(np.array(users), data.train).histories.shape[1] for users in ([0], [7], [7, 0], [6, 7])}
    assert widths == {10}, "the longest history of the fit, with its validation item"
    longer = Interactions.from_rows([data.train.row(0).tolist() * 3], data.n_items)
    assert model.queries(np.array([0]), longer).histories.shape[1] == model.config.max_length


def test_targets_are_the_next_items_and_never_padding():
    model, data = _made(ReferenceSequence, max_length=4)
    for batch in model.batches(data, Rng(1)):
        targets = batch.targets["items"]
        assert torch.equal(batch.histories != data.n_items, targets != data.n_items)
        seen = batch.histories[:, 1:]
        assert torch.equal(seen[seen != data.n_items], targets[:, :-1][seen != data.n_items])


@pytest.mark.parametrize("last", [0.0, 0.3, 1.0])
def test_bert4rec_hides_every_target_and_shows_the_rest(last):
    model, data = _made(Bert4Rec, mask=0.3, last=last, max_length=6)
    rows = windows(data.train, 6)
    shown = []
    for batch in model.batches(data, Rng(1)):
        targets, inputs = batch.targets["items"], batch.histories
        hidden = inputs == data.n_items + 1
        assert torch.equal(hidden, targets != data.n_items)
        assert bool(hidden.any(1).all())
        whole = torch.where(hidden, targets, inputs)
        shown += whole.tolist()
        if last == 1.0:
            end = (whole != data.n_items).sum(1) - 1
            assert torch.equal(hidden.int().argmax(1), end)
            assert bool((hidden.sum(1) == 1).all())
    assert sorted(shown) == sorted(rows.tolist())


def test_chunks_change_no_random_start():
    bench = reference_victim("sequence")
    (whole,) = bench.surface("embedding").oracles(k=10)
    part = whole.rows(torch.tensor([4, 17]))
    for kind in ("normal", "uniform"):
        one, two = (getattr(oracle, kind)(Rng(3))["items"] for oracle in (whole, part))
        assert torch.equal(one[[4, 17]], two)
