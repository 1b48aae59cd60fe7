"""Tests the diagnostics of models that rerank candidates, against plain loops."""

import copy

import numpy as np
import pytest

from robench.api import Interactions, TextAttack
from robench.engine.candidates import candidate_diagnostics
from robench.engine.measure import MeasuredVictim
from robench.testing.text_world import promoted, text_victim
from robench.testing.worlds import reference_victim


class Retrieved:
    """A stub model that returns given candidates."""

    def __init__(self, chosen):
        self.chosen = chosen

    def candidates(self, users, history):
        return None if self.chosen is None else self.chosen[users]


@pytest.fixture
def world():
    bench = reference_victim("pairwise")
    draw = np.random.default_rng(0)
    chosen = np.array([draw.permutation(bench.history.n_items)[:5] for _ in range(bench.history.n_users)])
    return bench, chosen


def test_a_model_of_one_stage_has_none(world):
    bench, _ = world
    assert candidate_diagnostics(Retrieved(None), bench.history, bench.chunks(), {}, None) == {}
    assert "recall@candidates" not in bench.clean(None).diagnostics


def test_recall_and_promotion_among_candidates_by_plain_loops(world):
    bench, chosen = world
    targets = np.array([1, 4, 6])
    arrays = bench.clean(targets).arrays
    diagnostics = candidate_diagnostics(Retrieved(chosen), bench.history, bench.chunks(), arrays, targets)
    held = [(user, item) for user in bench.users for item in bench.held.row(user)]
    assert diagnostics["recall@candidates"] == pytest.approx(np.mean([item in chosen[user] for user, item in held]))
    assert diagnostics["candidates"] == 5
    pairs = [
        (int(item in chosen[user]), int(arrays["target_ranks"][place, number]))
        for number, user in enumerate(bench.users)
        for place, item in enumerate(targets)
        if item not in set(bench.history.row(user)) | set(bench.held.row(user))
    ]
    assert diagnostics["targets_among_candidates"] == pytest.approx(np.mean([among for among, _ in pairs]))
    within = [rank <= 10 for among, rank in pairs if among]
    assert diagnostics["t-hr@10_given_candidate"] == pytest.approx(np.mean(within))


def test_recall_among_candidates_is_a_share_of_held_out_items_not_of_users(world):
    bench, chosen = world
    draw, n_items = np.random.default_rng(1), bench.history.n_items
    unknown = [np.setdiff1d(np.arange(n_items), bench.history.row(user)) for user in range(bench.history.n_users)]
    rows = [draw.permutation(items)[: 1 + user % 4] for user, items in enumerate(unknown)]
    several = MeasuredVictim(bench.model, bench.history, Interactions.from_rows(rows, n_items), bench.users, 0)
    diagnostics = candidate_diagnostics(Retrieved(chosen), several.history, several.chunks(), {}, None)
    among = [item in chosen[user] for user, row in enumerate(rows) for item in row]
    assert len(among) > 2 * len(bench.users)
    assert diagnostics["recall@candidates"] == pytest.approx(np.mean(among))
    assert sum(among) > 0


class Named(TextAttack):
    """An attack that gives every attacked item the title of the most used item."""

    def rewrite(self, oracle, rng):
        best = oracle.catalogue.items[int(oracle.counts.argmax())].title
        yield [best for _ in oracle.items]


@pytest.mark.parametrize("goal", ["promote", "untargeted"])
def test_cells_of_attacks_on_titles_have_them_too_with_the_attacked_ranks(goal):
    plain = text_victim()
    model = copy.copy(plain.model)
    width = plain.history.n_items
    model.candidates = lambda users, history: np.tile(np.arange(width), (len(users), 1))
    bench = MeasuredVictim(model, plain.history, plain.held, plain.users, 0, plain.catalogue)
    targets = promoted()
    clean = bench.clean(targets).diagnostics
    measurement = bench.attacked(Named.make(goal=goal), 5.0, "", targets if goal == "promote" else None)
    assert measurement.titles
    assert (measurement.diagnostics["recall@candidates"], measurement.diagnostics["candidates"]) == (1.0, width)
    assert ("targets_among_candidates" in measurement.diagnostics) == (goal == "promote")
    if goal == "promote":
        ranks = measurement.arrays["target_ranks"]
        reached = float((ranks[ranks > 0] <= 10).mean())
        assert measurement.diagnostics["t-hr@10_given_candidate"] == pytest.approx(reached)
        assert reached > clean["t-hr@10_given_candidate"]


def test_nobody_has_a_target_as_candidate():
    bench = reference_victim("pairwise")
    chosen = np.zeros((bench.history.n_users, 1), dtype=np.int64)
    arrays = bench.clean(np.array([3])).arrays
    diagnostics = candidate_diagnostics(Retrieved(chosen), bench.history, bench.chunks(), arrays, np.array([3]))
    assert diagnostics["targets_among_candidates"] == 0
    assert "t-hr@10_given_candidate" not in diagnostics
