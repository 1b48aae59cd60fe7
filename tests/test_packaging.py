"""Tests the content of a wheel, and the pinned versions.

A wheel holds both import roots with types and entry points, and nothing else.
"""

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as file:
        yield file


def test_the_wheel_holds_every_module_of_both_roots_and_nothing_else(wheel):
    names = {n for n in wheel.namelist() if ".dist-info/" not in n}
    modules = set()
    for root in (ROOT / "benchmark", ROOT / "plugins"):
        for kind in ("*.py", "*.pyi", "py.typed", "*.html", "*.css", "*.js", "*.jinja"):
            modules |= {path.relative_to(root).as_posix() for path in root.rglob(kind)}
    assert names == modules
    assert {"robench/py.typed", "robench_plugins/py.typed"} <= names


def test_the_wheel_registers_the_command_and_the_built_in_plugins(wheel):
    (name,) = (n for n in wheel.namelist() if n.endswith("entry_points.txt"))
    text = wheel.read(name).decode()
    assert "robench = robench.__main__:main" in text
    assert "[robench]\nbuiltin = robench_plugins" in text


def test_a_wheel_that_is_only_unpacked_lists_its_plugins(wheel, tmp_path):
    wheel.extractall(tmp_path)
    code = "import robench, sys; assert sys.path[1] in robench.__file__; from robench.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "plugins"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "bert4rec" in done.stdout


def test_every_pinned_version_is_exact_and_installed_ones_agree():
    lines = [n for n in (ROOT / "constraints.txt").read_text().splitlines() if n and not n.startswith("#")]
    assert all("==" in line for line in lines)
    for line in lines:
        name, _, version = line.partition("==")
        try:
            assert metadata.version(name).partition("+")[0] == version, name
        except metadata.PackageNotFoundError:
            continue
