"""Tests how suites are loaded: defaults, grids, labels and mistakes.

Every mistake is reported with its place in the file.
"""

import types
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, model_validator

from robench.api import BaseConfig, Dataset, Defense, EmbeddingAttack, Model, hookimpl
from robench.api.errors import UserError
from robench.host.discovery import Host
from robench.host.registry import Entry, Registry
from robench.suite.load import Suite, build_suite
from robench.suite.paths import anchor_paths
from robench.suite.yaml import dump, parse


class Table(Dataset):
    """A data set without data."""

    class Config(BaseConfig):
        path: Path = Path("table.csv")
        items: Path | None = None
        rows: int = 3

    def load(self) -> Any: ...
    def fingerprint(self) -> str: ...


class Toy(Model):
    """A model with one setting of each simple type."""

    class Config(BaseConfig):
        factors: int = Field(default=8, ge=1)
        rate: float = 0.5
        shuffle: bool = True
        note: str = "x"

        @model_validator(mode="after")
        def _related(self) -> Any:
            if self.factors > 100 and self.rate > 1:
                raise ValueError("factors over 100 need a rate of at most 1")
            return self

    def fit(self, data: Any, rng: Any) -> None: ...
    def scores(self, users: Any, history: Any) -> Any: ...
    def state(self) -> Any: ...
    def restore(self, data: Any, state: Any, rng: Any) -> None: ...


class Push(EmbeddingAttack):
    """An attack that refuses some settings when robench asks for the threat model."""

    def perturb(self, oracle: Any, ball: Any, rng: Any) -> Any: ...

    def threat(self) -> Any:
        if self.config.k == 13:
            raise ValueError("13 is not a k")
        if self.config.k == 14:
            raise RuntimeError("no 14")
        return super().threat()


class Shield(Defense):
    """A defence with the settings λ, ε and norm."""

    class Config(BaseConfig):
        lambda_: float = Field(default=0.5, ge=0, le=1, alias="lambda")
        epsilon: float = Field(default=0.05, ge=0)
        norm: str = "l2"


class Nothing(Defense):
    """A defence that changes nothing."""


METRICS = {entry.name: entry.target for entry in Registry.of(Host.discover()).entries["metric"]}


def registry() -> Registry:
    offers = {
        "robench_datasets": {"table": Table},
        "robench_models": {"toy": Toy},
        "robench_attacks": {"push": Push},
        "robench_defenses": {"none": Nothing, "shield": Shield},
        "robench_metrics": METRICS,
    }
    plugin = types.ModuleType("plugin")
    for name, value in offers.items():
        setattr(plugin, name, hookimpl(lambda value=value: value))
    return Registry.of(Host.with_plugins({"robench:toys": plugin}))


REGISTRY = registry()
HEAD = "name: t\ndatasets: [table]\n"


def suite(text: str, using: Registry = REGISTRY) -> Suite:
    return build_suite(parse(text, "t.yaml"), Path("some") / "t.yaml", using)


def mistakes(text: str, using: Registry = REGISTRY) -> list[str]:
    with pytest.raises(UserError) as caught:
        suite(text, using)
    return str(caught.value).splitlines()


def test_defaults():
    loaded = suite("datasets: [table]\nmodels: [toy]\n")
    assert loaded.name == "t"
    assert (loaded.seeds, loaded.threads, loaded.device) == ((0,), 1, "auto")
    assert loaded.split.content() == {"name": "leave-last-out", "config": {"seed": 0}}
    assert [d.name for d in loaded.defenses] == ["none"]
    assert loaded.targets.content() == {"count": 5, "pick": "unpopular", "sets": 1}
    assert loaded.metrics[0] == "ndcg@10"
    assert loaded.users is None
    assert loaded.ranking is None
    assert loaded.folder == Path("some")
    assert loaded.models[0].owner == "robench:toys"


@pytest.mark.parametrize(
    ("split", "config"),
    [
        ("random-ratio", {"ratios": [8.0, 1.0, 1.0], "seed": 0}),
        ("{name: random-ratio, ratios: [8, 1, 1]}", {"ratios": [8.0, 1.0, 1.0], "seed": 0}),
        ("{name: global-time, test: 0.2}", {"validation": 0.1, "test": 0.2, "seed": 0}),
        ("{name: leave-last-out, seed: 3}", {"seed": 3}),
        ("{name: leave-last-out, n: 1}", {"seed": 0}),
        ("{name: leave-last-out, n: 2}", {"n": 2, "seed": 0}),
        ("files", {}),
        ("{name: files, train: a.csv, test: b/c.csv}", {"train": "a.csv", "test": "b/c.csv"}),
    ],
)
def test_splits(split, config):
    assert suite(HEAD + f"models: [toy]\nsplit: {split}\n").split.config == config


