"""Tests the profiles of users: in a CSV file, after the split, and in a prompt."""

from dataclasses import replace

import numpy as np
import pytest
from tests.tiny_decoder import tiny_decoder

from robench.api import DataError
from robench.api.data import joined
from robench.engine.data.prepare import prepare
from robench.engine.data.prepared import Prepared
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.run.preview import make_preview
from robench.spec import Part
from robench.testing.worlds import crowd, fitted
from robench_plugins.datasets.csv_file import CsvFile
from robench_plugins.models.llm.model import Llm

SPLIT = Part("leave-last-out", {"seed": 0}, "s")
PROMPT = "Somebody ({profile}) saw\n{history}\n-"


def files(folder, people="user,age,job\n2,31,nurse\n1,,cook\n3,40,\n"):
    rows = [f"{user},{item},{time}" for user in (1, 2) for time, item in enumerate("abcde")]
    (folder / "log.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    (folder / "people.csv").write_text(people)
    return {"path": folder / "log.csv", "users": folder / "people.csv"}


def test_a_file_of_users_makes_a_text_of_each_and_survives_the_cache(tmp_path):
    source = CsvFile.make(**files(tmp_path))
    data = prepare(source.load(), source.config, SPLIT)
    assert data.user_ids == ("1", "2")
    assert data.profiles == ("job: cook", "age: 31, job: nurse")
    assert data.train_data().profiles == data.profiles
    data.save(tmp_path / "kept.npz")
    again = Prepared.load(tmp_path / "kept.npz")
    assert again.profiles == data.profiles
    assert again.sha256() == data.sha256() != replace(data, profiles=()).sha256()
    chosen = CsvFile.make(**files(tmp_path), profile=["age"]).load()
    assert chosen.profiles == {"2": "age: 31", "1": "", "3": "age: 40"}
    assert not prepare(replace(chosen, profiles={}), source.config, SPLIT).profiles


def test_what_is_known_of_users_is_part_of_the_files_digest(tmp_path):
    one = CsvFile.make(**files(tmp_path)).fingerprint()
    other = CsvFile.make(**files(tmp_path, "user,age\n1,7\n")).fingerprint()
    assert one != other


@pytest.mark.parametrize(
    ("people", "settings", "problem"),
    [
        ("user,age\n1,2\n1,3\n", {}, "user '1' is described twice"),
        ("id,age\n1,2\n", {}, "user"),
        ("user,age\n1,2\n", {"profile": ["agee"]}, "age"),
    ],
)
def test_mistakes_in_a_file_of_users_are_reported(tmp_path, people, settings, problem):
    with pytest.raises(DataError, match=problem):
        CsvFile.make(**files(tmp_path, people), **settings).load()


@pytest.fixture(scope="module")
def victims(tmp_path_factory):
    pytest.importorskip("transformers")
    data, _ = crowd(n_users=12)
    known = replace(data, profiles=tuple(f"age: {20 + user}" for user in range(data.n_real_users)))
    weights = str(tiny_decoder(tmp_path_factory.mktemp("llama")))
    small = {"weights": weights, "candidates": 6, "history_items": 3, "fusion_weight": 0.5, "prompt": PROMPT}
    return [fitted(Llm.make(**small), each)[0] for each in (known, data)], joined(data.train, data.validation)


def test_the_prompt_holds_what_is_known_of_its_user(victims):
    (known, nothing), history = victims
    users = np.arange(4)
    for user, prompt in enumerate(known.embed(known.queries(users, history)).context["prompts"]):
        text = known.decoder.tokenizer.decode(prompt.ids)
        assert f"age: {20 + user}" in " ".join(text.split()) or f"age:{20 + user}" in text.replace(" ", "")
        own = known.decoder.tokenizer.decode([t for t, mine in zip(prompt.ids, prompt.own, strict=True) if mine])
        assert "age" not in own, "only titles may be perturbed"
    assert not np.array_equal(known.scores(users, history), nothing.scores(users, history))


def test_a_newcomer_is_unknown(victims):
    (known, nothing), history = victims
    np.testing.assert_array_equal(known.newcomers(history), nothing.newcomers(history))


def test_only_a_template_that_asks_for_it_reads_it():
    assert Llm.make(prompt=PROMPT).reads_profiles()
    assert not Llm.make().reads_profiles()


@pytest.mark.parametrize("users", ["", ", users: people.csv"])
def test_a_prompt_with_profiles_needs_data_with_profiles(tmp_path, users):
    files(tmp_path)
    (tmp_path / "items.csv").write_text("item,title\na,A\nb,B\nc,C\nd,D\ne,E\n")
    weights = tiny_decoder(tmp_path / "decoder")
    prompt = f'{{name: llm, label: llm, weights: {weights}, prompt: "{{profile}} {{history}}"}}'
    suite = f"name: t\ndatasets: [{{name: csv, path: log.csv, items: items.csv{users}}}]\nmodels: [{prompt}]\n"
    (tmp_path / "t.yaml").write_text(suite)
    refusals = make_preview(tmp_path / "t.yaml", Registry.of(Host.discover()), None, (), ()).refusals
    told = "llm reads what is known of users, and this data set knows nothing of them"
    assert any(told in line for line in refusals) == (not users)


def test_columns_may_be_called_as_the_settings_are(tmp_path):
    paths = files(tmp_path, "user_id,age\n1,7\n")
    (tmp_path / "items.csv").write_text("item_id,title\na,The A\n")
    ratings = CsvFile.make(**paths, items=tmp_path / "items.csv").load()
    assert ratings.profiles == {"1": "age: 7"}
    assert ratings.catalogue["a"].title == "The A"


def test_a_missing_column_of_titles_is_reported(tmp_path):
    (tmp_path / "items.csv").write_text("item,title\na,The A\n")
    with pytest.raises(DataError, match="no column 'titel' for title"):
        CsvFile.make(**files(tmp_path), items=tmp_path / "items.csv", title="titel").load()
