"""Tests the packages that ``robench new-plugin`` writes.

tests/docs/test_plugins.py runs the conformance test of each package.
"""

import ast
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from robench.api.errors import UserError
from robench.api.stability import API_VERSION
from robench.authoring.kinds import LAYOUTS, PackageKind
from robench.authoring.names import derive_names
from robench.authoring.package import new_plugin, render
from robench.host.compatibility import read_requirement
from robench.host.discovery import Host
from robench.host.inspection import find_fault, import_attribute
from robench.host.registry import KINDS, Registry


@pytest.fixture(scope="module")
def registry():
    return Registry.of(Host.discover())


def write(name, kind, folder, registry):
    return list(new_plugin(name, PackageKind(kind), folder, registry))


@pytest.mark.parametrize("kind", PackageKind)
def test_a_package_of_each_kind_registers_its_component(kind, tmp_path, registry, monkeypatch):
    write("its-own-name", kind, tmp_path, registry)
    folder, layout = tmp_path / "its-own-name", LAYOUTS[kind]
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["robench"] == {"its-own-name": "its_own_name"}
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("ROBENCH_PLUGINS", "its_own_name")
    host = Host.discover()
    try:
        assert not host.broken
        assert not host.idle
        versions = SpecifierSet(read_requirement("its_own_name"))
        assert versions.contains(API_VERSION)
        assert not versions.contains(f"{Version(API_VERSION).major + 1}.0")
        entries = [e for es in Registry.of(host).entries.values() for e in es if e.name == "its-own-name"]
        if layout.component is None:
            assert not entries
            return
        (entry,) = entries
        assert entry.target == f"its_own_name.{layout.module}:ItsOwnName"
        assert not find_fault(import_attribute(entry.target), import_attribute(KINDS[layout.component][1]))
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "its_own_name"]:
            del sys.modules[name]


@pytest.mark.parametrize("kind", PackageKind)
def test_every_file_is_complete(kind):
    files = render(derive_names("its-own-name"), kind)
    for path, text in files.items():
        assert text.endswith("\n"), path
        assert not text.endswith("\n\n"), path
        assert "{{" not in text.replace("${{", ""), path
        assert all(line == line.rstrip() for line in text.splitlines()), path
        if path.endswith(".py"):
            ast.parse(text)
            assert all(len(line) <= 120 for line in text.splitlines()), path
    suite = yaml.safe_load(files["suite.yaml"])
    assert suite["name"] == "its-own-name"
    steps = yaml.safe_load(files[".github/workflows/test.yml"])["jobs"]["test"]["steps"]
    assert steps[1]["with"]["python-version"] == "${{ matrix.python }}"
    for command in ("pytest", "robench run suite.yaml"):
        assert any(command in step.get("run", "") for step in steps)
        assert command in files["README.md"]


def test_an_existing_folder_is_never_overwritten(tmp_path, registry):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").write_text("a week")
    with pytest.raises(UserError, match="mine: already exists, and nothing is overwritten"):
        write("mine", "model", tmp_path, registry)
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "work.txt"]


def test_a_link_to_nothing_is_never_replaced(tmp_path, registry):
    (tmp_path / "mine").symlink_to("elsewhere")
    with pytest.raises(UserError, match="mine: already exists, and nothing is overwritten"):
        write("mine", "model", tmp_path, registry)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine").is_symlink()


def test_a_full_disk_leaves_nothing_behind(tmp_path, registry, monkeypatch):
    def fail(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", fail)
    with pytest.raises(UserError, match="mine: cannot be written: No space left on device"):
        write("mine", "model", tmp_path, registry)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "kind", "problem"),
    [
        ("My Model", "model", "not a name for a package (a name has lower-case letters"),
        ("2fast", "model", "not a name for a package"),
        ("naïve", "model", "not a name for a package"),
        ("../up", "model", "not a name for a package"),
        ("class", "model", "a keyword of Python (for example my-class)"),
        ("json", "dataset", "a module of Python's standard library"),
        ("test-mine", "model", "pytest would collect its class as a test"),
        ("mf", "model", "already model 'mf' of plugin robench:builtin"),
        ("torch", "model", "already the installed package torch"),
        ("rdatasets-more_", "model", "not a name for a package"),
        ("_pytest", "model", "not a name for a package"),
        ("yaml", "model", "already the module yaml"),
        ("embedding-attack", "attack", "its class would have the name EmbeddingAttack of robench.api"),
        ("metric-tests", "metric", "its class would have the name MetricTests of robench.testing"),
    ],
)
def test_a_bad_name_is_one_line(name, kind, problem, tmp_path, registry):
    with pytest.raises(UserError) as caught:
        write(name, kind, tmp_path, registry)
    assert str(caught.value).startswith(f"new-plugin {name}: {problem}")
    assert not list(tmp_path.iterdir())


def test_a_module_of_an_environment_in_the_current_folder_is_installed(tmp_path, registry, monkeypatch):
    monkeypatch.chdir(Path(yaml.__file__).parents[2])
    with pytest.raises(UserError, match="already the module yaml"):
        write("yaml", "model", tmp_path, registry)


def test_a_component_of_another_kind_may_have_the_name(tmp_path, registry):
    write("popularity", "attack", tmp_path, registry)
    assert (tmp_path / "popularity" / "popularity" / "attack.py").is_file()


@pytest.mark.command
def test_the_command_prints_what_to_do_next_and_one_line_for_a_mistake(tmp_path, robench):
    done = robench(tmp_path, "new-plugin", "mine", "--kind", "metric")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "mine: a metric that works, its conformance test and a suite"
    assert done.stdout.splitlines()[-1] == "  robench run suite.yaml"
    again = robench(tmp_path, "new-plugin", "mine", "--kind", "metric")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "mine: already exists, and nothing is overwritten (choose another name)\n"
    other = robench(tmp_path, "new-plugin", "mine", "--kind", "modell")
    assert other.returncode == 2
    assert len(other.stderr.splitlines()) == 1
