import copy

import numpy as np
import pytest
import torch

from robench.api import Rng, Wrapped
from robench.api.data import Interactions, joined
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd, fitted, measured_victim, same_state
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.lightgcn import LightGcn
from robench_plugins.models.multi_vae import MultiVae

KINDS = {
    "pairwise": (ReferencePairwise, {}),
    "sequence": (ReferenceSequence, {}),
    "lightgcn": (LightGcn, {"factors": 8}),
    "bert4rec": (Bert4Rec, {"dim": 8, "max_length": 12}),
    "multi-vae": (MultiVae, {"hidden": 8, "latent": 4}),
}


class Reversed(Wrapped):
    """A wrapper that reverses the ranking."""

    def score_from(self, batch, e):
        return -self.inner.score_from(batch, e)


@pytest.fixture(params=KINDS)
def world(request):
    kind, settings = KINDS[request.param]
    data, test = crowd(ragged=True)
    model, _ = fitted(kind.make(epochs=2, **settings), data)
    return model, data, test


def test_it_is_the_inner_model(world):
    model, data, _ = world
    wrapped = Wrapped(model)
    users, history = np.arange(9), joined(data.train, data.validation)
    np.testing.assert_array_equal(wrapped.scores(users, history), model.scores(users, history))
    assert same_state(wrapped, model)
    for name in ("surfaces", "cold_user", "cold_item", "n_items", "n_users", "device", "config"):
        assert getattr(wrapped, name) == getattr(model, name)
    assert torch.equal(wrapped.item_counts, model.item_counts)
    assert wrapped.training is model.training is False
    assert len(list(wrapped.parameters())) == len(list(model.parameters()))
    newcomers = Interactions.from_rows([[1, 2, 3], [], [5]], data.n_items)
    np.testing.assert_array_equal(wrapped.newcomers(newcomers), model.newcomers(newcomers))


def test_attacks_meet_the_inner_model_s_inputs(world):
    model, data, test = world
    result = [
        measured_victim(one, data, test).attacked(Pgd.make(norm="l2", steps=3), 0.2, "pgd").arrays["ranks"]
        for one in (model, Wrapped(model))
    ]
    np.testing.assert_array_equal(*result)


def test_its_tables_reach_its_scores(world):
    model, data, _ = world
    wrapped = Reversed(model)
    batch = wrapped.queries(np.arange(6), data.train)
    named = dict(wrapped.named_parameters())
    assert len(wrapped.tables) == len(model.tables) > 0
    before = model.scores(np.arange(6), data.train)
    for name in wrapped.tables:
        moved = (named[name].detach() + 0.1).requires_grad_()
        scores = wrapped.under({name: moved}, lambda: wrapped.score_from(batch, wrapped.embed(batch)))
        (gradient,) = torch.autograd.grad(scores.square().sum(), moved)
        assert gradient.any()
        inner = name.removeprefix("inner.")
        with torch.no_grad():
            expected = model.under({inner: moved}, lambda: model.score_from(batch, model.embed(batch)))
        torch.testing.assert_close(scores.detach(), -expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(model.scores(np.arange(6), data.train), before)


def test_a_subclass_changes_scores_and_nothing_else(world):
    model, data, _ = world
    wrapped = Reversed(model)
    users = np.arange(5)
    np.testing.assert_array_equal(wrapped.scores(users, data.train), -model.scores(users, data.train))
    newcomers = Interactions.from_rows([[1, 2, 3], [5]], data.n_items)
    sign = 1 if model.cold_user == "fold-in" else -1
    np.testing.assert_allclose(wrapped.newcomers(newcomers), sign * model.newcomers(newcomers), rtol=1e-5)
    batch = next(iter(wrapped.batches(data, Rng(1))))
    e = wrapped.embed(batch)
    assert torch.equal(wrapped.loss_from(batch, e).value, model.loss_from(batch, e).value)
    assert torch.equal(wrapped.margins_from(batch, e).value, model.margins_from(batch, e).value)
    assert torch.equal(wrapped.logits_from(batch, e).states, model.logits_from(batch, e).states)


def test_a_copy_stands_on_its_own():
    data, _ = crowd()
    model, _ = fitted(ReferenceSequence.make(epochs=2), data)
    wrapped = copy.deepcopy(Wrapped(model))
    before = model.scores(np.arange(3), data.train)
    with torch.no_grad():
        for part in wrapped.parameters():
            part.add_(1.0)
    np.testing.assert_array_equal(model.scores(np.arange(3), data.train), before)
    assert not np.array_equal(wrapped.scores(np.arange(3), data.train), before)


def test_what_nobody_has_is_an_error(world):
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = Wrapped(world[0]).no_such_thing


def test_it_can_be_restored(world):
    model, data, _ = world
    kind = type(model)
    wrapped = Wrapped(kind(model.config))
    wrapped.restore(data, model.state(), Rng(0))
    wrapped.eval()
    np.testing.assert_array_equal(wrapped.scores(np.arange(4), data.train), model.scores(np.arange(4), data.train))
