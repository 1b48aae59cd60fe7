"""Conformance tests for reports, which are plugins that follow a run."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from robench.api.summary import DataSummary
from robench.api.time_left import TimeLeft
from robench.host.discovery import Host
from robench.store.record import Record, new_record
from robench.testing.conformance import Conformance

FOLLOWING = (
    "robench_data_read",
    "robench_suite_started",
    "robench_victim_progress",
    "robench_cell_finished",
    "robench_suite_finished",
)


LEFT = TimeLeft(60.0, unknown=1)
SUMMARY = DataSummary(rows=200, low_ratings=0, repeats=0, outside_core=0, users=20, items=30, interactions=200)


def _records() -> list[Record]:
    """Returns the records of a clean cell, an attacked cell and a failed cell.

    The value of ``t-hr@10`` is None, as if no user had a value.
    """
    victim = {"model": {"name": "mf", "config": {}}, "defense": {"name": "none", "config": {}}, "seed": 0}
    attacks = [None, {"name": "pgd", "config": {"norm": "l2"}}]
    metrics = {"ndcg@10": {"value": 0.25, "version": 1}, "t-hr@10": {"value": None, "version": 1}}
    error = {"type": "ValueError", "message": "a score is not finite", "traceback": ""}
    clean, attacked = ({"victim": victim, "attack": attack, "epsilon": 0.05 if attack else None} for attack in attacks)
    measured = {"metrics": metrics, "error": None, "fit_seconds": 1.5, "seconds": 0.1}
    return [
        new_record("0" * 16, "f" * 16, "ok", spec=clean, **measured),
        new_record("1" * 16, "f" * 16, "ok", spec=attacked, **measured),
        new_record("2" * 16, "f" * 16, "failed", spec=attacked, metrics={}, error=error),
    ]


class ReportTests(Conformance):
    """Tests a report, which a subclass sets as ``report``.

    ``report()`` must return an object with hooks that follow a run. Every test runs in an empty folder. The tests play
    runs of two measured cells and one failed cell.
    """

    report: ClassVar[Callable[[], Any]]

    @pytest.fixture(autouse=True)
    def empty_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    @classmethod
    def make(cls) -> tuple[Any, Host]:
        report = cls.report()
        return report, Host.with_plugins({"report:report": report})

    @classmethod
    def played(cls, runs: int = 1) -> Any:
        """Returns a report that has followed some runs to their end."""
        report, host = cls.make()
        for _ in range(runs):
            cls.play(host)
        return report

    @staticmethod
    def values() -> list[tuple[str, str, float | None]]:
        """Returns each value of the records as (id of the cell, measure, value)."""
        return [
            (record["id"], measure, metric["value"])
            for record in _records()
            for measure, metric in record["metrics"].items()
        ]

    @staticmethod
    def play(host: Host, *, interrupted: bool = False) -> None:
        """Calls the hooks of a run in their order and catches no exception.

        Args:
            host: the host with the report.
            interrupted: whether the run ends after its first cell.
        """
        records = _records()
        host.call("robench_data_read", data="synthetic", summary=SUMMARY)
        host.call("robench_suite_started", suite="example", victims=1, cells=len(records), stored=0, time_left=LEFT)
        progress = {"victim": "f" * 16, "label": "mf none seed 0"}
        host.call("robench_victim_progress", **progress, phase="fit", done=1, total=1, time_left=LEFT)
        for done, record in enumerate(records[:1] if interrupted else records, start=1):
            host.call("robench_cell_finished", record=record, time_left=LEFT)
            cells = {"done": done, "total": len(records)}
            host.call("robench_victim_progress", **progress, phase="measure", **cells, time_left=LEFT)
        counts = {"ok": 1, "failed": 0} if interrupted else {"ok": 2, "failed": 1}
        host.call("robench_suite_finished", suite="example", **counts, skipped=0, seconds=1.0)

    def test_its_hooks_follow_a_run(self) -> None:
        report, host = self.make()
        assert not host.broken, f"the host refuses the report: {host.broken}"
        hooks = {caller.name for caller in host.manager.get_hookcallers(report) or ()}
        assert hooks, "no method is a hook that is marked @hookimpl"
        assert hooks <= set(FOLLOWING), f"hooks that register components: {sorted(hooks - set(FOLLOWING))}"

    def test_it_follows_a_run(self) -> None:
        self.played()

    def test_it_follows_a_second_run(self) -> None:
        self.played(runs=2)

    def test_it_follows_a_run_after_an_interrupted_one(self) -> None:
        _, host = self.make()
        self.play(host, interrupted=True)
        self.play(host)

    def test_it_follows_a_run_without_open_cells(self) -> None:
        _, host = self.make()
        host.call("robench_suite_started", suite="example", victims=0, cells=0, stored=3, time_left=None)
        host.call("robench_suite_finished", suite="example", ok=0, failed=0, skipped=0, seconds=0.1)

    def test_it_changes_no_record(self) -> None:
        _, host = self.make()
        record = _records()[0]
        before = copy.deepcopy(record)
        host.call("robench_cell_finished", record=record, time_left=LEFT)
        assert record == before, "the report has changed a record"
