"""Defines the fixtures of all tests, and applies the mark ``unit``.

Tests with the mark ``unit`` do not need torch.
"""

import gc
import importlib
import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from tests import forked, no_torch

# Like workers, tests use one thread, because more threads only wait for each other on small data.
# The import of torch reads the variable.
os.environ["OMP_NUM_THREADS"] = "1"
# Tests have no deadline, because drawing an example may take long on a busy machine.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

HERE = Path(__file__).parent
UNIT = ("host", "plan", "report", "suite", "tables")  # folders
# The slowest modules come first, in order of their time, so that no process is left with one of them at the end.
FIRST = (
    "run/test_runner.py",
    "plugins/models/test_text_bert.py",
    "tables/test_alarms.py",
    "plugins/models/test_llm_conformance.py",
    "plugins/attacks/text/test_text.py",
    "plugins/models/test_conformance.py",
    "plugins/attacks/history/test_history.py",
    "plugins/executors/test_dask.py",
    "plugins/attacks/test_auto.py",
    "engine/surfaces/embedding/test_oracle.py",
    "engine/test_gpu.py",
    "entrance/test_pack.py",
    "entrance/test_entrance.py",
    "test_cli.py",
    "docs/test_plugins.py",
    "plugins/attacks/embedding/test_parity.py",
    "run/test_likes.py",
    "pretrained/test_encoder.py",
)


def pytest_configure(config: pytest.Config) -> None:
    if config.option.markexpr == "unit":
        no_torch.install()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignores all paths outside ``UNIT`` if only tests marked ``unit`` are selected.

    The other tests may import torch.
    """
    inside = collection_path.is_relative_to(HERE) and collection_path != HERE
    if config.option.markexpr == "unit" and inside:
        return collection_path.relative_to(HERE).parts[0] not in UNIT or None
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests in the folders ``UNIT`` as unit tests.

    Tests that run the command line get no mark. The function also moves the modules ``FIRST`` to the front.
    """
    names = [item.path.relative_to(HERE).as_posix() if item.path.is_relative_to(HERE) else "" for item in items]
    for item, name in zip(items, names, strict=True):
        runs = item.get_closest_marker("command") or "robench" in getattr(item, "fixturenames", ())
        if name.partition("/")[0] in UNIT and not runs:
            item.add_marker("unit")
    places = {id(item): FIRST.index(name) for item, name in zip(items, names, strict=True) if name in FIRST}
    items.sort(key=lambda item: places.get(id(item), len(FIRST)))


def pytest_collection_finish() -> None:
    """Hides the tests and the imported modules from the garbage collector.

    They are needed until the end. Each full collection, here or in a fork of this process, would visit all of them.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _wordless(request: pytest.FixtureRequest) -> None:
    """Hides the decoder from the host, unless all tests are unit tests."""
    if not all(item.get_closest_marker("unit") for item in request.session.items):
        importlib.import_module("tests.wordless")


@pytest.fixture(scope="session")
def robench() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Returns a function that runs a ``robench`` command.

    Tests call ``robench(folder, *arguments, **environment)``.
    """
    return forked.robench


@pytest.fixture
def warm_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes executors fork their fork servers from a process that has imported torch.

    Otherwise every executor of a test starts a new Python, which imports torch for three seconds. The forked servers
    lack the environment variables that an executor adds for its server.
    """
    from robench_plugins.executors.isolation.launch import Launcher  # noqa: PLC0415  # tests marked unit need none

    forked.start_server()
    monkeypatch.setattr(Launcher, "context", forked.CONTEXT)


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Stops the garbage collector for a test that exhausts the stack.

    Libraries leave functions that every collection calls. Without a free frame, such a call fails the test.
    """
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets pages have digests instead of pictures."""
    forked.replace_pictures(monkeypatch)


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """Returns a function that finds a file or folder of real data.

    The function takes a path relative to the folder of real data. The function skips the test if the path does not
    exist. Some machines lack the data, because the data may not be redistributed.
    """
    root = Path(os.environ.get("ROBENCH_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))

    def find(name: str) -> Path:
        if not (root / name).exists():
            pytest.skip(f"{name} is not here: set ROBENCH_TEST_DATA to the folder that holds it")
        return root / name

    return find


@pytest.fixture
def ml100k(real_data: Callable[[str], Path]) -> Path:
    """Returns the folder of MovieLens 100K, or skips the test without the data."""
    return real_data("ml-100k/ml-100k.inter").parent


@pytest.fixture(scope="session")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Returns an endless iterator over paths for new caches."""
    root = tmp_path_factory.mktemp("caches")
    return (root / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_cache(caches: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets a new, empty cache for each test, so that no test uses the user's cache."""
    monkeypatch.setenv("ROBENCH_CACHE", str(next(caches)))
