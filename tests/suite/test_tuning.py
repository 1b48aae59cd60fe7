"""Tests the key ``tuned``: what is refused, and which components count as tuned."""

import hashlib
import json

import pytest

from robench.api.errors import UserError
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.suite.load import load_suite
from robench.suite.trials import CRITERION

SUITE = """
name: a
datasets: [{name: synthetic, users: 40}]
models: [popularity, {name: item-knn, k: 20, shrinkage: 10}, {name: user-knn, label: mine, k: 50}]
"""


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.of(Host.discover())


@pytest.fixture
def claimed(tmp_path, registry):
    """Returns a function that loads a suite with the key ``tuned``.

    The attribute ``rows`` of the function holds the content of the trials file.
    """
    (tmp_path / "plain.yaml").write_text(SUITE)
    plain = load_suite(tmp_path / "plain.yaml", registry)
    header = {
        "format_version": 1,
        "suite": "a",
        "criterion": CRITERION,
        "dataset": plain.datasets[0].content(),
        "split": plain.split.content(),
        "data_sha256": "0",
        "seed": 0,
        "search_seed": 5,
        "threads": 1,
        "robench": "0",
    }

    def trial(label, number, value, **settings):
        part = next(part for part in plain.models if part.label == label)
        fixed = {name: one for name, one in part.config.items() if name not in settings}
        head = {"kind": "model", "label": label, "name": part.name, "number": number}
        return {**head, "settings": settings, "fixed": fixed, "value": value, "seconds": 1.0}

    own = [
        header,
        trial("item-knn", 0, 0.1, k=50, shrinkage=0.0),
        trial("item-knn", 1, 0.2, k=20, shrinkage=10.0),
        trial("mine", 0, 0.2, k=50),
        trial("mine", 1, 0.2, k=100),
    ]

    def load(text=SUITE, rows=own, sha256="", trials=2, file="a.trials.jsonl"):
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
        (tmp_path / "a.trials.jsonl").write_bytes(content)
        claim = {"file": file, "trials": trials, "sha256": sha256 or hashlib.sha256(content).hexdigest()}
        (tmp_path / "a.yaml").write_text(f"{text}tuned: {json.dumps(claim)}\n")
        return load_suite(tmp_path / "a.yaml", registry)

    load.rows = own
    return load


def test_a_component_with_the_settings_of_its_best_trial_is_tuned(claimed):
    tuning = claimed().tuning.planned
    assert (tuning.trials, tuning.seed, tuning.search_seed) == (2, 0, 5)
    assert tuning.chosen == ("item-knn", "mine")  # of trials with equal values, the first one wins
    assert tuning.untuned == {"popularity": "no trials"}


@pytest.mark.parametrize(
    ("old", "new", "untuned"),
    [
        ("k: 20", "k: 50", {"item-knn": "other settings than its best trial"}),
        ("k: 50", "k: 100", {"mine": "other settings than its best trial"}),
        ("k: 50", "k: 50, shrinkage: 3", {"mine": "other settings than its best trial"}),
        ("name: user-knn", "name: item-knn", {"mine": "other settings than its best trial"}),
        ("label: mine", "label: yours", {"yours": "no trials"}),
    ],
)
def test_other_settings_do_not_count_as_tuned(claimed, old, new, untuned):
    assert claimed(SUITE.replace(old, new)).tuning.planned.untuned == {"popularity": "no trials", **untuned}


def test_a_later_setting_with_its_default_counts(claimed, registry, tmp_path):
    text = SUITE.replace("popularity", "{name: mf, decays: auto}")
    (tmp_path / "plain.yaml").write_text(text)
    (part,) = (part for part in load_suite(tmp_path / "plain.yaml", registry).models if part.label == "mf")
    assert "decays" not in part.config
    row = {**claimed.rows[1], "label": "mf", "name": part.name, "fixed": dict(part.config)}
    rows = [{**row, "number": number, "settings": {"decays": decays}} for number, decays in enumerate(("auto", 3))]
    assert claimed(text, [*claimed.rows, *rows]).tuning.planned.untuned == {}


@pytest.mark.parametrize(("old", "new"), [("users: 40", "users: 41"), ("name: a\n", "name: a\nsplit: random-ratio\n")])
def test_settings_that_were_chosen_on_other_data_do_not_count(claimed, old, new):
    tuning = claimed(SUITE.replace(old, new)).tuning.planned
    assert tuning.chosen == ()
    assert {*tuning.untuned.values()} == {"chosen on other data"}


def test_a_claim_without_its_file_or_with_unequal_trials_is_refused(claimed):
    rows = claimed.rows
    cases = [
        ({"file": "none.jsonl"}, "No such file"),
        ({"sha256": "0" * 64}, "its sha256 differs"),
        ({"rows": rows[:-1]}, "mine has 1 trial and not 2, the same number for all"),
        ({"trials": 1}, "item-knn has 2 trials and not 1"),
        ({"rows": [*rows, {**rows[-1], "number": 2}]}, "mine has 3 trials"),
        ({"rows": [*rows, rows[-1]]}, "a trial that occurs twice"),
        ({"rows": [*rows[:-1], {**rows[-1], "value": 1.5}]}, "an impossible value"),
        ({"rows": []}, "not a file of trials"),
        ({"rows": rows[1:]}, "not a file of trials"),
        ({"rows": [[1]]}, "not a file of trials"),
        ({"rows": [{**rows[0], "criterion": "test ndcg@10"}, *rows[1:]]}, f"not a file of trials by {CRITERION}"),
    ]
    for change, message in cases:
        with pytest.raises(UserError) as caught:
            claimed(**change)
        assert message in str(caught.value)
        assert "a.yaml:" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_the_resolved_suite_keeps_the_claim(claimed, registry):
    suite = claimed()
    assert suite.resolved(registry)["tuned"] == {
        "file": "trials.jsonl",
        "trials": 2,
        "sha256": suite.tuning.planned.sha256,
    }
