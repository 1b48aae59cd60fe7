"""Tests that a change of weights affects only the cells that use the weights."""

import json

import pytest
from tests.tiny_decoder import tiny_decoder

from robench.files.sources import Sources
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.run.dependencies import Dependencies
from robench.run.preview import make_preview
from robench.suite.load import load_suite

SUITE = """
name: t
datasets: [{name: synthetic, users: 40, items: 30}]
models: [{name: content, min_items: 1}]
attacks: [{name: rewrite, weights: decoder, proposals: 1, tokens: 4, epsilon: 1}]
targets: {count: 1}
"""


def test_another_decoder_makes_the_cells_of_its_attack_stale(tmp_path, robench, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.chdir(tmp_path)
    folder = tiny_decoder(tmp_path / "decoder")
    path = tmp_path / "t.yaml"
    path.write_text(SUITE)
    done = robench(tmp_path, "run", "t.yaml", "--workers", "1")
    assert done.returncode == 0, done.stderr
    registry = Registry.of(Host.discover())
    cells = {cell.id: cell for cell in make_plan(load_suite(path, registry), registry).cells}
    found = {name: json.loads((tmp_path / f"results/t/cells/{name}.json").read_text()) for name in cells}
    noted = {cell.attack is not None: found[name]["provenance"].get("outside", {}) for name, cell in cells.items()}
    assert set(noted[True]) == {"attack"}
    assert noted[False] == {}

    def stale():
        dependencies = Dependencies(registry, Sources())
        return {cell.attack is not None: dependencies.is_stale(cell, found[name]) for name, cell in cells.items()}

    assert stale() == {True: False, False: False}
    config = folder / "tokenizer_config.json"
    config.write_text(config.read_text() + " ")
    assert stale() == {True: True, False: False}
    assert any(
        "stale: 1 stored cell: code or weights" in note for note in make_preview(path, registry, None, (), ()).notes
    )
    for name, cell in cells.items():
        if cell.attack is not None:
            older = found[name]["provenance"].pop("outside")
            assert not Dependencies(registry, Sources()).is_stale(cell, found[name]), "an older record has no digest"
            found[name]["provenance"]["outside"] = older
    (folder / "config.json").unlink()  # an unreadable file does not make a cell stale
    assert stale() == {True: False, False: False}
