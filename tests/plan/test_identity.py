"""Tests that installing other packages does not affect built-in components.

The ids of cells, and the names and labels of built-in components, stay the same.
"""

import json
from pathlib import Path

import pytest
from tests import rival

import robench_plugins
from robench.api.digest import digest, digest_spec
from robench.api.errors import UserError
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.filters import select_cells
from robench.plan.plan import make_plan
from robench.run.task import cell_from_payload, cell_to_payload
from robench.spec import RESOLVED
from robench.suite.load import load_suite
from robench.suite.yaml import dump

RESULTS = Path(__file__).resolve().parents[2] / "results"
OWN = {"robench:builtin": robench_plugins}
ALONE = Registry.of(Host.with_plugins(OWN))
WITH_RIVAL = Registry.of(Host.with_plugins({**OWN, rival.RIVAL: rival}))
SUITE = """
datasets: [synthetic]
models: [popularity, {name: mf, grid: {factors: [8, 16]}}]
attacks:
  - {name: auto, epsilon: 0.1}
  - {name: pgd, norm: l2, epsilon: [0.01, 0.05]}
  - {name: bandwagon, epsilon: 0.05}
ranking: [{surface: embedding, norm: l2, epsilon: 0.05}]
exclude: [{model: popularity, attack: bandwagon}]
"""
QUALIFIED = SUITE.replace("[popularity,", "[robench/popularity,").replace("name: auto", "name: robench/auto")
QUALIFIED = QUALIFIED.replace("name: pgd", "name: robench/pgd")


@pytest.fixture
def plan_of(tmp_path):
    def plan_of(text, registry):
        path = tmp_path / "t.yaml"
        path.write_text(text)
        return make_plan(load_suite(path, registry), registry)

    return plan_of


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in RESULTS.glob("*/plan.json")))
def test_the_ids_of_committed_cells_stay(folder, tmp_path):
    stored = json.loads((RESULTS / folder / "plan.json").read_text())["cells"]
    (tmp_path / "t.yaml").write_text((RESULTS / folder / "suite.yaml").read_text())
    cells = make_plan(load_suite(tmp_path / "t.yaml", ALONE), ALONE).cells
    assert [cell.victim.id for cell in cells] == [cell["victim"] for cell in stored]
    assert [cell.id for cell in cells] == [kept["cell"] for kept in stored]


def test_only_victims_with_a_cleaning_defence_have_the_later_version(plan_of):
    detectors = "defenses: [none, denoise, near-duplicate]\nmodels: [mf]\nattacks: [{name: bandwagon, epsilon: 0.1}]\n"
    plan = plan_of(f"name: t\ndatasets: [synthetic]\n{detectors}", ALONE)
    versions = {cell.victim.defense.label: cell.content()["victim"]["protocol"] for cell in plan.cells}
    assert versions == {"none": 1, "denoise": 1, "near-duplicate": 2}
    assert {cell_from_payload(cell_to_payload(cell)).id for cell in plan.cells} == {cell.id for cell in plan.cells}
    assert plan.to_json()["protocol_version"] == 2
    without = plan_of(f"name: t\ndatasets: [synthetic]\n{detectors.replace(', near-duplicate', '')}", ALONE)
    assert without.to_json()["protocol_version"] == 1


def test_a_default_that_validation_chooses_differs_from_the_same_value_in_a_suite(tmp_path):
    ease = "name: a\ndatasets: [movielens-small]\nmodels: [{}]\n"

    def load(text):
        path = tmp_path / "t.yaml"
        path.write_text(text)
        return load_suite(path, ALONE)

    (default,) = load(ease.format("ease")).models
    (given,) = load(ease.format("{name: ease, weight_decay: 100}")).models
    assert default.config == {"weight_decay": 100.0}
    assert given.config == {"weight_decay": 100.0, "by_validation": False}
    for written in ("ease", "{name: ease, weight_decay: 100}", "{name: ease, weight_decay: 250}"):
        suite = load(ease.format(written))
        again = load(RESOLVED + dump(suite.resolved(ALONE)))
        assert [part.content() for part in again.models] == [part.content() for part in suite.models]
    swept = load(ease.format("{name: ease, grid: {weight_decay: [100, 300]}}"))
    assert [part.label for part in swept.models] == ["ease[weight_decay=100]", "ease[weight_decay=300]"]


def test_a_package_that_offers_the_same_names_changes_nothing_of_the_plan(plan_of):
    before, after = plan_of(SUITE, ALONE), plan_of(QUALIFIED, WITH_RIVAL)
    assert after.to_json() == before.to_json()
    assert [cell.id for cell in after.cells] == [cell.id for cell in before.cells]


def test_what_the_user_leaves_out_is_robench_s_own(plan_of):
    text = "datasets: [synthetic]\nmodels: [mf]\n"
    before, after = plan_of(text, ALONE), plan_of(text, WITH_RIVAL)
    assert {cell.victim.defense.name for cell in after.cells} == {"none"}
    assert after.metrics == before.metrics
    assert after.to_json() == before.to_json()


