"""Tests that a plugin for another version of the API is left out."""

import pytest

from robench.api.errors import UserError
from robench.host.compatibility import find_misfit, read_requirement
from robench.host.discovery import Host
from robench.host.registry import Registry

HOOK = """from robench.api import hookimpl
@hookimpl
def robench_models():
    return {'theirs': 'x:Y'}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def discovered(place, monkeypatch, name, text):
    (place / f"{name}.py").write_text(text)
    monkeypatch.setenv("ROBENCH_PLUGINS", name)
    return Host.discover()


@pytest.mark.parametrize("requirement", [None, ">=1.0,<2", ">=1.0", "~=1.0", "==1.*", ""])
def test_a_requirement_that_fits(requirement):
    assert find_misfit(requirement) == ""


@pytest.mark.parametrize("requirement", [">=2", "<1", "==1.1", ">=1.0,!=1.0"])
def test_a_requirement_that_does_not_fit(requirement):
    assert find_misfit(requirement) == f"it needs version {requirement} of robench.api, and this robench has 1.0"


@pytest.mark.parametrize("requirement", ["newest", 1.0, [">=1"], b">=1"])
def test_a_requirement_that_is_no_specifier(requirement):
    assert "requires_api must be a version specifier such as '>=1.0,<2'" in find_misfit(requirement)


def test_a_plugin_for_a_later_version_is_left_out_and_the_others_stay(place, monkeypatch):
    host = discovered(place, monkeypatch, "of_tomorrow", f"{HOOK}requires_api = '>=7'\n")
    assert host.broken == {
        "of_tomorrow:ROBENCH_PLUGINS": "it needs version >=7 of robench.api, and this robench has 1.0"
    }
    registry = Registry.of(host)
    assert registry.find("model", "mf").owner == "robench:builtin"
    with pytest.raises(UserError) as caught:
        registry.find("model", "theirs")
    assert "could not be loaded: it needs version >=7 of robench.api, and this robench has 1.0" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_version_explains_an_import_that_fails(place, monkeypatch):
    text = f"requires_api: str = '>=7'\nfrom robench.api import NameOfTomorrow\n{HOOK}"
    host = discovered(place, monkeypatch, "imports_tomorrow", text)
    assert list(host.broken.values()) == ["it needs version >=7 of robench.api, and this robench has 1.0"]


def test_an_import_that_fails_for_another_reason_keeps_its_reason(place, monkeypatch):
    host = discovered(place, monkeypatch, "fails_today", f"requires_api = '>=1'\nraise RuntimeError('no luck')\n{HOOK}")
    assert list(host.broken.values()) == ["RuntimeError: no luck"]


def test_a_plugin_that_fits_is_loaded(place, monkeypatch):
    host = discovered(place, monkeypatch, "of_today", f"{HOOK}requires_api = '>=1.0,<2'\n")
    assert not host.broken
    assert host.hooks_of("of_today:ROBENCH_PLUGINS") == ["robench_models"]


@pytest.mark.parametrize("text", ["requires_api = compute()", "x = 1", "def broken(:", "requires_api += '1'"])
def test_only_a_literal_is_read_from_the_source(place, text):
    (place / "source_only.py").write_text(text)
    assert read_requirement("source_only") is None
    assert read_requirement("no_such_module_anywhere") is None
