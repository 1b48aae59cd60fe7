"""Tests the direction in which a claim is compared with a measured row."""

import pytest
from tests.fakes import EMBEDDING, METRICS, PROMOTED, USERS, World, ranks

from robench.api.errors import UserError
from robench.submission.claims import compare_claims, read_claims
from robench.submission.details import Claim
from robench.submission.rows import name_row
from robench.tables.results import read_results

RISING = {**PROMOTED, "metric": "t-hr@10", "epsilon": 0.05}


@pytest.fixture
def board(tmp_path):
    """Returns the tables and the results of a model in two tables."""
    world = World(tmp_path / "w", [EMBEDDING, RISING])
    for seed in (0, 1):
        world.cell(ranks(150, 99), seed=seed, arrays={"target_ranks": [ranks(10, 99)]})
        world.cell(ranks(50 + seed, 99), seed=seed, attack="pgd", epsilon=0.05)
        promoted = {"threat": PROMOTED, "arrays": {"target_ranks": [ranks(100 + seed, 99)]}}
        world.cell(ranks(150, 99), seed=seed, attack="fgsm", epsilon=0.05, **promoted)
    return world.build(), read_results(world.store.folder, METRICS)


@pytest.fixture
def judge(board):
    """Returns a function that checks a claim near an end of a row's interval."""
    tables, results = board
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


def test_a_claim_that_fits_several_rows_is_refused(board, tmp_path):
    (tmp_path / "c.csv").write_text("model,value,source,metric\nmf,0.1,x,\n")
    with pytest.raises(UserError, match="the claim names 2 rows instead of one"):
        read_claims(tmp_path / "c.csv", board[0])
    (tmp_path / "c.csv").write_text("model,value,source,metric\nmf,0.1,x,t-hr@10\n")
    (claim,) = read_claims(tmp_path / "c.csv", board[0])
    assert (claim.metric, claim.column, claim.value) == ("t-hr@10", "worst", 0.1)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("c.yaml", "- {model: mf, metric: t-hr@10, source: x, value: 0,05}\n", r"c\.yaml:1.* write 0\.05"),
        ("c.yaml", "- {model: mf, metric: t-hr@10, source: x, value: 010}\n", "the number 010 begins with a zero"),
        ("c.csv", "model,metric,source,value\nmf,t-hr@10,x,5%\n", r"a value is a number, not '5%' .*write 0\.05"),
    ],
)
def test_a_claim_with_an_unclear_number_is_refused(board, tmp_path, name, text, problem):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=problem):
        read_claims(tmp_path / name, board[0])


def test_claims_in_yaml_are_read(board, tmp_path):
    (tmp_path / "c.yaml").write_text("- {model: mf, metric: t-hr@10, source: 2020-01-01, value: 1e-1, epsilon: 0.05}\n")
    (claim,) = read_claims(tmp_path / "c.yaml", board[0])
    assert (claim.value, claim.source) == (0.1, "2020-01-01")
