"""Tests that the best rivals are those of a full sort, with and without blocks."""

import pytest
import torch

from robench.engine.attack import goal as goals
from robench.engine.attack.goal import Goal
from robench.engine.rank import rivals
from robench.engine.rank.rivals import best_rivals


def world(n_items, values, seed):
    """Returns scores [6, n_items] with ties and masked items, and a goal's items."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randint(values, (6, n_items), generator=generator).float()
    scores[:, torch.randperm(n_items, generator=generator)[: n_items // 3]] = -torch.inf
    items = torch.stack([torch.randperm(n_items, generator=generator)[:3] for _ in range(6)])
    items[1, 1:] = -1
    return scores, items


@pytest.mark.parametrize("n_items", [14, 70, 5000, 4096])
@pytest.mark.parametrize("values", [3, 10_000])
def test_best_rivals_have_the_scores_of_a_full_sort(n_items, values):
    for seed in range(4):
        scores, items = world(n_items, values, seed)
        found = best_rivals(scores, items, 10)
        for row, own, chosen in zip(scores, items.tolist(), found, strict=True):
            others = torch.tensor([s for j, s in enumerate(row.tolist()) if j not in own])
            assert row[chosen].tolist() == others.sort(descending=True).values[:10].tolist()
            assert len(set(chosen.tolist())) == 10
            assert not set(chosen.tolist()) & set(own)


@pytest.mark.parametrize("name", ["untargeted", "promote"])
@pytest.mark.parametrize("loss", ["margin", "hinge", "ndcg"])
def test_the_gather_gives_the_losses_and_gradients_of_the_copy(monkeypatch, name, loss):
    scores, items = world(300, 10**6, 0)
    scores.scatter_(1, items.clamp_min(0), 0.9 * scores.amax(1, keepdim=True).expand(-1, 3))  # no goal is masked
    answers = []
    for many in (1, 10**9):
        monkeypatch.setattr(goals, "MANY", many)
        monkeypatch.setattr(rivals, "BLOCKED", many)
        leaf = scores.clone().requires_grad_()
        value = Goal(name, items, 7).loss(leaf, loss)
        answers.append((value.detach(), torch.autograd.grad(value.sum(), leaf)[0]))
    assert torch.equal(answers[0][0], answers[1][0])
    assert torch.allclose(answers[0][1], answers[1][1])
    assert torch.equal(Goal(name, items, 7).loss(scores, loss), answers[0][0])
