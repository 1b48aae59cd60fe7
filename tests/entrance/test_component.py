"""Tests the descriptions that ``robench plugins NAME`` prints."""

import pytest
from tests.docs.pages import read

from robench.api.errors import UserError
from robench.api.terminal import Terminal
from robench.entrance.component import print_component
from robench.host.discovery import Host
from robench.host.registry import Registry

CLASH = """from collections.abc import Callable
from pydantic import ConfigDict, Field
from robench.api import BaseConfig, Defense, Metric, hookimpl
class Anything(Defense):
    "<script>alert(1)</script> [bold]defends[/bold]."
    class Config(BaseConfig):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        own: Callable[[int], int] = Field(default=abs, description="A type that JSON cannot represent")
        size: float = Field(gt=0, le=3)
@hookimpl
def robench_defenses():
    return {'mf': Anything, 'anything': Anything}
"""

BROKEN = "plugin gone:ROBENCH_PLUGINS could not be loaded: ModuleNotFoundError: No module named 'gone'"
UNKNOWN = f"no component or plugin has this name: {BROKEN}"


@pytest.fixture
def clash(tmp_path, monkeypatch):
    (tmp_path / "clashing.py").write_text(CLASH)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ROBENCH_PLUGINS", "clashing")


def described(name, capsys):
    print_component(name, Terminal(width=300))
    return capsys.readouterr().out


def test_a_description_has_the_settings_of_the_reference(capsys):
    text = described("mf", capsys)
    for line in ("Owner: robench:builtin (", "Surfaces: embedding, parameters", "registered by robench_models"):
        assert line in text
    row = next(line for line in text.splitlines() if " factors " in line)
    assert [part.strip() for part in row.strip("│").split("│")] == [
        "factors",
        "whole number ≥ 1",
        "64",
        "Dimensions of the vectors",
    ]
    assert "| `factors` | whole number ≥ 1 | `64` | Dimensions of the vectors |" in read("docs/reference/plugins.md")


def test_every_component_can_be_described(capsys):
    for kind, entries in Registry.of(Host.discover()).entries.items():
        for entry in entries:
            assert f"Kind of component: {kind}" in described(f"{kind}:{entry.name}", capsys), entry.name


def test_a_measure_names_its_metric(capsys):
    assert "In a suite: ndcg@k" in described("ndcg@10", capsys)


def test_a_plugin_is_described_with_its_hooks_and_components(capsys):
    text = described("robench", capsys)
    assert "robench_cell_finished" in text
    assert "Components, executor: dask, local" in text


def test_settings_that_json_cannot_represent_and_markup_are_shown_as_text(clash, capsys):
    text = described("anything", capsys)
    assert "<script>alert(1)</script> [bold]defends[/bold]." in text
    assert "A type that JSON cannot represent" in text
    assert "required" in text


@pytest.mark.command
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["mff"], f"mff: {UNKNOWN} (did you mean 'mf'?)"),
        (["random"], f"random: {UNKNOWN} (similar: popularity-randomisation, random-edit, "),
        (["qqq"], f"qqq: {UNKNOWN} (robench plugins lists all names)"),
        (
            ["mf"],
            "mf: is model 'mf' of robench:builtin and defense 'mf' of clashing:ROBENCH_PLUGINS (write",
        ),
        (["gone"], "plugin gone:ROBENCH_PLUGINS: could not be loaded: ModuleNotFoundError"),
        (["mf", "--check"], "--check: it checks all plugins (robench plugins mf describes one)"),
    ],
)
def test_a_mistake_is_one_line(arguments, line, tmp_path, robench):
    (tmp_path / "clashing.py").write_text(CLASH)
    done = robench(tmp_path, "plugins", *arguments, PYTHONPATH=".", ROBENCH_PLUGINS="clashing,gone")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(line)
    assert len(done.stderr.splitlines()) == 1


def test_a_file_of_the_current_folder_that_offers_the_component_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROBENCH_PLUGINS", "mny")
    (tmp_path / "mine.py").write_text(CLASH)
    with pytest.raises(UserError) as caught:
        print_component("anything", Terminal(width=300))
    assert "plugin mny:ROBENCH_PLUGINS could not be loaded" in str(caught.value)
    assert str(caught.value).endswith(
        "mine.py in the current folder seems to offer it: set PYTHONPATH=. and ROBENCH_PLUGINS=mine)"
    )
