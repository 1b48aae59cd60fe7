"""Tests that no gradient reaches the scores of masked items."""

import torch

from robench.engine.attack.goal import Goal
from robench.engine.rank.chunk import EvaluationChunk
from robench.engine.rank.mask import Mask


def questions_of(free, n_items=30):
    """Returns a chunk with one user per number in ``free``, and a mask of the items.

    The mask is bool [users, n_items], and true for masked items. Each number in ``free`` says how many items of the
    user are unmasked. The first item of each user is held out.
    """
    masked = torch.ones(len(free), n_items, dtype=torch.bool)
    for row, count in enumerate(free):
        masked[row, :count] = False
    return EvaluationChunk(
        torch.arange(len(free)), masked.nonzero(as_tuple=True), torch.zeros(len(free), 1).long()
    ), masked


def test_a_margin_that_meets_a_masked_item_has_no_gradient_there_at_any_look():
    chunk, masked = questions_of([20, 2])
    goal = Goal("untargeted", chunk.held, 10)
    mask = Mask(chunk, goal.k + 1)
    for look in range(3):
        raw = torch.randn(masked.shape, generator=torch.Generator().manual_seed(look)).requires_grad_()
        loss = goal.loss(mask(raw), "margin")
        assert loss.isinf().tolist() == [False, True], "one user's margin meets a masked item"
        (gradient,) = torch.autograd.grad(loss.sum(), raw)
        assert gradient[:, 0].tolist() == [-1.0, -1.0]
        assert not gradient[masked].any()
