import json
from typing import Any

import pytest
import yaml

from robench.api import Corruption, EmbeddingAttack, Threat
from robench.api.attacks.base import Attack
from robench.api.errors import UserError
from robench.host.discovery import Host
from robench.host.registry import Entry, Registry
from robench.plan.filters import select_cells
from robench.plan.plan import make_plan
from robench.run.task import cell_from_payload, cell_to_payload
from robench.spec import RESOLVED
from robench.suite.load import load_suite

BASE = """
name: t
seeds: [0, 1]
datasets: [{name: synthetic, users: 50}]
models: [{name: popularity}, {name: mf, grid: {factors: [8, 16]}}]
defenses: [{name: none}, {name: adversarial-training, lambda: [1.0, 0.5], epsilon: 0.05}]
attacks:
  - {name: pgd, norm: l2, epsilon: [0.01, 0.05]}
  - {name: pgd, norm: linf, epsilon: 0.05}
  - {name: bandwagon, epsilon: 0.05}
"""


@pytest.fixture
def registry():
    return Registry.of(Host.discover())


@pytest.fixture
def load(tmp_path, registry):
    def load(text, overrides=()):
        path = tmp_path / "t.yaml"
        path.write_text(text)
        suite = load_suite(path, registry, overrides)
        return suite, make_plan(suite, registry)

    return load


def test_victims_cells_and_labels(load):
    suite, plan = load(BASE)
    assert [m.label for m in suite.models] == ["popularity", "mf[factors=8]", "mf[factors=16]"]
    assert [a.part.label for a in suite.attacks] == ["pgd[norm=l2]", "pgd[norm=linf]", "bandwagon"]
    # 3 models x 2 defences (λ = 1 counts as none) x 2 seeds x (clean + 3 test cells + 1 poisoned victim)
    assert len(plan.cells) == 3 * 2 * 2 * (1 + 3 + 1)
    poisoned = [c for c in plan.cells if c.victim.poison is not None]
    assert all(c.attack is None and c.columns()["attack"] == "bandwagon" for c in poisoned)
    assert all(c.columns()["stage"] == "train" and c.columns()["epsilon"] == 0.05 for c in poisoned)
    clean = [c.columns() for c in plan.cells if c.victim.poison is None and c.attack is None]
    assert all(c["attack"] == "none" and c["epsilon"] == 0 for c in clean)


def test_targets_are_chosen_only_where_something_is_promoted(load):
    _, plan = load(BASE)
    assert {c.victim.targets.count for c in plan.cells} == {5}
    _, plan = load(BASE.replace("  - {name: bandwagon, epsilon: 0.05}\n", ""))
    assert {c.victim.targets.count for c in plan.cells} == {0}


def test_lambda_one_is_the_victim_none(load):
    _, with_one = load(BASE)
    _, without = load(BASE.replace("[1.0, 0.5]", "[0.5]"))
    assert {c.id for c in with_one.cells} == {c.id for c in without.cells}
    assert {c.columns()["lambda"] for c in with_one.cells} == {1.0, 0.5}


def test_misfits_are_skipped_with_a_reason(load):
    _, plan = load(BASE)
    skipped = {(c.victim.model.name, c.victim.defense.name, c.skip) for c in plan.cells if c.skip}
    assert any(model == "popularity" and "no surface 'embedding'" in why for model, _, why in skipped)
    assert any("no training loss" in why for _, defense, why in skipped if defense == "adversarial-training")
    assert all(model == "popularity" for model, _, _ in skipped)


def test_ids_depend_on_nothing_but_the_cell_itself(load):
    _, one = load(BASE)
    changed = BASE.replace("name: t", "name: other").replace("seeds: [0, 1]", "seeds: [1, 0, 7]")
    changed = changed.replace("epsilon: [0.01, 0.05]", "epsilon: [0.05, 0.2, 1e-2]")
    _, two = load(changed + "exclude: [{seed: 7}, {epsilon: 0.2}]\n")
    assert {c.id for c in one.cells} == {c.id for c in two.cells}
    _, three = load(BASE.replace("factors: [8, 16]", "factors: [8, 32]"))
    assert {c.id for c in one.cells} != {c.id for c in three.cells}


def test_written_out_defaults_give_the_same_ids(load):
    _, one = load(BASE)
    _, two = load(BASE.replace("{name: pgd, norm: l2,", "{name: pgd, norm: l2, steps: 20, restarts: 1, loss: ce,"))
    assert {c.id for c in one.cells} == {c.id for c in two.cells}


