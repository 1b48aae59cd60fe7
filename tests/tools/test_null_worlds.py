"""Tests the error rates of the statistics in a few simulated worlds."""

import numpy as np
import pytest
from tests.fakes import EMBEDDING, USERS, World, ranks
from tools.perf.null_worlds import find_problems, make_world, measure_pairs, measure_rates, read_pairs


@pytest.mark.parametrize("spread", [0.0, 0.12])
def test_equal_rows_are_rarely_separated(spread):
    assert find_problems(measure_rates(120, 3, 671, spread), slack=3.0) == []


def test_a_world_is_like_ndcg():
    world = make_world(np.random.default_rng(0), 3, 671, 0.0)
    assert 70 < (world[:-1] > 0).sum(2).mean() < 130
    assert world.max() == 1
    assert set(np.unique(world)) <= {0.0, *(1 / np.log2(1 + np.arange(1, 11)))}


def test_single_pairs_of_fits_differ_too_often_and_groups_of_pairs_do_not():
    generator = np.random.default_rng(0)
    models = {}
    for model in range(40):
        values = make_world(generator, 2, 671, 0.15)[0]
        models[f"m{model}"] = [values[0] - values[1]]
    single, grouped = measure_pairs(models, 400, 3)
    assert single > 10
    assert grouped < 7


def test_pairs_are_the_seeds_of_one_victim(tmp_path):
    world = World(tmp_path / "w", [EMBEDDING])
    for model, moved in (("mf", 10), ("ease", 0)):
        for seed in range(3):
            world.cell(ranks(100 + moved * seed, 99), model=model, seed=seed)
            world.cell(ranks(60, 99), model=model, seed=seed, attack="pgd", epsilon=0.05)
    world.build()
    (name, clean), (_, attacked) = read_pairs(world.store.folder)
    assert (name, list(clean), list(attacked)) == ("w: clean ndcg@10", ["mf"], [])
    assert [pair.sum() for pair in clean["mf"]] == [-10, -20, -10]
    assert all(len(pair) == USERS for pair in clean["mf"])
