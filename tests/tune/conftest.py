"""Provides a function that tunes a suite in the process of the test."""

import pytest

from robench.api.executor import Executor
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.tune import search
from robench.tune.search import SearchOptions, tune_suite

SUITE = """
name: a
seeds: [3, 4]
device: cpu
datasets: [{name: synthetic, users: 40, items: 30, interactions_per_user: 8}]
models: [popularity, {name: mf, factors: 4, epochs: 6, batch_size: 64}, ease, {name: item-knn, label: knn}]
defenses: [none, {name: adversarial-training, lambda: [0.75, 0.5], epsilon: 0.05}]
"""


class Inline(Executor):
    """An executor that runs tasks in the test's own process."""

    def run(self, tasks, work, emit):
        for task in tasks:
            work(task, emit)


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.of(Host.discover())


@pytest.fixture
def tuned(tmp_path, monkeypatch, registry):
    """Returns a function that writes a suite and searches for the best settings.

    The attribute ``said`` of the function holds the lines that all searches have reported.
    """
    monkeypatch.setenv("ROBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(search, "make_executor", lambda *_: Inline())
    said: list[str] = []

    def tune(text=SUITE, **options):
        path = tmp_path / "a.yaml"
        path.write_text(text)
        return tune_suite(path, SearchOptions(**{"trials": 2, **options}), registry, said.append)

    tune.said = said
    return tune
