"""The settings of torch hold while a victim is measured, and importing robench changes none of them."""

import subprocess
import sys

import pytest
import torch

from robench.api.errors import UserError
from robench.run.device import pick_device, torch_settings


def settings():
    return torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()


def test_settings_hold_within_the_block_and_are_restored_after_an_error():
    before = settings()
    within = []

    def work():
        with torch_settings(before[0] + 1):
            within.append(settings())
            raise RuntimeError("of a plugin")

    with pytest.raises(RuntimeError, match="of a plugin"):
        work()
    assert within == [(before[0] + 1, False)]
    assert settings() == before


def test_a_gpu_that_is_not_there_is_a_mistake_of_the_suite(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    with pytest.raises(UserError, match="there is no GPU"):
        pick_device("cuda:1")


IMPORTS = """
import numpy, torch

def settings():
    numbers = numpy.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    return torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled(), numbers

torch.set_num_threads(3)
before = settings()
import pkgutil, robench, robench_plugins
for package in (robench, robench_plugins):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            __import__(module.name)
assert settings() == before
"""


def test_importing_every_module_changes_nothing_in_the_process():
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