def test_grids_multiply_and_labels_tell_them_apart():
    loaded = suite(HEAD + "models: [{name: toy, note: y, grid: {factors: [1, 2], rate: [0.1, 0.2]}}, {name: toy}]\n")
    assert [m.label for m in loaded.models] == [
        "toy[factors=1,rate=0.1,note=y]",
        "toy[factors=1,rate=0.2,note=y]",
        "toy[factors=2,rate=0.1,note=y]",
        "toy[factors=2,rate=0.2,note=y]",
        "toy[factors=8,rate=0.5,note=x]",
    ]
    assert loaded.models[0].passed == {"note": "y", "factors": 1, "rate": 0.1}
    assert loaded.models[0].config == {"factors": 1, "rate": 0.1, "shuffle": True, "note": "y"}


def test_values_that_print_alike_get_labels_of_their_own():
    loaded = suite(HEAD + "models: [{name: toy, grid: {rate: [0.1, 0.1000000001]}}]\n")
    assert [m.label for m in loaded.models] == ["toy[rate=0.1]", "toy[rate=0.1000000001]"]


def test_strengths_of_a_defence_share_a_label_and_other_settings_do_not():
    loaded = suite(HEAD + "models: [toy]\ndefenses: [{name: shield, lambda: [0.5, 0.7], grid: {norm: [l2, linf]}}]\n")
    assert {(d.label, d.config["lambda"]) for d in loaded.defenses} == {
        ("shield[norm=l2]", 0.5),
        ("shield[norm=l2]", 0.7),
        ("shield[norm=linf]", 0.5),
        ("shield[norm=linf]", 0.7),
    }


@pytest.mark.parametrize("defenses", ["{name: shield, lambda: 1}", "{name: shield, lambda: 1.0}, none"])
def test_lambda_one_is_none(defenses):
    loaded = suite(HEAD + f"models: [toy]\ndefenses: [{defenses}]\n")
    assert [(d.name, d.label, d.config) for d in loaded.defenses] == [("none", "none", {})]


def test_lambda_one_gives_way_to_a_none_with_a_label():
    text = HEAD + "models: [toy]\ndefenses: [{name: shield, lambda: [1, 0.5]}, {name: none, label: bare}]\n"
    assert [d.label for d in suite(text).defenses] == ["shield", "bare"]


def test_an_attack_may_stand_twice_with_other_budgets():
    loaded = suite(HEAD + "models: [toy]\nattacks: [{name: push, epsilon: 0.1}, {name: push, epsilon: [0.2, 0]}]\n")
    assert [(a.part.label, a.epsilons) for a in loaded.attacks] == [("push", (0.1,)), ("push", (0.2, 0.0))]
    assert "epsilon" not in loaded.attacks[0].part.config
    inside = suite(HEAD + "models: [toy]\nattacks: [{name: push, grid: {epsilon: [0.1, 0.2], k: [5, 10]}}]\n")
    assert [(a.part.label, a.epsilons) for a in inside.attacks] == [
        ("push[k=5]", (0.1, 0.2)),
        ("push[k=10]", (0.1, 0.2)),
    ]


def test_a_qualified_name_means_the_same_part():
    plain, qualified = suite(HEAD + "models: [toy]\n"), suite(HEAD + "models: [robench/toy]\n")
    assert plain.models == qualified.models


@given(
    seeds=st.lists(st.integers(0, 5), min_size=1, max_size=3, unique=True),
    factors=st.lists(st.integers(1, 50), min_size=1, max_size=3, unique=True),
    rates=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=2, unique=True),
    weights=st.lists(st.floats(0, 1), min_size=1, max_size=3, unique=True),
    budgets=st.lists(st.floats(0, 1e3), min_size=1, max_size=3, unique=True),
    note=st.sampled_from(["8/255", "1e-3", "on", "012", "a: b", "é", ""]),
)
def test_the_resolved_suite_means_the_same(seeds, factors, rates, weights, budgets, note):
    tree = parse(HEAD, "t.yaml")
    tree.data |= {
        "seeds": seeds,
        "models": [{"name": "toy", "note": note, "grid": {"factors": factors, "rate": rates}}],
        "defenses": [{"name": "shield", "lambda": weights}],
        "attacks": [{"name": "push", "epsilon": budgets, "norm": "linf"}, {"name": "push", "epsilon": budgets}],
        "users": {"sample": 5},
    }
    one = build_suite(tree, Path("t.yaml"), REGISTRY)
    two = suite(dump(one.resolved(REGISTRY)))
    assert two.resolved(REGISTRY) == one.resolved(REGISTRY)
    for name in ("datasets", "models", "defenses"):
        assert [(p.content(), p.label) for p in getattr(two, name)] == [
            (p.content(), p.label) for p in getattr(one, name)
        ]
    assert [(a.part.content(), a.part.label, a.epsilons) for a in two.attacks] == [
        (a.part.content(), a.part.label, a.epsilons) for a in one.attacks
    ]
    assert (two.split.content(), two.users, two.metrics) == (one.split.content(), one.users, one.metrics)


