"""Tests the second half of the proposals that a greedy attack makes for an edit.

These proposals vary the place or the item of the best proposal so far.
"""

from types import SimpleNamespace

import torch

from robench.api.attacks.history import SUBSTITUTE
from robench_plugins.attacks.history.greedy_edit import GreedyEdit


def test_the_second_half_changes_the_place_or_the_item_of_the_best_edit():
    rows = torch.tensor([[4, 5, 6, 7, 8]])
    insertable = torch.ones(1, 50, dtype=torch.bool)
    oracle = SimpleNamespace(insertable=lambda rows: insertable, n_items=50)
    leader = [torch.tensor([SUBSTITUTE]), torch.tensor([2]), torch.tensor([49])]
    search = SimpleNamespace(rows=rows, leader=leader, oracle=oracle)
    uniform = torch.rand(1, 20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    proposals = [tuple(map(int, edit)) for edit in GreedyEdit.make()._proposals(search, uniform)]
    assert not any((place, item) == (2, 49) for _, place, item in proposals[:10])
    assert proposals[10] == (SUBSTITUTE, 2, 49)
    refined = proposals[11:]
    assert all(kind == SUBSTITUTE and (place == 2 or item == 49) for kind, place, item in refined)
    assert {place for _, place, _ in refined} > {2}
    assert {item for _, _, item in refined} > {49}
