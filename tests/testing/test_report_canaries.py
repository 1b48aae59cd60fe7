"""Tests that reports that are wrong on purpose fail conformance."""

import pytest

from robench.api import hookimpl
from robench.testing import ReportTests


class Counts:
    @hookimpl
    def robench_cell_finished(self, record):
        record["status"].upper()


class OneRun:
    """A report that fails in its second run."""

    def __init__(self):
        self.left = 1

    @hookimpl
    def robench_suite_started(self, suite):
        self.left -= 1
        assert self.left == 0, "the second run"


class NoCells(OneRun):
    """A report that fails in a run without cells."""

    def __init__(self):
        self.values = []

    @hookimpl
    def robench_cell_finished(self, record):
        self.values.append(record["metrics"])

    @hookimpl
    def robench_suite_started(self, suite):
        self.values.clear()

    @hookimpl
    def robench_suite_finished(self, suite):
        self.values[0].keys()


class OnlyMeasured:
    """A report that reads a value that failed cells do not have."""

    @hookimpl
    def robench_cell_finished(self, record):
        record["metrics"]["ndcg@10"]["value"]


class Edits:
    @hookimpl
    def robench_cell_finished(self, record):
        record["metrics"].clear()


class Registers(Counts):
    @hookimpl
    def robench_models(self):
        return {}


class Misspells:
    @hookimpl
    def robench_cell_ended(self, record):
        pass


class Unmarked:
    def robench_cell_finished(self, record):
        pass


@pytest.mark.parametrize(
    ("report", "test", "message"),
    [
        (OneRun, "test_it_follows_a_second_run", "the second run"),
        (OneRun, "test_it_follows_a_run_after_an_interrupted_one", "the second run"),
        (NoCells, "test_it_follows_a_run_without_open_cells", "index out of range"),
        (OnlyMeasured, "test_it_follows_a_run", "ndcg@10"),
        (Edits, "test_it_changes_no_record", "has changed a record"),
        (Registers, "test_its_hooks_follow_a_run", "hooks that register components"),
        (Misspells, "test_its_hooks_follow_a_run", "the host refuses the report"),
        (Unmarked, "test_its_hooks_follow_a_run", "no method is a hook"),
    ],
)
def test_a_wrong_report_fails(report, test, message):
    planted = type("Planted", (ReportTests,), {"report": report})()
    with pytest.raises((AssertionError, KeyError, IndexError), match=message):
        getattr(planted, test)()


@pytest.mark.parametrize("test", [name for name in dir(ReportTests) if name.startswith("test_")])
def test_a_right_report_passes(test):
    getattr(type("Planted", (ReportTests,), {"report": Counts})(), test)()
