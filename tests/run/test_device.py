"""Tests the choice of a device, and torch's settings while a victim is measured.

Importing robench changes no setting of torch.
"""

import os
import subprocess
import sys
import warnings

import pytest
import torch

from robench.api.errors import UserError, UserErrors
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run import device_type as module
from robench.run.device import WORKSPACE, gpu_settings, pick_device, torch_settings
from robench.run.device_type import device_type, may_have_gpu
from robench.run.preview import make_preview
from robench.suite.load import load_suite


def settings():
    return torch.get_num_threads(), torch.backends.mha.get_fastpath_enabled()


def gpu():
    """Returns the settings of torch that decide which kernels run on a GPU."""
    cuda, cudnn = torch.backends.cuda, torch.backends.cudnn
    return {
        "cudnn": (cudnn.enabled, cudnn.benchmark, cudnn.deterministic),
        "tf32": (cuda.matmul.allow_tf32, cudnn.allow_tf32, torch.get_float32_matmul_precision()),
        "halves": (
            cuda.matmul.allow_fp16_reduced_precision_reduction,
            cuda.matmul.allow_bf16_reduced_precision_reduction,
        ),
        "attention": (cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.cudnn_sdp_enabled()),
        "plain attention": cuda.math_sdp_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "raises": not torch.is_deterministic_algorithms_warn_only_enabled(),
        "workspace": os.environ.get(WORKSPACE[0]),
    }


ONE_PATH = {
    "cudnn": (False, False, True),
    "tf32": (False, False, "highest"),
    "halves": (False, False),
    "attention": (False, False, False),
    "plain attention": True,
    "deterministic": True,
    "raises": False,
    "workspace": ":4096:8",
}


@pytest.fixture
def gpus(monkeypatch):
    """Returns a function that sets the number of GPUs that torch reports.

    The test fails if torch creates a CUDA context.
    """

    def context():
        raise AssertionError("a context")

    def number(count):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "_lazy_init", context)

    return number


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


@pytest.mark.parametrize(
    ("count", "name", "applied"), [(2, "auto", True), (2, "cuda:1", True), (2, "cpu", False), (0, "auto", False)]
)
def test_a_gpu_has_one_path_of_kernels_and_the_cpu_keeps_its_own(gpus, monkeypatch, count, name, applied):
    monkeypatch.delenv(WORKSPACE[0], raising=False)
    gpus(count)
    before = gpu()
    assert all(before[name] != value for name, value in ONE_PATH.items() if name not in ("plain attention", "tf32"))
    with torch_settings(1, name):
        assert gpu() == (ONE_PATH if applied else before)
    assert gpu() == before


def test_looks_and_gradients_are_of_the_same_kernels(gpus):
    """Scores with and without gradients are computed under the same torch settings."""
    with gpu_settings():
        with torch.no_grad():
            look = gpu()
        with torch.enable_grad():
            assert gpu() == look == ONE_PATH


def test_an_algorithm_that_is_not_deterministic_warns_and_goes_on():
    """Torch warns about an algorithm that is not deterministic, but runs it.

    The test runs on the CPU. On a GPU, torch makes the same check.
    """
    with gpu_settings(), warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]), accumulate=False)
    assert any("does not have a deterministic implementation" in str(one.message) for one in seen)


def test_a_workspace_that_the_user_has_set_counts(monkeypatch):
    monkeypatch.setenv(WORKSPACE[0], ":16:8")
    with gpu_settings():
        assert os.environ[WORKSPACE[0]] == ":16:8"
    assert os.environ[WORKSPACE[0]] == ":16:8"


@pytest.mark.parametrize(
    ("count", "name", "picked"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (2, "cpu", "cpu"),
        (2, "auto", "cuda"),
        (1, "cuda", "cuda"),
        (2, "cuda:1", "cuda:1"),
    ],
)
def test_the_device_is_picked_without_a_context(gpus, count, name, picked):
    gpus(count)
    assert str(pick_device(name)) == picked


SUITE = """name: t
datasets: [{name: synthetic, users: 40, items: 30, interactions_per_user: 8}]
models: [popularity]
device: DEVICE
"""


@pytest.fixture
def mistake(tmp_path):
    """Returns a function that returns the error lines for a suite on a device."""
    registry = Registry.of(Host.discover())

    def lines(device):
        (tmp_path / "t.yaml").write_text(SUITE.replace("DEVICE", device))
        with pytest.raises((UserError, UserErrors)) as caught:
            make_preview(tmp_path / "t.yaml", registry, None, (), ())
        return [line.removeprefix(f"{tmp_path}/") for line in str(caught.value).splitlines()]

    return lines


@pytest.mark.parametrize(
    ("count", "device", "line"),
    [
        (0, "cuda", "t.yaml:4: device: cuda: there is no GPU that torch can use"),
        (2, "cuda:7", "t.yaml:4: device: cuda:7: there is no such GPU: torch can use 2 GPUs, cuda:0 to cuda:1"),
        (1, "cuda:1", "t.yaml:4: device: cuda:1: there is no such GPU: torch can use 1 GPU, cuda:0"),
        (2, "mps", "t.yaml:4: device: must be auto, cpu, cuda or cuda:N, such as cuda:0, got 'mps'"),
        (2, "cuda:01", "t.yaml:4: device: must be auto, cpu, cuda or cuda:N, such as cuda:0, got 'cuda:01'"),
        (2, "'cuda:-1'", "t.yaml:4: device: must be auto, cpu, cuda or cuda:N, such as cuda:0, got 'cuda:-1'"),
    ],
)
def test_a_wrong_device_is_one_line_with_its_place(gpus, mistake, count, device, line):
    gpus(count)
    (found,) = mistake(device)
    assert found.startswith(line)


def test_an_override_of_the_device_is_named(gpus, tmp_path):
    gpus(0)
    (tmp_path / "t.yaml").write_text(SUITE.replace("DEVICE", "cpu"))
    suite = load_suite(tmp_path / "t.yaml", Registry.of(Host.discover()), ("device=cuda",))
    with pytest.raises(UserError, match="--set device=cuda: device: cuda: there is no GPU"):
        pick_device(suite.device, suite.tree.place(("device",)))


def test_the_type_of_device_is_found_without_torch_if_there_is_no_driver(monkeypatch, gpus):
    gpus(2)
    monkeypatch.setattr(module, "may_have_gpu", lambda: False)
    assert [device_type(name) for name in ("auto", "cpu", "cuda", "cuda:1")] == ["cpu", "cpu", "cuda", "cuda"]
    monkeypatch.setattr(module, "may_have_gpu", lambda: True)
    assert device_type("auto") == "cuda"
    gpus(0)
    assert device_type("auto") == "cpu"


@pytest.mark.parametrize(("platform", "answer"), [("darwin", False), ("win32", True)])
def test_drivers_are_looked_for_on_linux(monkeypatch, platform, answer):
    monkeypatch.setattr(sys, "platform", platform)
    assert may_have_gpu() is answer


def test_a_driver_on_linux_is_found_by_its_library_or_its_device(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(module, "AMD", tmp_path / "kfd")
    monkeypatch.setattr(module, "DRIVERS", ("libnothing-of-this-name.so",))
    assert not may_have_gpu()
    (tmp_path / "kfd").touch()
    assert may_have_gpu()
    (tmp_path / "kfd").unlink()
    monkeypatch.setattr(module, "DRIVERS", ("libnothing-of-this-name.so", "libc.so.6"))
    assert may_have_gpu()


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
