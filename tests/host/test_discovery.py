import subprocess
import sys
import types
from typing import Any

import pytest
from tests.forked import robench

from robench.api import Defense, hookimpl, hooks
from robench.api.errors import UserError
from robench.host.discovery import Host
from robench.host.registry import KINDS, Registry


def nothing() -> dict[str, str]:
    return {}


def plugin(**hooks: Any) -> types.ModuleType:
    module = types.ModuleType("plugin")
    for name, function in hooks.items():
        setattr(module, name, hookimpl(function))
    return module


class Mine(Defense):
    """A defence with default behaviour."""


def test_built_ins_come_through_the_entry_point():
    host = Host.discover()
    assert host.broken == {}
    assert "robench:builtin" in host.owners
    registry = Registry.of(host)
    assert {(kind, name) for kind, name, _ in registry.listing()} >= {
        ("model", "mf"),
        ("attack", "cw"),
        ("defense", "none"),
        ("dataset", "csv"),
        ("metric", "t-hr"),
        ("executor", "local"),
    }
    assert all(not state.startswith("error") for _, _, _, state in registry.check())


def test_a_broken_plugin_is_reported_and_never_fatal(monkeypatch):
    monkeypatch.setenv("ROBENCH_PLUGINS", "no_such_module_anywhere")
    host = Host.discover()
    assert "ModuleNotFoundError" in host.broken["no_such_module_anywhere:ROBENCH_PLUGINS"]
    registry = Registry.of(host)
    assert registry.find("model", "mf").owner == "robench:builtin"
    with pytest.raises(
        UserError, match="plugin no_such_module_anywhere:ROBENCH_PLUGINS could not be loaded: ModuleNotFound"
    ):
        registry.find("model", "theirs")


def test_a_misspelt_hook_is_that_plugins_error():
    host = Host.with_plugins(
        {
            "bad:x": plugin(robench_modells=nothing),
            "good:x": plugin(robench_defenses=lambda: {"mine": Mine}),
        }
    )
    assert "robench_modells" in host.broken["bad:x"]
    assert Registry.of(host).load("defense", "mine") is Mine


def test_a_hook_that_raises_or_returns_nonsense_is_that_plugins_error():
    def fail() -> Any:
        raise RuntimeError("no")

    host = Host.with_plugins(
        {
            "one:x": plugin(robench_models=fail),
            "two:x": plugin(robench_models=lambda: ["mf"]),
            "three:x": plugin(robench_defenses=lambda: {"mine": Mine}),
        }
    )
    registry = Registry.of(host)
    assert "RuntimeError: no" in host.broken["one:x"]
    assert "must return a mapping" in host.broken["two:x"]
    assert registry.load("defense", "mine") is Mine


def test_a_clash_names_both_owners_and_the_way_out():
    offers = {"robench_defenses": lambda: {"mine": Mine}}
    registry = Registry.of(Host.with_plugins({"one:x": plugin(**offers), "two:x": plugin(**offers)}))
    with pytest.raises(UserError) as caught:
        registry.load("defense", "mine")
    assert "one:x and two:x" in str(caught.value)
    assert "one/mine or two/mine" in str(caught.value)
    assert registry.find("defense", "two/mine").owner == "two:x"


def test_a_target_that_is_no_component_or_cannot_be_imported_is_refused_when_it_is_needed():
    targets = {"wrong": "robench.spec:Part", "gone": "robench.nowhere:X", "no-class": "robench.spec:Nobody"}
    registry = Registry.of(Host.with_plugins({"one:x": plugin(robench_models=lambda: targets)}))
    assert len(list(registry.listing())) == 3
    with pytest.raises(UserError, match="not a subclass of Model"):
        registry.load("model", "wrong")
    for name in ("gone", "no-class"):
        with pytest.raises(UserError, match="of plugin one:x cannot be imported"):
            registry.load("model", name)
    assert all(state.startswith("error") for *_, state in registry.check())


def test_a_hook_of_another_shape_leaves_nothing_of_its_plugin_behind():
    def wants(nothing_like_this: int) -> Any:
        return {}

    host = Host.with_plugins(
        {"bad:x": plugin(robench_defenses=lambda: {"theirs": Mine}, robench_models=wants), "good:x": plugin()}
    )
    assert "nothing_like_this" in host.broken["bad:x"]
    assert "\n" not in host.broken["bad:x"]
    assert host.owners == ["good:x"]
    assert list(Registry.of(host).listing()) == []


def test_a_plugin_that_leaves_the_interpreter_or_comes_twice_is_reported(tmp_path, monkeypatch):
    (tmp_path / "leaves_when_loaded.py").write_text("raise SystemExit('not today')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ROBENCH_PLUGINS", "leaves_when_loaded, robench_plugins")
    host = Host.discover()
    assert "not today" in host.broken["leaves_when_loaded:ROBENCH_PLUGINS"]
    assert "robench_plugins:ROBENCH_PLUGINS" in host.broken
    assert Registry.of(host).find("model", "mf").owner == "robench:builtin"


