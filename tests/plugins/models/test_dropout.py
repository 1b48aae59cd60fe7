"""Tests dropout with 16-bit random numbers."""

import pytest
import torch

from robench_plugins.models.dropout import LEVELS, Dropout, dropout


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.99])
def test_the_share_of_zeros_is_the_setting(share):
    n = 400_000
    zeros = (dropout(torch.ones(n), share, training=True) == 0).sum().item()
    assert abs(zeros - n * share) < 5 * (n * share * (1 - share)) ** 0.5


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_remaining_entries_keep_the_expected_value(share):
    kept = dropout(torch.full((1000,), 3.0), share, training=True).unique()
    dropped = round(share * LEVELS) / LEVELS
    assert kept.tolist() == pytest.approx([0.0, 3 / (1 - dropped)])


def test_entries_of_one_draw_are_independent():
    zeros = (dropout(torch.ones(100_000, 4), 0.5, training=True) == 0).double()
    assert torch.corrcoef(zeros.T).fill_diagonal_(0).abs().max() < 0.02


def test_the_gradient_is_the_mask():
    x = torch.ones(7, 5, requires_grad=True)
    y = dropout(x, 0.4, training=True)
    y.sum().backward()
    assert torch.equal(x.grad, y)
    assert 0 < (y == 0).sum() < y.numel()


def test_the_result_follows_the_state_of_the_generator():
    x = torch.randn(3, 11)
    torch.manual_seed(5)
    one = dropout(x, 0.5, training=True)
    two = dropout(x, 0.5, training=True)
    torch.manual_seed(5)
    assert torch.equal(dropout(x, 0.5, training=True), one)
    assert not torch.equal(one, two)


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 5), (2, 3, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_shape_and_dtype_is_kept(shape, dtype):
    result = dropout(torch.ones(shape, dtype=dtype), 0.5, training=True)
    assert (result.shape, result.dtype) == (shape, dtype)


def test_a_share_that_rounds_to_one_stays_finite():
    assert dropout(torch.ones(1000), 0.9999999, training=True).isfinite().all()


def test_the_layer_drops_only_while_the_model_trains():
    layer, x = Dropout(0.5), torch.ones(1000)
    assert (layer.train()(x) == 0).any()
    assert layer.eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_other_devices_use_the_dropout_of_torch(monkeypatch):
    calls = []
    monkeypatch.setattr("torch.nn.functional.dropout", lambda x, share: calls.append(share) or x)
    dropout(torch.ones(4, device="meta"), 0.25, training=True)
    assert calls == [0.25]