def test_the_resolved_suite_gives_the_same_plan(load, tmp_path, registry):
    suite, plan = load(BASE)
    path = tmp_path / "resolved.yaml"
    path.write_text(RESOLVED + yaml.safe_dump(suite.resolved(registry), sort_keys=False))
    again = make_plan(load_suite(path, registry), registry)
    assert [c.id for c in again.cells] == [c.id for c in plan.cells]
    assert again.to_json()["cells"] == plan.to_json()["cells"]


def test_a_cell_travels_and_keeps_its_id(load):
    _, plan = load(BASE)
    for cell in plan.cells:
        again = cell_from_payload(json.loads(json.dumps(cell_to_payload(cell))))
        assert again.id == cell.id
        assert again.columns() == cell.columns()


def test_exclude_leaves_out_what_matches_every_key(load):
    _, plan = load(
        BASE + "exclude:\n  - {model: mf, attack: bandwagon}\n  - {model_label: 'mf[factors=8]', lambda: 0.5}\n"
    )
    assert not [c for c in plan.cells if c.victim.model.name == "mf" and c.victim.poison]
    assert not [c for c in plan.cells if c.victim.model.label == "mf[factors=8]" and c.victim.strength[0] == 0.5]
    assert [c for c in plan.cells if c.victim.model.label == "mf[factors=16]" and c.victim.strength[0] == 0.5]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("exclude: [{model: bert4rec}]", "no cell matches {model: bert4rec}"),
        ("exclude: [{modle: mf}]", "did you mean 'model'"),
        ("exclude: [{}]", "exclude everything"),
        ("exclude: [{stage: ['', train, test]}]", "no cell of the suite is left"),
        ("ranking: [{surface: history, epsilon: 1}]", "no attack of this suite has this threat model"),
        ("ranking: [{surface: embedding, epsilon: 0.05}]", "several threat models are meant"),
        ("ranking: [{surface: embedding, norm: l2, epsilon: 0.001}]", "no cell has ε"),
        ("ranking: [{surface: embedding, norm: l2, epsilon: 0.05, metric: t-hr@10}]", "where items are promoted"),
    ],
)
def test_a_wrong_exclude_or_ranking_is_one_line_with_the_place(load, line, problem):
    with pytest.raises(UserError) as caught:
        load(BASE + line + "\n")
    assert problem in str(caught.value)
    assert "t.yaml:11" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_ranking_every_threat_gets_its_table(load):
    _, plan = load(BASE)
    assert {(t.threat.surface, t.threat.norm, str(t.metric)) for t in plan.ranking} == {
        ("embedding", "l2", "ndcg@10"),
        ("embedding", "linf", "ndcg@10"),
        ("interactions", "users", "t-percentile"),
    }


def test_without_ranking_and_ndcg_the_tables_are_of_the_first_metric_that_fits(load):
    _, plan = load(BASE, ["metrics=[rbo@10, hr@5, map@7, t-percentile]"])
    assert {(t.threat.surface, str(t.metric)) for t in plan.ranking} == {
        ("embedding", "hr@5"),
        ("interactions", "t-percentile"),
    }
    _, plan = load(BASE, ["metrics=[rbo@10]"])
    assert plan.ranking == ()


def test_overrides_pick_entries_by_name_or_index(load):
    suite, _ = load(BASE, ["models.popularity.label=pop", "attacks[0].steps=7", "seeds=[3]", "attacks.1.epsilon=1e-2"])
    assert suite.models[0].label == "pop"
    assert suite.attacks[0].part.config["steps"] == 7
    assert suite.seeds == (3,)
    assert suite.attacks[1].epsilons == (0.01,)
    for wrong in ("models.nobody.x=1", "nonsense", "name.x.y=2"):
        with pytest.raises(UserError, match="--set"):
            load(BASE, [wrong])


def test_only_keeps_what_matches(load):
    _, plan = load(BASE)
    picked = select_cells(plan.cells, ["model=mf", "seed=0"])
    assert picked
    assert all(c.victim.model.name == "mf" and c.victim.seed == 0 for c in picked)
    assert {c.victim.model.name for c in select_cells(plan.cells, ["model=mf", "model=popularity"])} == {
        "mf",
        "popularity",
    }
    assert select_cells(plan.cells, []) == list(plan.cells)