def test_a_module_cannot_pass_for_another_distribution_by_its_name(tmp_path, monkeypatch):
    code = "from robench.api import hookimpl\n@hookimpl\ndef robench_defenses():\n    return {'theirs': object}\n"
    (tmp_path / "robench:x.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ROBENCH_PLUGINS", "robench:x")
    host = Host.discover()
    assert "is not the name of a module" in host.broken["robench:x:ROBENCH_PLUGINS"]


@pytest.mark.parametrize("offered", [{3: Mine}, {"": Mine}, {"a/b": Mine}, {"ndcg@10": Mine}, {"mine": Mine()}])
def test_a_strange_name_or_target_is_that_plugins_error(offered):
    host = Host.with_plugins({"bad:x": plugin(robench_defenses=lambda: offered)})
    assert list(Registry.of(host).listing()) == []
    assert "robench_defenses: TypeError" in host.broken["bad:x"]


def test_entry_points_of_one_name_in_two_distributions_are_both_loaded(monkeypatch):
    modules = {"one": plugin(robench_defenses=lambda: {"a": Mine}), "two": plugin(robench_defenses=lambda: {"b": Mine})}

    def point(dist: str, value: str) -> Any:
        owner = types.SimpleNamespace(name=dist)
        return types.SimpleNamespace(name="main", value=value, dist=owner, load=lambda: modules[value])

    points = [point("d2", "two"), point("d1", "one"), point("d1", "one"), point("d3", "gone")]
    monkeypatch.setattr("robench.host.discovery.metadata.entry_points", lambda group: points)
    host = Host.discover()
    assert host.owners == ["d1:main", "d2:main"]
    assert host.broken == {"d3:main": "KeyError: 'gone'"}
    assert [(name, owner) for _, name, owner in Registry.of(host).listing()] == [("a", "d1:main"), ("b", "d2:main")]


def test_lifecycle_hooks_get_their_arguments_and_may_fail(caplog):
    calls = []

    def fine(suite: str, seconds: float) -> None:
        calls.append((suite, seconds))

    def broken(suite: str) -> None:
        raise RuntimeError("not fatal")

    host = Host.with_plugins({"a:x": plugin(robench_suite_finished=broken), "b:x": plugin(robench_suite_finished=fine)})
    host.notify("robench_suite_finished", suite="s", ok=1, failed=0, skipped=0, seconds=2.0)
    assert calls == [("s", 2.0)]
    assert "not fatal" in caplog.text


def test_every_hook_is_documented_and_every_registration_hook_is_read():
    specs = {name: getattr(hooks, name) for name in dir(hooks) if name.startswith("robench_")}
    assert all(function.__doc__ for function in specs.values())
    registration = {name for name, function in specs.items() if function.__annotations__["return"] == "Registration"}
    assert registration == {hook for hook, _ in KINDS.values()}


def test_importing_the_core_never_imports_torch_pandas_or_scipy():
    code = (
        "import sys, robench.cli, robench.tables.build, robench.report.record\n"
        "from robench.host.discovery import Host; from robench.host.registry import Registry\n"
        "list(Registry.of(Host.discover()).listing())\n"
        "print([m for m in ('torch', 'pandas', 'scipy.stats') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.command
def test_the_command_lists_owners_and_reports_a_broken_plugin(tmp_path):
    (tmp_path / "shaky.py").write_text("raise RuntimeError('half installed')\n")
    places = {"PYTHONPATH": str(tmp_path), "ROBENCH_PLUGINS": "shaky", "COLUMNS": "240"}
    done = robench(tmp_path, "plugins", "--check", **places)
    assert done.returncode == 1, done.stderr
    assert "broken plugin shaky:ROBENCH_PLUGINS: RuntimeError: half installed" in done.stdout
    line = next(line for line in done.stdout.splitlines() if " mf " in line)
    assert "robench:builtin" in line
    assert "factors" in line
    assert "surfaces: embedding" in line


def test_a_module_that_is_named_twice_is_one_plugin(tmp_path, monkeypatch):
    (tmp_path / "named_twice.py").write_text(
        "from robench.api import hookimpl\n\n\n@hookimpl\ndef robench_models():\n    return {'twice': 'x:Y'}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ROBENCH_PLUGINS", "named_twice, named_twice")
    host = Host.discover()
    assert host.owners.count("named_twice:ROBENCH_PLUGINS") == 1
    assert "named_twice:ROBENCH_PLUGINS" not in host.broken
    assert "twice" in [name for _, offered in host.registered("robench_models") for name in offered]


def test_a_plugin_with_one_wrong_hook_offers_nothing():
    offered = plugin(robench_defenses=lambda: {"mine": Mine}, robench_nonsense=nothing)
    host = Host.with_plugins({"half:x": offered})
    assert list(host.broken) == ["half:x"]
    assert not list(host.registered("robench_defenses"))
