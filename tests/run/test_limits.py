"""Tests the order of cells with limits, and the bound on the size of events."""

import pickle

from tests.run.inline import SMALL, Inline, InlineRunner

from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.limits import COLUMNS, TEXTS, largest_event
from robench.run.runner import Options, make_runner

SUITE = f"""name: t
seeds: [0]
models: [{{name: mf, factors: 4, epochs: 1}}]
attacks:
  - {{name: pgd, epsilon: [0.1, 0.2], limits: {{seconds: 50}}}}
  - {{name: fgsm, epsilon: [0.1, 0.2]}}
{SMALL}"""


class Noting(Inline):
    """An executor that records the tasks but does not run them."""

    def __init__(self):
        self.tasks = []

    def run(self, tasks, work, emit):
        self.tasks += tasks


def test_attacks_with_limits_are_measured_last_and_the_plan_keeps_its_order(tmp_path):
    (tmp_path / "t.yaml").write_text(SUITE)
    host, noting = Host.discover(), Noting()
    job = make_runner(tmp_path / "t.yaml", host, Registry.of(host), Options(tmp_path / "results"))

    class Runner(InlineRunner):
        def _executor(self):
            return noting

    job = Runner(job.suite, job.plan, host, job.registry, job.options)
    with job.locks:
        job.run()
    (first, _) = noting.tasks
    names = [cell["attack"] and cell["attack"]["name"] for cell in first.payload["cells"]]
    assert names == [None, "fgsm", "fgsm", "pgd", "pgd"]
    assert [cell.attack and cell.attack.name for cell in job.plan.cells] == [None, "pgd", "pgd", "fgsm", "fgsm"]
    assert first.payload["limits"] == {"seconds": 50}


def test_events_stay_far_below_their_bound_and_the_bound_follows_the_data(tmp_path):
    sizes = []

    class Measuring(Inline):
        def run(self, tasks, work, emit):
            for task in tasks:
                work(task, lambda event, most=task.payload["largest"]: sizes.append((len(pickle.dumps(event)), most)))

    (tmp_path / "t.yaml").write_text(SUITE)
    host = Host.discover()
    job = make_runner(tmp_path / "t.yaml", host, Registry.of(host), Options(tmp_path / "results"))

    class Runner(InlineRunner):
        def _executor(self):
            return Measuring()

    job = Runner(job.suite, job.plan, host, job.registry, job.options)
    with job.locks:
        job.run()
    users = job.store.users()
    rows = (
        len(users["synthetic/leave-last-out/held_out_indptr"]) - 1,
        len(users["synthetic/leave-last-out/held_out_items"]),
    )
    targets = job.suite.targets.count * job.suite.targets.sets
    assert {most for _, most in sizes} == {largest_event(*rows, targets)}
    assert largest_event(*rows, targets) == TEXTS + 8 * sum(rows) * (COLUMNS + targets) < 100 << 20
    assert 10 * max(size for size, _ in sizes) < largest_event(*rows, targets)
