import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests import forked

torch.set_num_threads(1)  # as in a worker: on small worlds further threads only wait for each other


@pytest.fixture(scope="session")
def robench() -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command as a user runs it: ``robench(folder, *arguments, **environment)``, in ``folder``."""
    return forked.robench


@pytest.fixture
def ml100k() -> Path:
    """MovieLens 100K in atomic files; it may not be shipped, so it lies beside the repository where there is one."""
    root = Path(os.environ.get("ROBENCH_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    folder = root / "ml-100k"
    if not (folder / "ml-100k.inter").exists():
        pytest.skip("MovieLens 100K is not here: set ROBENCH_TEST_DATA to the folder that holds ml-100k/")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache."""
    monkeypatch.setenv("ROBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
