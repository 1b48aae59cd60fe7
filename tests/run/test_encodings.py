"""Tests what the plan reports about the encoding of texts.

Each encoder encodes the texts of a catalogue once.
"""

from dataclasses import replace

import pytest
from tests.tiny_bert import tiny_bert

from robench.api.data import Catalogue, Item
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.run.data import data_name
from robench.run.encodings import encoding_notes
from robench.suite.load import load_suite
from robench_plugins.defenses.normalise import Normalise
from robench_plugins.models.text_bert import TextBert

PLAIN = Catalogue(("a", "b"), (Item("Heat"), Item("The space robot", 1999)))
ODD = replace(PLAIN, items=(Item("He\u200bat"), PLAIN.items[1]))  # the first title has an invisible character
SUITE = """
name: t
seeds: [0, 1]
datasets: [{{name: synthetic, users: 40, items: 30}}]
models: [popularity, {{name: text-bert, label: one, weights: {0}}}, {{name: text-bert, label: two, weights: {0}, {1}}}]
defenses: [none, normalise]
"""


@pytest.fixture
def notes(tmp_path):
    pytest.importorskip("transformers")
    weights = tiny_bert(tmp_path / "encoder")
    registry = Registry.of(Host.discover())

    def notes(catalogue, other="history: lstm"):
        path = tmp_path / "t.yaml"
        path.write_text(SUITE.format(weights, other))
        cells = [cell for cell in make_plan(load_suite(path, registry), registry).cells if not cell.skip]
        return encoding_notes(cells, {data_name(cell.victim): catalogue for cell in cells}, registry)

    notes.weights = str(weights)
    return notes


def test_models_and_defences_that_read_the_same_texts_share_a_line(notes):
    (line,) = notes(PLAIN)
    told = "texts: the 2 texts of synthetic are encoded once for one, two, 8 victims (not in the cache yet)"
    assert line == told  # two models, two defences, two seeds


def test_titles_that_a_defence_changes_are_another_catalogue(notes):
    found = notes(ODD)
    assert len(found) == 2
    assert all("for one, two, 4 victims" in line for line in found)


def test_another_length_of_texts_is_another_encoding(notes):
    found = notes(PLAIN, "max_tokens: 8")
    assert sorted(line.partition(" for ")[2] for line in found) == [
        f"{name}, 4 victims (not in the cache yet)" for name in ("one", "two")
    ]


def test_what_is_in_the_cache_is_told_and_weights_that_are_not_there_are_left_to_the_run(notes):
    model = TextBert.make(weights=notes.weights)
    path = model.encodings(PLAIN)
    path.parent.mkdir(parents=True)
    path.touch()
    (line,) = notes(PLAIN)
    assert line.endswith("(in the cache)")
    assert notes(PLAIN, "max_tokens: 8, inputs: tokens")[0] == line.replace("one, two, 8", "one, 4")
    (line,) = notes(PLAIN, "tuned_layers: 1")
    assert "8 victims" in line


def test_a_defence_that_gives_no_title_is_left_to_the_run(notes, monkeypatch):
    monkeypatch.setattr(Normalise, "clean_text", lambda self, title: None)
    (line,) = notes(PLAIN)
    assert "for one, two, 4 victims" in line  # only the victims without the defence are counted