def test_only_keeps_the_clean_cells_that_tables_need(load):
    _, plan = load(BASE)
    only = ["attack_label=pgd[norm=linf]", "model_label=mf[factors=8]"]
    picked = [c.columns() for c in select_cells(plan.cells, only)]
    # Two defences with two seeds give four victims, each with a clean cell and an attacked cell.
    assert [c["attack_label"] for c in picked] == ["none", "pgd[norm=linf]"] * 4
    poisoned = [c.columns() for c in select_cells(plan.cells, ["attack=bandwagon", "model=popularity", "lambda=1"])]
    assert [(c["attack"], c["seed"]) for c in poisoned] == [
        ("none", 0),
        ("bandwagon", 0),
        ("none", 1),
        ("bandwagon", 1),
    ]


@pytest.mark.parametrize(
    ("conditions", "problem"),
    [
        (["modl=mf"], "did you mean 'model'"),
        (["mf"], "key=value"),
        (["model=mff"], "no cell has model 'mff' (did you mean 'mf'?"),
        (["model=mf", "model=lstm"], "no cell has model 'lstm'"),
        (["epsilon=0.3"], "no cell has epsilon '0.3' (known: 0, 0.01, 0.05)"),
        (["attack=bandwagon", "norm=l2"], "no cell matches all of them"),
    ],
)
def test_only_that_matches_nothing_is_told(load, conditions, problem):
    _, plan = load(BASE)
    with pytest.raises(UserError) as caught:
        select_cells(plan.cells, conditions)
    assert problem in str(caught.value)


def test_only_takes_labels_that_look_like_numbers(load):
    _, plan = load(BASE.replace("{name: popularity}", "{name: popularity, label: '007'}"))
    assert {c.victim.model.name for c in select_cells(plan.cells, ["model=007"])} == {"popularity"}


class Shuffle(Corruption):
    """A corruption of real users' interactions, without targets."""

    def corrupt(self, train: Any, **given: Any) -> Any: ...


class Rewrite(Attack):
    """An attack of a kind that robench cannot measure."""

    surface = "history"
    stage = "test"

    def threat(self) -> Threat:
        return Threat("history", "test", "edits")


def test_attacks_of_other_kinds(load, registry):
    registry.entries["attack"] += [Entry("shuffle", "mine:x", Shuffle), Entry("reword", "mine:x", Rewrite)]
    attacks = "attacks: [{name: shuffle, epsilon: 0.1}, {name: reword, epsilon: 3}, {name: bandwagon, epsilon: 0.1}]\n"
    text = "name: t\ndatasets: [synthetic]\nmodels: [mf]\ntargets: {count: 2, sets: 3}\n" + attacks
    _, plan = load(text)
    cells = [(c.columns()["attack"], c.columns()["target_set"], c.skip) for c in plan.cells]
    assert cells == [
        ("none", None, ""),
        ("mine/reword", None, "this version measures no attack like reword on 'history' at test time"),
        ("mine/shuffle", 0, ""),
        ("bandwagon", 0, ""),
        ("bandwagon", 1, ""),
        ("bandwagon", 2, ""),
    ]


class Climber(EmbeddingAttack):
    """A gradient attack from another package."""

    gradient = True

    def perturb(self, oracle: Any, ball: Any, rng: Any) -> Any: ...


class Dice(EmbeddingAttack):
    """A random attack from another package."""

    heuristic_floor = True

    def perturb(self, oracle: Any, ball: Any, rng: Any) -> Any: ...


def test_the_plan_says_what_kind_every_attack_is(load, registry):
    registry.entries["attack"] += [Entry("climber", "mine:x", Climber), Entry("dice", "mine:x", Dice)]
    names = ["climber", "dice", "fgsm", "pgd", "cw", "random-noise", "bandwagon"]
    attacks = "".join(f"  - {{name: {name}, epsilon: 0.1}}\n" for name in names)
    _, plan = load("name: t\ndatasets: [synthetic]\nmodels: [mf]\nattacks:\n" + attacks)
    assert {cell["attack"]: cell["kind"] for cell in plan.to_json()["cells"]} == {
        "none": "",
        "mine/climber": "gradient",
        "mine/dice": "floor",
        "fgsm": "gradient",
        "pgd": "gradient",
        "cw": "minimum-norm",
        "random-noise": "floor",
        "bandwagon": "",
    }
    assert all(cell_from_payload(cell_to_payload(cell)) == cell for cell in plan.cells)
