"""Tests that a run stores a worker's cell only if every reader accepts the cell."""

import numpy as np
import pytest
from tests.run.inline import SMALL, Inline, InlineRunner

from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.runner import Options, make_runner
from robench.store.folder import Store

SUITE = f"name: t\nmodels: [popularity]\nseeds: [0, 1]\n{SMALL}"


class _Changing(Inline):
    """An executor that applies ``change`` to the cells of the first task.

    The executor calls ``after`` after each task.
    """

    change = None
    after = staticmethod(lambda: None)

    def run(self, tasks, work, emit):
        def changed(event):
            if event["task"] == tasks[0].id and event["kind"] == "cell":
                event = {**event, "record": dict(event["record"]), "arrays": dict(event["arrays"])}
                self.change(event)
            emit(event)

        for task in tasks:
            work(task, changed)
            self.after()


@pytest.fixture
def run(tmp_path):
    """Returns a function that runs a suite of two victims.

    The function changes the cells of the first victim before the run receives them.
    """

    def run(change, after=lambda: None):
        (tmp_path / "t.yaml").write_text(SUITE)
        host = Host.discover()
        registry = Registry.of(host)
        job = make_runner(tmp_path / "t.yaml", host, registry, Options(tmp_path / "results"))

        class Runner(InlineRunner):
            def _executor(self):
                executor = _Changing()
                executor.change, executor.after = change, after
                return executor

        job = Runner(job.suite, job.plan, host, registry, job.options)
        with job.locks:
            job.run()
        return job

    return run


def drop(name):
    return lambda event: event["record"].pop(name)


def put(name, value):
    return lambda event: event["record"].update({name: value})


def put_array(name, value):
    return lambda event: event["arrays"].update({name: value})


def another_spec(event):
    """Returns the spec of a cell with another seed."""
    spec = event["record"]["spec"]
    return {**spec, "victim": {**spec["victim"], "seed": spec["victim"]["seed"] + 7}}


CHANGES = {
    "no provenance": (drop("provenance"), "ok.provenance"),
    "no diagnostics": (drop("diagnostics"), "ok.diagnostics"),
    "a text for a number": (put("seconds", "1"), "ok.seconds"),
    "a number that is not finite": (put("seconds", float("nan")), "ValueError"),
    "a number of numpy": (put("seconds", np.float32(1)), "TypeError"),
    "a name twice in JSON": (put("more", {1: 1, "1": 2}), "TypeError"),
    "half a character": (put("passed", {"\ud800": {}}), ""),
    "no arrays": (lambda event: event.update(arrays=None), "ok.arrays_sha256"),
    "a missing array": (lambda event: event["arrays"].pop("top"), "the array 'top' is missing"),
    "a rank of 0": (lambda event: event["arrays"]["ranks"].fill(0), "the array 'ranks' has values below 1"),
    "a list as an array": (lambda event: event["arrays"].update(users=[1, [2]]), "ValueError"),
    "an array of objects": (put_array("users", np.array([None])), "ValueError"),
    "an array that no reader takes": (put_array("more", np.zeros(1, "i4,i4")), "no header that can be read"),
    "another spec": (lambda event: event["record"].update(spec=another_spec(event)), "not the digest of its spec"),
    "another victim": (put("victim", "0" * 16), "not the digest of its spec"),
    "an unknown cell": (put("id", "0" * 16), "not one of its open cells"),
    "a skipped cell": (put("status", "skipped"), "neither measured nor failed"),
    "a name that is too long": (put_array("a" * 70_000, np.arange(3)), "error: "),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_cell_that_no_reader_accepts_fails_its_victim_alone(run, name, caplog):
    change, reason = CHANGES[name]
    job = run(change)
    records = [Store(job.store.folder).read(cell.id) for cell in job.cells]
    if not reason:  # half a surrogate pair is accepted and stored as an escape
        assert [record["status"] for record in records] == ["ok", "ok"]
        return
    assert [record["status"] for record in records] == ["failed", "ok"]
    (failure,) = job.summary.failures
    assert "its worker sent an event that is refused" in failure.error
    assert reason in failure.error
    assert "\n" not in failure.error
    assert (job.summary.measured, len(records[0]["error"]["traceback"])) == (1, 0)


def test_the_first_failure_of_a_victim_is_shown_before_the_next_victim_is_measured(run, caplog):
    def fail(event):
        event["record"].update(status="failed", error={"type": "ValueError", "message": "no\nway", "traceback": ""})
        event["arrays"] = None

    def failures():
        return [text for record in caplog.records if (text := record.getMessage()).startswith("failed: ")]

    shown = []
    job = run(fail, lambda: shown.append(failures()))
    assert shown == [["failed: popularity, seed 0, clean: ValueError: no way"]] * 2
    assert "ValueError" not in "".join(job.summary.failure_lines())
