"""Tests that each public name is listed once, in a stub file.

A module is imported only when one of its public names is first used.
"""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import robench.api

PACKAGES = ("robench.api", "robench.pretrained", "robench.testing")


def stub_of(package: str) -> Path:
    return Path(importlib.import_module(package).__file__).with_name("__init__.pyi")


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_that_of_its_module(package):
    lines = re.findall(r"^from (\S+) import (\w+) as (\w+)$", stub_of(package).read_text("utf-8"), re.M)
    module = importlib.import_module(package)
    assert module.__all__ == [name for _, name, _ in lines]
    assert len(set(module.__all__)) == len(lines)
    assert dir(module) == sorted(module.__all__)
    for home, name, public in lines:
        assert name == public
        assert home.startswith(f"{package}.")
        assert getattr(module, name) is getattr(importlib.import_module(home), name)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_stub_holds_nothing_but_comments_and_one_name_a_line(package):
    lines = [line for line in stub_of(package).read_text("utf-8").splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"from \S+ import (\w+) as \1", line) for line in lines)


def test_robench_api_has_at_most_sixty_names():
    assert len(robench.api.__all__) <= 60


def test_listing_the_public_names_imports_neither_torch_nor_pytest():
    code = (
        f"import importlib, sys\nfor name in {PACKAGES}: assert dir(importlib.import_module(name))\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'pytest', 'transformers')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'robench\.api' has no attribute 'Bal'"):
        robench.api.Bal  # noqa: B018


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_is_that_of_a_module(package):
    """Importing a module would replace a public object with the same name."""
    module = importlib.import_module(package)
    assert not {path.stem for path in stub_of(package).parent.iterdir()} & set(module.__all__)


def test_the_changelog_tells_the_replacement_of_every_name_that_left():
    changelog = (Path(__file__).resolve().parents[2] / "CHANGELOG.md").read_text("utf-8")
    rows = re.findall(r"\| `from (robench\.\S+) import ([^`]+)` \|$", changelog, re.M)
    moved = [(module, name) for module, names in rows for name in names.split(", ")]
    assert len(moved) > 40
    for module, name in moved:
        assert hasattr(importlib.import_module(module), name), f"{module} has no {name}"
