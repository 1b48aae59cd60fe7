"""Tests that ``pytest -m unit`` needs no torch.

The mark ``unit`` selects the tests of the host, plans, reports, suites and tables.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests import no_torch

ROOT = Path(__file__).parents[1]
# A pytest plugin that records the modules that the session imports and the tests that it runs.
PLUGIN = """
import json, pathlib, sys

def pytest_sessionfinish(session):
    names = [name for name in sys.modules if name.partition(".")[0] == "torch"]
    files = {str(getattr(sys.modules[name], "__file__", None)) for name in names}
    folders = {item.path.parent.name for item in session.items}
    note = {"files": sorted(files), "folders": sorted(folders), "tests": len(session.items)}
    pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(note))
"""
SOME = (
    "tests/host",
    "tests/plan",
    "tests/suite/test_mistakes.py",
    "tests/tables/test_titles.py",
    "tests/tables/test_roles.py",
    "tests/report/test_sections.py",
)


def test_the_unit_tests_run_without_torch(tmp_path):
    (tmp_path / "note.py").write_text(PLUGIN)
    command = [sys.executable, "-m", "pytest", "-m", "unit", "-p", "note", "-p", "no:cacheprovider", *SOME]
    command += [
        "--deselect",
        "tests/host/test_discovery.py::test_importing_the_core_never_imports_torch_pandas_or_scipy",
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    note = json.loads((tmp_path / "note.json").read_text())
    assert note["files"] == ["None"], "torch was loaded from its files"
    assert note["folders"] == ["host", "plan", "report", "suite", "tables"]
    assert note["tests"] > 150


def test_classes_are_defined_on_the_stand_in_and_nothing_of_it_can_be_called():
    finder = no_torch.Finder()
    spec = finder.find_spec("torch.nn")
    assert spec is not None
    assert finder.find_spec("numpy") is None
    module = finder.create_module(spec)

    class Model(module.Module):
        pass

    Model()
    with pytest.raises(RuntimeError, match="calls torch's zeros"):
        module.zeros(3)
