"""Tests the committed results against tables built from their cells."""

import shutil
from pathlib import Path

import pytest
from tests.forked import robench

RESULTS = Path(__file__).resolve().parents[2] / "results"
COMMITTED = ("article", "history", "llm", "models", "text", "whitebox")  # other folders may hold local runs
WRITTEN = ("leaderboard.md", "leaderboard.csv", "leaderboard.json", "cells.csv", "timings.csv")

pytestmark = pytest.mark.command


@pytest.mark.parametrize("name", COMMITTED)
def test_every_committed_table_is_recomputed_from_the_cells_byte_for_byte(name, tmp_path):
    if not RESULTS.exists():
        pytest.skip("a source distribution holds no results")
    here = shutil.copytree(RESULTS / name, tmp_path / name)
    for file in WRITTEN:
        (here / file).unlink()
    done = robench(tmp_path, "leaderboard", name)
    assert done.returncode == 0, done.stderr
    for file in WRITTEN:
        assert (here / file).read_bytes() == (RESULTS / name / file).read_bytes(), f"{file}: robench leaderboard {name}"
