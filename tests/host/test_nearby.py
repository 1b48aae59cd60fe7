"""Tests the hints about plugins that are in the current folder."""

import pytest

from robench.api.errors import UserError
from robench.host.discovery import Host
from robench.host.registry import Registry

PLUGIN = """from robench.api import hookimpl

@hookimpl
def robench_models():
    return {'forget': 'forget:Forget'}
"""


@pytest.fixture
def find(tmp_path, monkeypatch):
    """Returns a function that looks up a component and returns the error message.

    The current folder holds one plugin and two files that are not plugins.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nearby_plugin.py").write_text(PLUGIN)
    (tmp_path / "bad.py").write_bytes(b"\xff'forget'")
    (tmp_path / "notes.py").write_text("print('forget')\n")

    def find(name, listed, kind="model"):
        monkeypatch.setenv("ROBENCH_PLUGINS", listed)
        with pytest.raises(UserError) as caught:
            Registry.of(Host.discover()).find(kind, name)
        return str(caught.value)

    return find


@pytest.mark.parametrize("listed", ["", "json"])
def test_a_plugin_of_the_current_folder_is_suggested(find, listed):
    names = f"{listed},nearby_plugin" if listed else "nearby_plugin"
    assert find("forget", listed).endswith(
        "unknown model 'forget' (nearby_plugin.py in the current folder seems to offer it: "
        f"set PYTHONPATH=. and ROBENCH_PLUGINS={names})"
    )


@pytest.mark.parametrize(("name", "kind"), [("forge", "model"), ("forget", "attack")])
def test_nothing_is_suggested_if_no_file_offers_the_component(find, name, kind):
    assert "current folder" not in find(name, "", kind)


@pytest.mark.parametrize("listed", ["nearby_plugn", "json,nearby_plugn", "nearby_plugn,json", "1 x,json,.x"])
def test_a_misspelt_module_is_not_suggested_again(find, listed):
    line = find("forget", listed)
    assert "ROBENCH_PLUGINS=json,nearby_plugin)" in line or "ROBENCH_PLUGINS=nearby_plugin)" in line
    assert ("json," in line.partition("set PYTHONPATH=. ")[2]) == ("json" in listed)


def test_the_reason_why_a_plugin_is_broken_leads(find):
    line = find("forget", "nearby_plugin")
    assert line.startswith(
        "unknown model 'forget': plugin nearby_plugin:ROBENCH_PLUGINS could not be loaded: ModuleNotFoundError: "
        "No module named 'nearby_plugin'; nearby_plugin.py is in the current folder: set PYTHONPATH=."
    )
    line = find("forget", "no_such_module,no_such_module_either")
    assert "plugin no_such_module:ROBENCH_PLUGINS could not be loaded: ModuleNotFoundError: No module named" in line
    assert "(and 1 more plugin: see robench plugins)" in line
    assert line.index("could not be loaded") < line.index("current folder")
