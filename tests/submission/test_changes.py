"""Tests which rows of a submission are compared with those of the board."""

from dataclasses import replace

import pytest
from tests.fakes import EMBEDDING, METRICS, World, ranks

from robench.submission.changes import compare_boards
from robench.tables.results import read_results


@pytest.fixture
def board(tmp_path):
    """Returns a function that makes the results and the tables of a board."""

    def make(name, *, attack="pgd", left=50):
        world = World(tmp_path / name, [EMBEDDING])
        for seed in (0, 1):
            world.cell(ranks(150, 99), seed=seed)
            world.cell(ranks(left, 99), seed=seed, attack=attack, epsilon=0.05)
        tables = world.build()
        results = read_results(world.store.folder, METRICS)
        return replace(results, plan=replace(results.plan, data_sha256={"d/s": "of the data"})), tables

    return make


def other_version(results):
    records = {
        name: {**record, "metrics": {"ndcg@10": {**record["metrics"]["ndcg@10"], "version": 2}}}
        for name, record in results.records.items()
    }
    return replace(results, records=records)


def other_data(results):
    return replace(results, plan=replace(results.plan, data_sha256={"d/s": "others"}))


def test_rows_on_the_same_terms_are_compared(board):
    changes = compare_boards(*board("new", left=40), *board("old"), "s.zip")
    assert (changes.compared, changes.notes) == (1, [])
    (change,) = changes.changes
    assert change.kind == "value"
    assert "worst case .2500" in change.before
    assert "worst case .2000" in change.after


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (other_data, "the data d, s are other data than those of the board"),
        (other_version, "ndcg@10 of version 2, on the board 1"),
    ],
)
def test_other_data_and_other_metrics_are_not_compared(board, other, reason):
    results, tables = board("new", left=40)
    changes = compare_boards(other(results), tables, *board("old"), "s.zip")
    assert (changes.compared, changes.changes) == (0, [])
    (note,) = changes.notes
    assert note.endswith(reason)


def test_rows_under_other_attacks_are_not_compared(board):
    changes = compare_boards(*board("new", attack="fgsm"), *board("old"), "s.zip")
    assert (changes.compared, changes.changes) == (0, [])
    (note,) = changes.notes
    assert note.endswith("attacked by custom: fgsm, on the board by custom: pgd")