def test_an_ambiguous_name_is_refused_with_both_spellings(plan_of):
    for text, rest in ((SUITE, "model"), (QUALIFIED + "metrics: [ndcg@10]\n", "metric")):
        with pytest.raises(UserError, match=rf"{rest} '\w+' is offered by robench:builtin and {rival.RIVAL}") as caught:
            plan_of(text, WITH_RIVAL)
        assert "(write robench/" in str(caught.value)


def test_a_foreign_component_never_has_a_bare_name(plan_of):
    text = "datasets: [synthetic]\nmodels: [mf, rival/popularity]\nattacks: [{name: rival/auto, epsilon: 0.1}]\n"
    plan = plan_of(text, WITH_RIVAL)
    assert {cell.victim.model.name for cell in plan.cells} == {"mf", "rival/popularity"}
    assert {cell.attack.name for cell in plan.cells if cell.attack} == {"rival/auto"}
    only_rival = Registry.of(Host.with_plugins({rival.RIVAL: rival}))
    for kind in ("model", "attack", "defense", "metric"):
        for entry in only_rival.entries[kind]:
            assert only_rival.identity(kind, entry) == f"rival/{entry.name}"


def test_the_resolved_suite_means_the_same_where_names_are_ambiguous(plan_of, tmp_path):
    text = QUALIFIED.replace("[robench/popularity,", "[robench/popularity, rival/popularity,")
    text += "metrics: [robench/ndcg@10, rival/ndcg@5, t-hr@10]\n"
    path = tmp_path / "t.yaml"
    path.write_text(text)
    suite = load_suite(path, WITH_RIVAL)
    assert suite.metrics == ("ndcg@10", "rival/ndcg@5", "t-hr@10")
    assert [part.label for part in suite.models] == [
        "popularity",
        "rival/popularity",
        "mf[factors=8]",
        "mf[factors=16]",
    ]
    again = plan_of(RESOLVED + dump(suite.resolved(WITH_RIVAL)), WITH_RIVAL)
    assert again.to_json() == make_plan(suite, WITH_RIVAL).to_json()


def test_a_filter_takes_the_short_name_of_a_foreign_component_and_the_long_one_of_robench(plan_of):
    text = "datasets: [synthetic]\nmodels: [mf, ease, {name: rival/popularity, label: weak}]\n"
    plan = plan_of(text, WITH_RIVAL)

    def models(*conditions):
        return {cell.victim.model.name for cell in select_cells(plan.cells, conditions)}

    assert (
        models("model=popularity") == models("model=weak") == models("model=rival/popularity") == {"rival/popularity"}
    )
    assert models("model=robench/mf", "model=ease") == {"mf", "ease"}
    remaining = plan_of(text + "exclude: [{model: [popularity, robench/ease]}]\n", WITH_RIVAL)
    assert {cell.victim.model.name for cell in remaining.cells} == {"mf"}


def test_a_filter_prefers_the_component_that_has_exactly_that_name(plan_of):
    text = "datasets: [synthetic]\nmodels: [robench/popularity, rival/popularity]\n"
    plan = plan_of(text, WITH_RIVAL)
    assert {c.victim.model.name for c in select_cells(plan.cells, ["model=popularity"])} == {"popularity"}


def test_a_cell_notes_the_roles_of_its_model_and_attack(plan_of):
    cells = plan_of(SUITE, ALONE).to_json()["cells"]
    assert {cell["model"] for cell in cells if cell.get("baseline")} == {"popularity"}
    assert all(cell["baseline"] is True for cell in cells if cell["model"] == "popularity")
    assert {cell["attack"] for cell in cells if cell.get("standard")} == {"auto"}
    assert all("standard" not in cell for cell in cells if cell["attack"] != "auto")
    assert all("baseline" not in cell for cell in cells if cell["model"] != "popularity")


def test_a_foreign_component_has_no_role_whatever_it_claims(plan_of):
    assert rival.Weak.baseline
    assert rival.Feeble.standard
    text = "datasets: [synthetic]\nmodels: [mf, rival/popularity]\nattacks: [{name: rival/auto, epsilon: 0.1}]\n"
    cells = plan_of(text, WITH_RIVAL).to_json()["cells"]
    assert {cell["model"] for cell in cells} == {"mf", "rival/popularity"}
    assert not any("baseline" in cell or "standard" in cell for cell in cells)


def test_the_id_of_a_cell_is_the_digest_of_its_whole_content(plan_of):
    """The victim is serialised only once, and both ids use the result.

    Within the cell's content, the victim must keep its place among the sorted keys.
    """
    for cell in plan_of(SUITE, ALONE).cells:
        content = cell.content()
        assert (cell.id, cell.victim.id) == (digest(content), digest(content["victim"]))
        assert digest_spec({**content, "zone": 1}) == (digest({**content, "zone": 1}), cell.victim.id)
