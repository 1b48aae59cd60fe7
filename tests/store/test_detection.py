"""Tests the numbers of a detection.

The expected values are computed by hand or by scikit-learn.
"""

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, roc_auc_score, roc_curve

from robench.store.detection import ROC_STEPS, compute_roc, measure_detection


def test_the_numbers_by_hand():
    suspicion = np.array([0.1, 0.9, 0.2, 0.3, 0.0, 0.8, 0.2])
    flagged = np.array([0, 1, 0, 1, -1, 1, 0], dtype=np.int8)
    assert measure_detection(suspicion, flagged, 5) == {
        "real_users": 4,
        "fake_users": 2,
        "flagged_real": 2,
        "flagged_fakes": 1,
        "auroc": (3 + 1.5) / 8,
        "average_precision": pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 5),
        "precision": 1 / 3,
        "recall": 1 / 2,
        "false_alarms": 1 / 2,
    }


def test_without_fake_users_only_false_alarms_are_defined():
    numbers = measure_detection(np.array([0.1, 0.9]), np.array([0, 1], dtype=np.int8), 2)
    assert numbers["false_alarms"] == 0.5
    assert {name for name, value in numbers.items() if value is None} == {
        "auroc",
        "average_precision",
        "precision",
        "recall",
    }


def test_if_nobody_is_flagged_precision_is_not_defined():
    numbers = measure_detection(np.array([0.1, 0.9]), np.zeros(2, dtype=np.int8), 1)
    assert (numbers["precision"], numbers["recall"], numbers["auroc"]) == (None, 0.0, 1.0)


@pytest.mark.parametrize("seed", range(20))
def test_scores_with_ties_agree_with_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 6, 40) / 4
    flagged = generator.integers(0, 2, 40).astype(np.int8)
    numbers = measure_detection(scores, flagged, 31)
    truth = np.arange(40) >= 31
    assert numbers["auroc"] == pytest.approx(roc_auc_score(truth, scores))
    assert numbers["average_precision"] == pytest.approx(average_precision_score(truth, scores))


def test_the_curve_by_hand():
    suspicion = np.array([0.1, 0.9, 0.2, 0.3, 0.0, 0.8, 0.2])
    flagged = np.array([0, 1, 0, 1, -1, 1, 0], dtype=np.int8)
    curve = compute_roc(suspicion, flagged, 5)
    at = dict(zip(np.round(np.arange(ROC_STEPS + 1) / ROC_STEPS, 2), curve, strict=True))
    assert (at[0.0], at[0.24], at[0.25], at[0.49], at[0.5]) == pytest.approx((0, 0, 0.5, 0.5, 0.5))
    assert at[0.6] == pytest.approx(0.5 + 0.5 * 0.1 / 0.25), "a fake and a real user have the score 0.2"
    assert (at[0.75], at[1.0]) == (1, 1)


@pytest.mark.parametrize("seed", range(20))
def test_the_curve_and_its_area_agree_with_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 8 if seed % 2 else 10**6, 70) / 4
    flagged = generator.integers(-1, 2, 70).astype(np.int8)
    judged, truth = flagged >= 0, np.arange(70) >= 50
    curve = compute_roc(scores, flagged, 50)
    alarms, recall, _ = roc_curve(truth[judged], scores[judged], drop_intermediate=False)
    grid = np.arange(ROC_STEPS + 1) / ROC_STEPS
    rising = np.arange(len(alarms)) * 1e-13  # numpy interpolates on increasing values only
    assert curve == pytest.approx(np.interp(grid + rising[-1], alarms + rising, recall), abs=1e-9)
    area = measure_detection(scores, flagged, 50)["auroc"]
    assert auc(grid, curve) == pytest.approx(area, abs=1 / (2 * ROC_STEPS))


def test_without_fake_users_or_real_users_there_is_no_curve():
    flagged = np.zeros(2, dtype=np.int8)
    assert compute_roc(np.array([0.1, 0.9]), flagged, 2) is None
    assert compute_roc(np.array([0.1, 0.9]), flagged, 0) is None
