"""Tests what the start page of a site says about a board."""

from tests.fakes import L2, World, ranks

from robench.report.site import build_card

HISTORY = {**L2, "surface": "history", "norm": "edits"}


def test_a_card_names_the_best_row_with_its_values(tmp_path):
    world = World(tmp_path / "w", [{**HISTORY, "metric": "ndcg@10", "epsilon": 2}])
    for seed in (0, 1):
        for model, left in (("mf", 50), ("lstm", 100)):
            world.cell(ranks(150, 99), model=model, seed=seed)
            world.cell(ranks(left, 99), model=model, seed=seed, attack="greedy", epsilon=2, threat=HISTORY)
    card = build_card(world.build(), folder="", root="0" * 64, files=1, cells=4)
    ((_, sentence),) = card.headlines
    assert sentence.startswith("Best by worst case: lstm, none (.5000 under attack, .7500 without), rank 1")
