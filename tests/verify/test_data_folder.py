"""Tests where the relative paths of a stored suite start."""

import json

import pytest

from robench.api.errors import DataError, UserError, UserErrors
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.store.origin import note_origin
from robench.verify.data_folder import advise, load_stored_suite

FILES = "name: s\ndatasets: [{name: csv, path: data/r.csv, items: items.csv}]\nmodels: [popularity]\n"
FRAME = "name: s\ndatasets: [{name: frame, data: mine}]\nmodels: [popularity]\n"
SPLIT = (
    "name: s\ndatasets: [{name: csv, path: data/r.csv}]\nmodels: [popularity]\n"
    "split: {name: files, train: items.csv, test: items.csv}\n"
)


@pytest.fixture(scope="module")
def registry():
    """Returns the registry of all plugins."""
    return Registry.of(Host.discover())


@pytest.fixture
def board(tmp_path, monkeypatch):
    """Returns a folder of results that was made from ``home/mine.yaml``.

    The current folder is another one.
    """
    board, here = tmp_path / "home/results/s", tmp_path / "here"
    for folder in (board, here, tmp_path / "home/results/other"):
        folder.mkdir(parents=True)
    suite = tmp_path / "home/mine.yaml"
    suite.write_text(FILES)
    (board / "suite.yaml").write_text(FILES)
    note_origin(board, suite, {"cells": []})
    monkeypatch.chdir(here)
    return board


def put_files(folder):
    """Writes the files of the suite to a folder."""
    (folder / "data").mkdir()
    (folder / "data/r.csv").touch()
    (folder / "items.csv").touch()


@pytest.mark.parametrize("suite", [FILES, SPLIT])
@pytest.mark.parametrize(
    ("places", "found"),
    [
        (["home"], "home"),
        (["here"], "here"),
        (["home", "here"], "home"),
        (["home/results/s", "home", "here"], "home/results/s"),
        (["home/results", "home/results/other"], "home/results/s"),
        ([], "home/results/s"),
    ],
)
def test_the_first_folder_with_all_files_is_taken(board, tmp_path, registry, suite, places, found):
    (board / "suite.yaml").write_text(suite)
    for place in places:
        put_files(tmp_path / place)
    assert load_stored_suite(board, None, registry).folder.resolve() == tmp_path / found


def test_a_folder_with_some_of_the_files_is_not_taken(board, tmp_path, registry):
    put_files(tmp_path / "here")
    put_files(tmp_path / "home")
    (tmp_path / "home/items.csv").unlink()
    assert load_stored_suite(board, None, registry).folder.resolve() == tmp_path / "here"


def test_an_option_overrides_every_folder(board, tmp_path, registry):
    put_files(tmp_path / "home")
    assert load_stored_suite(board, tmp_path / "nowhere", registry).folder == tmp_path / "nowhere"


@pytest.mark.parametrize(
    "note", [None, {"file": "../../mine.yaml"}, {"file": "mine.yaml", "place": "0" * 64}, {"file": 3}]
)
def test_a_note_that_does_not_fit_is_ignored(board, tmp_path, registry, note):
    place = json.loads((board / ".suite-file").read_text())["place"]
    (board / ".suite-file").unlink()
    if note is not None:
        (board / ".suite-file").write_text(json.dumps({"place": place, **note}))
    put_files(tmp_path / "home")
    assert load_stored_suite(board, None, registry).folder == board


@pytest.mark.parametrize(
    ("suite", "error", "advice"),
    [(FILES, DataError, "--data FOLDER"), (FRAME, DataError, "--sample 0"), (FILES, UserError, "")],
)
def test_the_advice_fits_the_data(board, registry, suite, error, advice):
    (board / "suite.yaml").write_text(suite)
    text = advise(UserErrors([error("no such file", where="r.csv")]), board, registry)
    assert advice in text
    assert bool(text) == bool(advice)
    assert ("--data" in text) == (suite == FILES and error is DataError)
