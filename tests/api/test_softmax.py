import pytest
import torch

from robench.api import softmax
from robench.api.softmax import cross_entropy


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("chunk", [1 << 20, 30])
def test_value_and_gradients_equal_the_plain_formula(even, chunk, monkeypatch):
    monkeypatch.setattr(softmax, "CHUNK_ELEMENTS", chunk)
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((11, 4), (7, 4), (7,))
    ]
    targets = torch.randint(0, 7, (11,), generator=generator)
    weight = torch.rand(1 if even else 11, generator=generator, dtype=torch.float64).expand(11)
    plain = torch.nn.functional.cross_entropy(inputs[0] @ inputs[1].T + inputs[2], targets, reduction="none")
    ours = cross_entropy(*inputs, targets)
    torch.testing.assert_close(ours, plain)
    wanted = torch.autograd.grad((plain * weight).sum(), inputs)
    found = torch.autograd.grad((ours * weight).sum(), inputs)
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, two)


def test_no_rows_no_losses():
    empty = cross_entropy(torch.empty(0, 4), torch.ones(3, 4), torch.zeros(3), torch.empty(0, dtype=torch.int64))
    assert empty.shape == (0,)
