"""Tests the direction in which a claim is compared with a measured row."""

import pytest
from tests.fakes import EMBEDDING, METRICS, PROMOTED, USERS, World, ranks

from robench.submission.claims import compare_claims
from robench.submission.details import Claim
from robench.submission.rows import name_row
from robench.tables.results import read_results

RISING = {**PROMOTED, "metric": "t-hr@10", "epsilon": 0.05}


@pytest.fixture
def judge(tmp_path):
    """Returns a function that says whether a claim about an interval is met."""
    world = World(tmp_path / "w", [EMBEDDING, RISING])
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed, arrays={"target_ranks": [ranks(10, 99)]})
        world.cell(ranks(50 + seed, 99), seed=seed, attack="pgd", epsilon=0.05)
        promoted = {"threat": PROMOTED, "arrays": {"target_ranks": [ranks(100 + seed, 99)]}}
        world.cell(ranks(150, 99), seed=seed, attack="fgsm", epsilon=0.05, **promoted)
    tables = world.build()
    results = read_results(world.store.folder, METRICS)
    by_metric = {str(table.metric): table for table in tables.leaderboard}

    def run(metric, column, end, more=0.0):
        table = by_metric[metric]
        (row,) = table.rows
        interval = row.clean_interval if column == "clean" else row.worst_interval
        name = name_row(table, row)._asdict()
        value = getattr(interval, end) + more
        claim = Claim(**{**name, "threat": list(name["threat"])}, column=column, value=value, source="a paper")
        met, unmet = compare_claims([claim], tables, results)
        assert len(met) + len(unmet) == 1
        return bool(met)

    return run


@pytest.mark.parametrize("column", ["clean", "worst"])
def test_a_claim_is_met_up_to_the_better_end_of_the_interval(judge, column):
    assert judge("ndcg@10", column, "low", -0.01)
    assert judge("ndcg@10", column, "high")
    assert not judge("ndcg@10", column, "high", 1 / USERS)


@pytest.mark.parametrize("column", ["clean", "worst"])
def test_a_low_value_is_the_better_one_if_attacks_promote(judge, column):
    assert judge("t-hr@10", column, "high", 0.01)
    assert judge("t-hr@10", column, "low")
    assert not judge("t-hr@10", column, "low", -1 / USERS)
