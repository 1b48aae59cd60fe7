"""Tests that ``robench verify`` computes the numbers of a detection again."""

import numpy as np
import pytest
from tests.fakes import FAKES, METRICS, USERS, World

from robench.store.detection import measure_detection
from robench.tables.results import read_results
from robench.verify.findings import Findings
from robench.verify.stored import check_cells

SUSPICION = np.arange(USERS + 10) / 7
FLAGGED = (np.arange(USERS + 10) >= USERS - 20).astype(np.int8)


@pytest.mark.parametrize("name", ["", "auroc", "flagged_real", "precision"])
def test_a_changed_number_is_found(tmp_path, name):
    numbers = {**measure_detection(SUSPICION, FLAGGED, USERS), "known_attack": 0}
    if name:
        numbers[name] += 0.25
    world = World(tmp_path, [])
    arrays = {"suspicion": SUSPICION, "flagged": FLAGGED, "target_ranks": [[3] * USERS]}
    world.cell(
        [1] * USERS,
        weight=0.5,
        attack="bandwagon",
        epsilon=0.05,
        threat=FAKES,
        arrays=arrays,
        detection=numbers,
        achieved={"fake_users": 10},
    )
    world.build()
    findings = Findings()
    check_cells(read_results(tmp_path, METRICS), findings)
    found = [problem for problem in findings.problems if "detection" in problem]
    assert len(found) == bool(name)
    assert all(f"the detection {name} " in problem for problem in found)
