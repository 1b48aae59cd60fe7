"""Tests that candidates are compared by damage first and by loss second."""

import torch

from robench.engine.attack.arena import Worst
from robench.engine.attack.judgement import Judgement, worse


def judgement(damage, loss):
    return Judgement(torch.tensor(damage).double(), torch.tensor(loss), torch.zeros(len(damage), dtype=torch.bool))


def test_more_damage_is_worse_and_the_loss_decides_between_equal_damages():
    new = judgement([2.0, 1.0, 1.0, 1.0, 0.0], [0.0, 3.0, 2.0, 1.0, 9.0])
    old = judgement([1.0, 1.0, 1.0, 1.0, 1.0], [9.0, 2.0, 2.0, 2.0, 0.0])
    assert worse(new, old).tolist() == [True, True, False, False, False]


def test_the_worst_candidate_is_taken_over_row_by_row():
    worst = Worst({"items": torch.tensor([[1], [2]])}, judgement([0.0, 5.0], [0.0, 0.0]))
    worst.update({"items": torch.tensor([[3, 4], [5, 6]])}, judgement([1.0, 1.0], [0.0, 0.0]))
    assert worst.candidate["items"].tolist() == [[3, 4], [2, -1]]
    assert worst.judgement.damage.tolist() == [1.0, 5.0]
    worst.update_rows(torch.tensor([1]), Worst({"items": torch.tensor([[7]])}, judgement([6.0], [0.0])))
    assert worst.candidate["items"].tolist() == [[3, 4], [7, -1]]
    assert worst.judgement.damage.tolist() == [1.0, 6.0]
