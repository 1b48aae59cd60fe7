"""Tests how measures are parsed, and which cells have which measures.

A measure is a metric at a cutoff k, such as ``ndcg@10``.
"""

from dataclasses import replace

import numpy as np
import pytest

from robench.api.metric import Measure, Outcome
from robench.api.threat import Threat
from robench.store.record import compute_metric_values
from robench_plugins.metrics.classification import Accuracy
from robench_plugins.metrics.ranking import Ndcg
from robench_plugins.metrics.stability import Rbo
from robench_plugins.metrics.targets import TargetHitRate, TargetPercentile

ATTACK = Threat("embedding", "test", "l2")
POISONING = Threat("interactions", "train", "users", goal="promote")


def outcome(**more):
    indptr, ranks = np.arange(3), np.array([1, 99])
    return Outcome(indptr, ranks, np.tile(np.arange(10), (2, 1)), np.full(2, 100), **more)


@pytest.mark.parametrize(
    ("text", "measure"), [("ndcg@10", Measure("ndcg", 10)), ("t-percentile", Measure("t-percentile"))]
)
def test_a_measure_is_read_as_it_is_written(text, measure):
    assert Measure.parse(text) == measure
    assert str(measure) == text


@pytest.mark.parametrize("text", ["ndcg@", "ndcg@0", "ndcg@010", "ndcg@-1", "ndcg@ten", "ndcg@1@2", "ndcg@1\n"])
def test_what_is_no_whole_number_from_1_is_no_k(text):
    assert Measure.parse(text) == Measure("ndcg", 0)


@pytest.mark.parametrize("threat", [None, POISONING])
def test_clean_and_poisoned_cells_measure_all_but_what_compares_with_the_clean_cell(threat):
    assert Measure("ndcg", 10).problem(Ndcg(), threat) == ""
    assert Measure("t-hr", 10).problem(TargetHitRate(), threat) == ""
    assert "compares" in Measure("rbo", 10).problem(Rbo(), threat)


def test_if_items_are_promoted_only_metrics_of_targets_are_measured():
    promotion = replace(ATTACK, goal="promote")
    assert Measure("t-hr", 10).problem(TargetHitRate(), promotion) == ""
    assert (
        Measure("ndcg", 10).problem(Ndcg(), promotion)
        == "'ndcg@10' is not measured where items are promoted at test time"
    )
    assert "is measured on clean cells" in Measure("t-hr", 10).problem(TargetHitRate(), ATTACK)


def test_an_ensemble_that_leaves_broken_users_has_only_metrics_within_the_attacked_k():
    assert Measure("ndcg", 10).problem(Ndcg(), ATTACK, "ensemble") == ""
    assert "within k = 10" in Measure("ndcg", 11).problem(Ndcg(), ATTACK, "ensemble")
    assert "within k = 10" in Measure("rbo", 10).problem(Rbo(), ATTACK, "ensemble")
    one_for_all = replace(ATTACK, surface="parameters")
    assert Measure("ndcg", 11).problem(Ndcg(), one_for_all, "ensemble") == ""
    assert Measure("ndcg", 11).problem(Ndcg(), ATTACK, "gradient") == ""


@pytest.mark.parametrize("metric", [Rbo(), Accuracy(), TargetPercentile()])
def test_what_the_outcome_lacks_is_not_measured(metric):
    promotion = replace(ATTACK, goal="promote") if metric.needs == "targets" else ATTACK
    assert Measure("m", 10).per_user(metric, outcome(), promotion) is None


def test_a_record_holds_the_mean_and_the_version_of_what_its_cell_measures():
    metrics = {Measure("ndcg", 10): Ndcg(), Measure("t-percentile"): TargetPercentile(), Measure("rbo", 10): Rbo()}
    nowhere = np.zeros((1, 2), dtype=np.int64)  # both users already have the target
    values = compute_metric_values(metrics, outcome(target_ranks=nowhere), None, "")
    assert values == {
        "ndcg@10": {"value": 0.5, "version": 1},
        "t-percentile": {"value": None, "version": TargetPercentile.version},
    }
