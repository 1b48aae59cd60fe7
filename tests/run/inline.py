"""Runs suites in the process of the test."""

import json
from pathlib import Path

import pytest
from tests.forked import replace_pictures

from robench.api.executor import Executor
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.runner import Options, Runner, make_runner

SMALL = "datasets: [{name: synthetic, users: 40, items: 30, interactions_per_user: 8}]\n"


class Inline(Executor):
    """An executor that runs tasks in the test's own process."""

    def run(self, tasks, work, emit):
        for task in tasks:
            work(task, emit)


class InlineRunner(Runner):
    """A runner that fits its victims in the test's process, and draws nothing."""

    def run(self):
        with pytest.MonkeyPatch.context() as patch:
            replace_pictures(patch)
            return super().run()

    def _executor(self):
        return Inline()


def run(path: Path, **options) -> Runner:
    """Runs a suite file, and returns the runner, which holds the run's ``summary``."""
    host = Host.discover()
    registry = Registry.of(host)
    job = make_runner(path, host, registry, Options(path.parent / "results", **options))
    job = InlineRunner(job.suite, job.plan, host, registry, job.options)
    with job.locks:
        job.run()
    return job


def records(job: Runner) -> dict[str, dict]:
    """Maps the attack label of each cell, or ``clean``, to the record of the cell."""
    return {
        cell.attack.label if cell.attack else "clean": json.loads((job.store.cells / f"{cell.id}.json").read_text())
        for cell in job.cells
    }
