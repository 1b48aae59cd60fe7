"""Tests that ``robench verify`` computes the numbers of a detection again."""

import numpy as np
import pytest
from tests.fakes import FAKES, METRICS, USERS, World

from robench.report.files import build_texts
from robench.report.page import to_page
from robench.store.detection import measure_detection
from robench.tables.results import read_results
from robench.verify.findings import Findings
from robench.verify.stored import check_cells
from robench.verify.tables import check_tables

SUSPICION = np.arange(USERS + 10) / 7
FLAGGED = (np.arange(USERS + 10) >= USERS - 20).astype(np.int8)


def build_world(folder, numbers):
    """Returns the tables of one poisoned cell with these numbers."""
    world = World(folder, [])
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
    return world.build()


@pytest.mark.parametrize("name", ["", "auroc", "flagged_real", "precision"])
def test_a_changed_number_is_found(tmp_path, name):
    numbers = {**measure_detection(SUSPICION, FLAGGED, USERS), "known_attack": 0}
    if name:
        numbers[name] += 0.25
    build_world(tmp_path, numbers)
    findings = Findings()
    check_cells(read_results(tmp_path, METRICS), findings)
    found = [problem for problem in findings.problems if "detection" in problem]
    assert len(found) == bool(name)
    assert all(f"the detection {name} " in problem for problem in found)


@pytest.mark.parametrize("changed", [False, True])
def test_a_changed_point_of_a_curve_is_found(tmp_path, changed):
    tables = build_world(tmp_path, {**measure_detection(SUSPICION, FLAGGED, USERS), "known_attack": 0})
    texts = {**build_texts(tables), "index.html": to_page(tables, drawn=False)}
    before, _, curve = texts["leaderboard.json"].partition('"roc": [')
    assert curve
    if changed:
        texts["leaderboard.json"] = before + '"roc": [' + curve.replace("1.0", "0.75", 1)
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    findings = Findings()
    check_tables(tmp_path, tables, findings)
    assert len(findings.problems) == changed
    assert all("leaderboard.json" in problem for problem in findings.problems)
