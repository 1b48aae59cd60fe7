import math

import pytest
import torch

from robench.api.models import softmax
from robench.api.models.softmax import cross_entropy


def _problem(rows=11, items=7):
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((rows, 4), (items, 4), (items,))
    ]
    return inputs, torch.randint(0, items, (rows,), generator=generator), torch.rand(rows, generator=generator).double()


@pytest.mark.parametrize("n_items", [1_000, 6_553, 50_000, 1_000_000])
def test_a_chunk_has_at_least_80_rows_and_bounded_memory(n_items):
    rows = softmax.chunk_rows(n_items)
    assert rows >= 80
    assert 4 * rows * n_items <= max(2 << 20, 320 * n_items)


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("chunk", [1 << 20, 30, 1])
def test_value_and_gradients_equal_the_plain_formula(even, chunk, monkeypatch):
    monkeypatch.setattr(softmax, "CHUNK_ELEMENTS", chunk)
    monkeypatch.setattr(softmax, "LEAST_ROWS", 1)
    inputs, targets, weight = _problem()
    if even:
        weight = torch.full_like(weight, 0.3)
    plain = torch.nn.functional.cross_entropy(inputs[0] @ inputs[1].T + inputs[2], targets, reduction="none")
    ours = cross_entropy(*inputs, targets)
    torch.testing.assert_close(ours, plain)
    expected = torch.autograd.grad((plain * weight).sum(), inputs)
    result = torch.autograd.grad((ours * weight).sum(), inputs)
    for one, two in zip(result, expected, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("chunk", [1 << 20, 20])
@pytest.mark.parametrize(
    "asked", [(True, True, True), (True, False, False), (False, True, False), (False, False, True)]
)
def test_gradcheck_for_every_mix_of_wanted_gradients(asked, chunk, monkeypatch):
    monkeypatch.setattr(softmax, "CHUNK_ELEMENTS", chunk)
    monkeypatch.setattr(softmax, "LEAST_ROWS", 1)
    inputs, targets, weight = _problem()
    for part, expected in zip(inputs, asked, strict=True):
        part.requires_grad_(expected)
    assert torch.autograd.gradcheck(lambda *parts: cross_entropy(*parts, targets), inputs)
    assert torch.autograd.gradcheck(lambda *parts: (cross_entropy(*parts, targets) * weight).sum(), inputs)
    assert torch.autograd.gradcheck(lambda *parts: cross_entropy(*parts, targets).mean(), inputs)


def test_two_passes_over_one_graph_give_the_same_gradient():
    inputs, targets, _ = _problem()
    loss = cross_entropy(*inputs, targets).mean()
    first, second = (torch.autograd.grad(loss, inputs, retain_graph=True) for _ in range(2))
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))


def test_no_logits_are_kept_for_the_backward_pass():
    rows, items = 500, 300
    states, table, bias = torch.randn(rows, 8, requires_grad=True), torch.randn(items, 8), torch.zeros(items)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda part: kept.append(part.numel()) or part, lambda part: part):
        cross_entropy(states, table.requires_grad_(), bias, torch.zeros(rows, dtype=torch.int64)).sum().backward()
    assert kept
    assert max(kept) <= max(rows, items) * 8


def test_huge_logits_stay_finite():
    states, table = torch.tensor([[1e4], [-1e4]], requires_grad=True), torch.tensor([[1.0], [-1.0]])
    loss = cross_entropy(states, table, torch.zeros(2), torch.tensor([0, 0]))
    loss.sum().backward()
    assert loss.tolist() == [0.0, 2e4]
    assert math.isfinite(float(states.grad.sum()))


def test_no_rows_no_losses_and_zero_gradients():
    empty = torch.empty(0, 4, requires_grad=True)
    table = torch.ones(3, 4, requires_grad=True)
    loss = cross_entropy(empty, table, torch.zeros(3), torch.empty(0, dtype=torch.int64))
    assert loss.shape == (0,)
    loss.sum().backward()
    assert not table.grad.any()
