"""Tests that the faults of ``tools/faults.yaml`` fit the present source."""

from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
FAULTS = yaml.safe_load((ROOT / "tools/faults.yaml").read_text("utf-8"))


def test_the_text_of_each_fault_occurs_once_in_its_file():
    counts = {fault["name"]: (ROOT / fault["file"]).read_text("utf-8").count(fault["text"]) for fault in FAULTS}
    assert {name: count for name, count in counts.items() if count != 1} == {}
    assert len(counts) == len(FAULTS) >= 100


def test_each_fault_changes_the_file_and_names_tests_that_exist():
    assert all(fault["text"] != fault["fault"] for fault in FAULTS)
    paths = {Path(test.partition("::")[0]) for fault in FAULTS for test in fault["tests"]}
    assert [path for path in paths if not (ROOT / path).exists()] == []