MODELS = HEAD + "models: [toy]\n"
PLUGIN_FAILS = "attack 'push' of plugin robench:toys fails when its threat model is read: RuntimeError: no 14"
LONG = "ε" * 51
CASES = [
    (HEAD + "models:\n  - {name: toy, factors: true}\n", 4, "models[0].factors: must be a number, got true"),
    (HEAD + "models:\n  - name: toy\n    grid:\n      factors: [1, 0]\n", 6, "models[0].grid.factors"),
    (HEAD + "models:\n  - {name: toy, factors: 3, grid: {factors: [1]}}\n", 4, "given twice"),
    (HEAD + "models:\n  - {name: toy, grid: {factors: [1, 1]}}\n", 4, "names 1 twice (leave one out)"),
    (HEAD + "models:\n  - {name: toy, grid: {factors: 1}}\n", 4, "must be a list"),
    (HEAD + "models:\n  - {name: toy, grid: [1]}\n", 4, "grid must map"),
    (HEAD + "models:\n  - {name: toy, factors: 101, rate: 2}\n", 4, "models[0]: factors over 100 need a rate"),
    (HEAD + "models:\n  - {name: toy, label: 3}\n", 4, "a label must be text"),
    (HEAD + 'models:\n  - {name: toy, label: "a\\u0007b"}\n', 4, "a label must be printable, without line breaks"),
    (
        HEAD + f"models:\n  - {{name: toy, label: {'ε' * 51}}}\n",
        4,
        "a label must be at most 100 bytes in UTF-8, not 102",
    ),
    (HEAD + 'models:\n  - {name: toy, label: "a\\nb"}\n', 4, "a label must be printable, without line breaks"),
    (HEAD + "models:\n  - {nam: toy}\n", 4, "must name its plugin"),
    (HEAD + f"models:\n  - {{name: toy, grid: {{factors: {list(range(1, 1200))}}}}}\n", 4, "more than 1000 combin"),
    (HEAD + "models: [toy, {name: toy, label: b}]\n", 3, "the same as models[0]"),
    (HEAD + "models: {name: toy}\n", 3, "must be a list"),
    (MODELS + "defenses: [none, {name: none}]\n", 4, "the same as defenses[0]"),
    (MODELS + "defenses: []\n", 4, "the list is empty"),
    (MODELS + "defenses: [{name: shield, lambda: []}]\n", 4, "defenses[0].lambda: the grid is empty"),
    (MODELS + "attacks: [{name: push, epsilon: 0.1, k: 13}]\n", 4, "attacks[0]: 13 is not a k"),
    (MODELS + "attacks: [{name: push, epsilon: 0.1, k: 14}]\n", 4, PLUGIN_FAILS),
    (MODELS + "attacks: [{name: push, epsilon: yes}]\n", 4, "ε must be a number, got 'yes'"),
    (MODELS + "attacks: [{name: push, epsilon: true}]\n", 4, "ε must be a number, got True"),
    (MODELS + "attacks: [{name: push, epsilon: 1e999}]\n", 4, "ε must be a number"),
    (MODELS + "attacks: [{name: push, epsilon: [.1, 0.1]}]\n", 4, "names 0.1 twice"),
    (MODELS + "attacks: [{name: push, epsilon: [.1]}, {name: push, epsilon: [.2, .1]}]\n", 4, "same as attacks[0]"),
    (MODELS + "targets: {cuont: 3}\n", 4, "targets.cuont: unknown key 'cuont' (did you mean 'count'?"),
    (MODELS + "targets: {count: true}\n", 4, "targets.count"),
    (MODELS + "users: {seed: 1}\n", 4, "users: missing key 'sample'"),
    (MODELS + "split: [a]\n", 4, "split: a split is written by its name"),
    (MODELS + "split: {name: random-ratio, ratios: [1, 1]}\n", 4, "split.ratios"),
    (MODELS + "split: {name: random-ratio, ratios: [1, 0, 1]}\n", 4, "split.ratios[1]"),
    (MODELS + "split: {name: leave-last-out, n: 0}\n", 4, "split.n: must be greater than or equal to 1"),
    (MODELS + "split: {name: files, train: a.csv}\n", 4, "give train and test"),
    (MODELS + "split: {name: files, trian: a.csv, test: b.csv}\n", 4, "split.trian: unknown key"),
    (MODELS + "split: {name: files, train: '', test: b.csv}\n", 4, "split.train"),
    (
        MODELS.replace("[table]", "[table, {name: table, rows: 2}]") + "split: {name: files, train: a, test: b}\n",
        4,
        "split: the files are those of one data set, and the suite has 2",
    ),
    (MODELS + "split: {name: global-time, validation: 0.5, test: 0.5}\n", 4, "split: the shares of validation"),
    (MODELS + "metrics: [ndcg@010]\n", 4, "needs its k"),
    (MODELS + "metrics: [ndcg@²]\n", 4, "needs its k"),
    (MODELS + "metrics: [ndcg@5, ndcg@5]\n", 4, "metrics[1]: metric 'ndcg@5' is named twice"),
    (MODELS + "metrics: [rbo@20]\n", 4, "stored to 10 items"),
    (MODELS + "metrics: [t-percentile@10]\n", 4, "has no k (write t-percentile)"),
    (MODELS + "ranking: [{surface: embedding, epsilon: 1, metric: rbo@10}]\n", 4, "compares with the clean cell"),
    (MODELS + "ranking: [{surface: embedding, epsilon: 1, metric: map@10}]\n", 4, "not among the suite's metrics"),
    (MODELS + "ranking: [{surface: embedding, epsilom: 1, epsilon: 1}]\n", 4, "did you mean 'epsilon'"),
    (MODELS + "exclude: [toy]\n", 4, "exclude[0]"),
    (MODELS + "threads: 0\n", 4, "threads"),
    (MODELS + "name: 3\n", 4, "duplicate key 'name'"),
]


