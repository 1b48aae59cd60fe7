"""Fixtures of all tests, and the mark ``unit`` of those that need no torch."""

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests import forked, no_torch

# One thread, as in a worker: on small worlds further threads only wait for each other. torch reads it at its import.
os.environ["OMP_NUM_THREADS"] = "1"

HERE = Path(__file__).parent
UNIT = ("host", "plan", "report", "suite", "tables")  # folders


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "unit":
        no_torch.install()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves the other folders alone if only the tests of ``UNIT`` are asked for: their modules import torch."""
    inside = collection_path.is_relative_to(HERE) and collection_path != HERE
    if config.option.markexpr == "unit" and inside:
        return collection_path.relative_to(HERE).parts[0] not in UNIT or None
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks every test of the ``UNIT`` folders, except those that run the command line."""
    for item in items:
        inside = item.path.is_relative_to(HERE) and item.path.relative_to(HERE).parts[0] in UNIT
        runs = item.get_closest_marker("command") or "robench" in getattr(item, "fixturenames", ())
        if inside and not runs:
            item.add_marker("unit")


@pytest.fixture(scope="session")
def robench() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line as a user calls it: ``robench(folder, *arguments, **environment)``, run in ``folder``."""
    return forked.robench


@pytest.fixture
def ml100k() -> Path:
    """The folder of MovieLens 100K in atomic files, which may not be shipped; without it the test is skipped."""
    root = Path(os.environ.get("ROBENCH_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    folder = root / "ml-100k"
    if not (folder / "ml-100k.inter").exists():
        pytest.skip("MovieLens 100K is not here: set ROBENCH_TEST_DATA to the folder that holds ml-100k/")
    return folder


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yields paths of caches, a new one each time."""
    root = tmp_path_factory.mktemp("caches")
    return (root / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_cache(caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives each test an empty cache, so that none reads or fills the user's."""
    monkeypatch.setenv("ROBENCH_CACHE", str(next(caches)))
