import math

import pytest
import torch

from robench.api.models import softmax
from robench.api.models.divergence import Logits, kl_divergence


def problem(rows=11, candidates=7):
    """Returns the parts of two sets of logits, in float64, and a weight per row.

    Each set of logits has three parts: states, a table of candidates, and a bias per candidate.
    """
    generator = torch.Generator().manual_seed(0)
    shapes = [(rows, 4), (candidates, 4), (candidates,)] * 2
    parts = [torch.randn(*s, generator=generator, dtype=torch.float64, requires_grad=True) for s in shapes]
    return parts, torch.rand(rows, generator=generator).double()


def plain(parts):
    """Returns KL(p, q) = Σ p (ln p − ln q) per row, from whole tables of logits.

    p and q are the softmax of the first and of the second table.
    """
    log_p, log_q = (parts[i] @ parts[i + 1].T + parts[i + 2] for i in (0, 3))
    log_p, log_q = log_p.log_softmax(1), log_q.log_softmax(1)
    return (log_p.exp() * (log_p - log_q)).sum(1)


def ours(parts):
    return kl_divergence(Logits(*parts[:3]), Logits(*parts[3:]))


def test_two_candidates_by_hand():
    """The logits ln 3 and 0 give p = (3/4, 1/4), and 0 and 0 give q = (1/2, 1/2)."""
    p, q = Logits.of_two(torch.tensor([math.log(3.0)])), Logits.of_two(torch.zeros(1))
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(kl_divergence(p, q)) == pytest.approx(expected, rel=1e-6)
    assert float(kl_divergence(q, p)) == pytest.approx(0.5 * math.log(2 / 3) + 0.5 * math.log(2), rel=1e-6)
    assert float(kl_divergence(p, p)) == 0


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("chunk", [1 << 20, 30, 1])
def test_value_and_gradients_equal_the_plain_formula(even, chunk, monkeypatch):
    monkeypatch.setattr(softmax, "CHUNK_ELEMENTS", chunk)
    monkeypatch.setattr(softmax, "LEAST_ROWS", 1)
    parts, weight = problem()
    if even:
        weight = torch.full_like(weight, 0.3)
    torch.testing.assert_close(ours(parts), plain(parts))
    expected = torch.autograd.grad((plain(parts) * weight).sum(), parts)
    result = torch.autograd.grad((ours(parts) * weight).sum(), parts)
    for one, two in zip(result, expected, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("wanted", [(0,), (1, 4), (3,), (2, 5), (0, 1, 2), (3, 4, 5)])
def test_gradcheck_for_every_mix_of_wanted_gradients(wanted, monkeypatch):
    monkeypatch.setattr(softmax, "CHUNK_ELEMENTS", 20)
    monkeypatch.setattr(softmax, "LEAST_ROWS", 1)
    parts, weight = problem(rows=5)
    for index, part in enumerate(parts):
        part.requires_grad_(index in wanted)
    assert torch.autograd.gradcheck(lambda *parts: (ours(parts) * weight[:5]).sum(), parts)
    assert torch.autograd.gradcheck(lambda *parts: ours(parts).mean(), parts)


def test_gradients_are_dropped_where_they_are_not_wanted():
    parts, _ = problem()
    logits = Logits(*parts[:3])
    assert not any(part.requires_grad for part in logits.detach())
    assert [part.requires_grad for part in logits.by_states()] == [True, False, False]


def test_no_rows_and_excluded_candidates():
    empty = Logits(torch.zeros(0, 2, requires_grad=True), torch.ones(3, 2), torch.zeros(3))
    torch.autograd.backward(kl_divergence(empty, empty).sum())
    bias = torch.tensor([0.0, 0.0, -1e9])
    one, two = (Logits(torch.full((1, 2), x, requires_grad=True), torch.eye(3)[:, :2], bias) for x in (1.0, -1.0))
    value = kl_divergence(one, two)
    torch.autograd.backward(value.sum())
    assert bool(torch.isfinite(value))
    assert bool(torch.isfinite(one.states.grad).all())