@pytest.mark.parametrize(("text", "line", "problem"), CASES, ids=[f"{case[2][:40]}" for case in CASES])
def test_a_mistake_is_one_line_with_its_place(text, line, problem):
    lines = mistakes(text)
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"t.yaml:{line}: ")
    assert problem in lines[0]


def test_the_same_table_twice_is_a_mistake():
    text = MODELS + "ranking:\n  - {surface: embedding, epsilon: 1}\n  - {surface: embedding, epsilon: 1, k: 10}\n"
    assert mistakes(text) == ["t.yaml:6: ranking[1]: the same table is asked for twice (remove one of them)"]


def test_every_bad_value_of_a_grid_is_told_once():
    lines = mistakes(HEAD + "models:\n  - {name: toy, grid: {factors: [0, -1], rate: [x, 1, 2]}}\n")
    assert len(lines) == 3
    assert {line.split(": ")[1] for line in lines} == {"models[0].grid.factors", "models[0].grid.rate"}


def test_a_label_that_another_entry_gets_by_itself_is_refused():
    text = HEAD + "models:\n  - {name: toy, grid: {factors: [1, 2]}}\n  - {name: toy, label: 'toy[factors=1]'}\n"
    assert mistakes(text) == [
        "t.yaml:5: models[1]: two entries would be called 'toy[factors=1]' (give it a label of its own)"
    ]


def test_a_clash_is_told_at_its_place_and_a_qualified_name_solves_it():
    class Other(Toy):
        """A component from another package."""

    entries = [Entry("toy", "a:x", Toy), Entry("toy", "b:x", Other)]
    both = Registry({**REGISTRY.entries, "model": entries}, {})
    assert mistakes(HEAD + "models: [toy]\n", both) == [
        "t.yaml:3: models[0].name: model 'toy' is offered by a:x and b:x (write a/toy or b/toy)"
    ]
    loaded = suite(HEAD + "models: [a/toy, b/toy]\n", both)
    assert [(m.name, m.label, m.owner) for m in loaded.models] == [("a/toy", "a/toy", "a:x"), ("b/toy", "b/toy", "b:x")]
    assert loaded.models[0].content() != loaded.models[1].content()


def test_relative_paths_are_anchored_for_loading_only(tmp_path):
    loaded = suite(HEAD.replace("[table]", "[{name: table, path: data/x.csv}]") + "models: [toy]\n")
    assert loaded.datasets[0].config == {"path": "data/x.csv", "items": None, "rows": 3}
    settings = anchor_paths(dict(loaded.datasets[0].config), Table.Config, tmp_path)
    assert settings == {"path": str(tmp_path / "data/x.csv"), "items": None, "rows": 3}
    assert anchor_paths({"path": "/abs/x.csv"}, Table.Config, tmp_path)["path"] == "/abs/x.csv"


def test_half_a_character_is_a_mistake_wherever_it_stands():
    lines = mistakes(HEAD + 'models: [toy]\nexclude:\n  - {model: "a\\ud800"}\n')
    assert lines[0] == "t.yaml:5: exclude[0].model: holds half a character (a lone surrogate)"


def test_listed_targets_are_one_set_and_stay_so_in_the_resolved_suite():
    loaded = suite(MODELS + "targets: {items: [318, b2]}\n")
    assert loaded.targets.content() == {"count": 2, "pick": "listed", "sets": 1, "items": ["318", "b2"]}
    again = suite(MODELS + f"targets: {loaded.targets.content()}\n")
    assert again.targets == loaded.targets
