"""Tests ``hinge``, ``ndcg`` and the losses of attacks against plain loops."""

import itertools
import math

import pytest
import torch
from tests.engine.attack.test_goal import worlds

from robench.api.errors import PluginError
from robench.engine.attack.goal import Goal
from robench.engine.attack.losses import SMOOTHNESS

GOALS = ["untargeted", "promote"]


def split(row, items):
    """Returns the scores of the goal's items, and the sorted scores of the rivals.

    The best rival comes first. Masked items are not rivals.
    """
    own = [i for i in items if i >= 0]
    rivals = sorted((s for j, s in enumerate(row) if j not in own and s > -math.inf), reverse=True)
    return [row[i] for i in own], rivals


@pytest.mark.parametrize("name", GOALS)
@pytest.mark.parametrize("k", [1, 4])
def test_hinge_sums_over_the_best_rivals(name, k):
    for seed in range(20):
        scores, items = worlds(seed, held=3, masked=seed % 4)
        loss = Goal(name, items, k).loss(scores, "hinge")
        for row, own, value in zip(scores.tolist(), items.tolist(), loss.tolist(), strict=True):
            heights, rivals = split(row, own)
            sign = 1 if name == "untargeted" else -1
            missed = [sum(max(0.0, sign * (y - j)) for j in rivals[:k]) for y in heights]
            assert value == pytest.approx(-sum(missed) / len(missed))


@pytest.mark.parametrize("name", GOALS)
def test_ndcg_is_that_of_a_smooth_rank(name):
    for seed in range(20):
        scores, items = worlds(seed, held=2, masked=2)
        scores += torch.rand(scores.shape, generator=torch.Generator().manual_seed(seed), dtype=scores.dtype)
        k = 5
        loss = Goal(name, items, k).loss(scores, "ndcg")
        for row, own, value in zip(scores.tolist(), items.tolist(), loss.tolist(), strict=True):
            heights, rivals = split(row, own)
            width = SMOOTHNESS * float(torch.tensor(rivals[:k], dtype=torch.float64).std(correction=0))
            ranks = [1 + float(torch.sigmoid((torch.tensor(rivals) - y) / width).sum()) for y in heights]
            gain = sum(1 / math.log2(1 + rank) for rank in ranks) / len(ranks)
            assert value == pytest.approx(-gain if name == "untargeted" else gain, rel=1e-5)


@pytest.mark.parametrize("loss", ["hinge", "ndcg"])
def test_both_rise_as_an_item_falls_within_the_top_k(loss):
    goal, values = Goal("untargeted", torch.tensor([[0]]), 10), []
    for place in range(1, 11):
        scores = torch.arange(40.0, 0.0, -1)[None] + 1
        scores[0, 0] = 40.5 - place  # rank ``place``
        values.append(float(goal.loss(scores, loss)))
    assert all(one < two for one, two in itertools.pairwise(values))


@pytest.mark.parametrize("loss", ["hinge", "ndcg"])
@pytest.mark.parametrize("rivals", [[], [2.0], [2.0, 2.0, 2.0]])
def test_few_or_equal_rivals_give_finite_losses_and_gradients(loss, rivals):
    row = [1.0, *rivals, *[-math.inf] * (4 - len(rivals))]
    scores = torch.tensor([row], requires_grad=True)
    value = Goal("untargeted", torch.tensor([[0]]), 3).loss(scores, loss)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("loss", ["ce", "margin", "bpr", "hinge", "ndcg"])
def test_a_user_without_items_to_promote_has_no_loss(loss):
    scores = torch.randn(2, 9, generator=torch.Generator().manual_seed(0))
    value = Goal("promote", torch.tensor([[-1, -1], [3, -1]]), 4).loss(scores, loss)
    assert value[0] == 0
    assert value[1] != 0


def test_an_own_loss_gets_the_masked_scores_and_a_copy_of_the_items():
    scores, items = worlds(1, held=2, masked=3)
    goal, kept = Goal("untargeted", items, 3), items.clone()

    def loss(given, own):
        assert torch.equal(given, scores)
        value = given.gather(1, own[:, :1])[:, 0]
        own.fill_(0)
        return -value

    assert torch.equal(goal.loss(scores, loss), -scores.gather(1, kept[:, :1])[:, 0])
    assert torch.equal(goal.items, kept)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda scores, items: scores, r"torch.float64 \[4, 12\], not a float tensor \[4\]"),
        (lambda scores, items: scores.amax(), r"torch.float64 \[\], not"),
        (lambda scores, items: items[:, 0], r"torch.int64 \[4\], not"),
        (lambda scores, items: 1.0, "gave float, not"),
        (lambda scores, items: scores.mean(1) * torch.nan, "not finite"),
        (lambda scores, items: scores.amin(1), "not finite; known items have the score -inf"),
    ],
)
def test_an_own_loss_that_returns_something_else_is_refused(loss, said):
    scores, items = worlds(1, held=2, masked=3)
    with pytest.raises(PluginError, match=said) as error:
        Goal("untargeted", items, 3).loss(scores, loss)
    assert "\n" not in str(error.value)
