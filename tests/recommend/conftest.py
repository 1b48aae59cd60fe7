"""Provides a finished run, and a function that asks victims of the run for lists."""

from pathlib import Path

import pytest

from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.recommend.lists import recommend
from robench.recommend.query import Request

SUITE = """
name: four
seeds: [0, 1]
device: cpu
datasets: [{name: synthetic, users: 70, items: 40, interactions_per_user: 12, min_user_interactions: 5}]
models:
  - {name: popularity}
  - {name: mf, factors: 8, epochs: 3}
  - {name: lstm, dim: 8, hidden: 8, max_length: 10, epochs: 2}
  - {name: item-knn}
defenses: [{name: none}, {name: adversarial-training, lambda: [0.75, 0.5], epsilon: 0.05}]
attacks: [{name: bandwagon, epsilon: 0.1}]
exclude: [{model: lstm, lambda: 0.75}]
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.of(Host.discover())


@pytest.fixture(scope="module")
def done(robench, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a finished run of one seed, with its own cache."""
    folder = tmp_path_factory.mktemp("done")
    (folder / "four.yaml").write_text(SUITE)
    only = ("--only", "seed=0", "--workers", "2")
    result = robench(folder, "run", "four.yaml", *only, ROBENCH_CACHE=str(folder / "cache"))
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture
def asked(done, registry, monkeypatch):
    """Returns a function that answers a request for lists.

    The attribute ``said`` of the function holds the messages of the last request.
    """
    monkeypatch.setenv("ROBENCH_CACHE", str(done / "cache"))
    said: list[str] = []

    def ask(source=None, **request):
        said.clear()
        return recommend(source or done / "four.yaml", Request(**request), registry, said.append)

    ask.said = said
    return ask
