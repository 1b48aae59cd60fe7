"""Tests which attacks, defences and tables fit the models of a suite."""

import pytest

from robench.api import Defense, PoisoningAttack, TorchModel
from robench.api.attacks.poisoning import AdaptivePoisoningConfig, ModelKnowledgeConfig, PoisoningConfig
from robench.api.codec import encode
from robench.api.errors import UserError
from robench.api.metric import Measure
from robench.host.discovery import Host
from robench.host.registry import Entry, Registry
from robench.plan.parts import PlannedAttack
from robench.plan.plan import make_plan, name_surrogate
from robench.run.task import cell_from_payload, cell_to_payload
from robench.spec import NO_DEFENSE, Part
from robench.suite.load import load_suite
from robench_plugins.models.mf import MatrixFactorization


@pytest.fixture
def registry():
    return Registry.of(Host.discover())


@pytest.fixture
def load(tmp_path, registry):
    def load(attacks, models="[mf]", more=""):
        path = tmp_path / "t.yaml"
        path.write_text(f"name: t\ndatasets: [synthetic]\nmodels: {models}\nattacks: {attacks}\n{more}\n")
        return make_plan(load_suite(path, registry), registry)

    return load


def skips(plan):
    return {(c.victim.model.name, c.columns()["attack"]): c.skip for c in plan.cells if c.attack is not None}


def test_an_attack_touches_only_a_surface_that_the_model_has(load):
    attacks = "[{name: random-edit, epsilon: 1}, {name: pgd, surface: parameters, epsilon: 0.1}]"
    reasons = skips(load(attacks, "[mf, item-knn, lstm, popularity]"))
    assert [key for key, why in reasons.items() if not why] == [
        ("mf", "pgd"),
        ("item-knn", "random-edit"),
        ("lstm", "random-edit"),
        ("lstm", "pgd"),
    ]
    assert reasons["mf", "random-edit"] == "mf has no surface 'history' for random-edit"
    assert reasons["item-knn", "pgd"] == "item-knn has no surface 'parameters' for pgd"


def test_a_gradient_attack_on_histories_needs_a_gradient(load):
    reasons = skips(load("[{name: greedy-gradient, epsilon: 1}, {name: greedy-edit, epsilon: 1}]", "[ease, sasrec]"))
    assert reasons["ease", "greedy-gradient"] == "ease has no gradient for greedy-gradient"
    assert not reasons["ease", "greedy-edit"]
    assert not reasons["sasrec", "greedy-gradient"]


def test_a_defence_around_a_neural_model_leaves_others_out(load):
    plan = load("[]", "[ease, mf]", "defenses: [none, smoothing]")
    reasons = {(c.victim.model.name, c.victim.defense.name): c.skip for c in plan.cells}
    assert reasons["ease", "smoothing"] == "ease is not neural, so smoothing does not fit"
    assert not reasons["mf", "smoothing"]


class Bare(MatrixFactorization):
    """A neural model that offers no margins for training."""

    margins_from = TorchModel.margins_from


def test_a_defence_says_what_a_model_lacks_for_it(load, registry):
    registry.entries["model"].append(Entry("bare", "robench:x", Bare))
    defenses = "defenses: [none, adversarial-training, {name: adversarial-training, loss: hinge}, normalise]"
    plan = load("[]", "[ease, mf, bare]", defenses)
    reasons = {(c.victim.model.name, c.victim.defense.label): c.skip for c in plan.cells if c.skip}
    own, hinge = "adversarial-training[loss=own]", "adversarial-training[loss=hinge]"
    assert reasons == {
        ("ease", own): f"ease has no training loss, so {own} does not fit",
        ("ease", hinge): f"ease has no training loss, so {hinge} does not fit",
        ("bare", hinge): f"bare has no margins, which the hinge loss needs, so {hinge} does not fit",
        **{(name, "normalise"): f"{name} reads no texts, so normalise does not fit" for name in ("ease", "mf", "bare")},
    }


class Late(Defense):
    """A defence with a warm-up that never ends."""

    def loss(self, step): ...

    def settled(self, epoch):
        return False


def test_a_defence_that_never_settles_is_refused_at_its_entry(load, registry):
    registry.entries["defense"].append(Entry("late", "mine:x", Late))
    with pytest.raises(UserError) as caught:
        load("[]", "[{name: mf, epochs: 3}]", "defenses: [none, late]")
    assert str(caught.value).endswith(
        "defenses[1]: mf trains for 3 epochs, and late is still warming up after them (give the model more epochs)"
    )


def test_the_undefended_twin_is_the_defence_that_overrides_nothing(registry):
    cls = registry.class_of("defense", NO_DEFENSE.name)
    assert cls.Config.model_fields == {}
    methods = [name for name, value in vars(Defense).items() if callable(value) and not name.startswith("_")]
    assert not any(cls.overrides(name) for name in methods if name != "overrides")


def test_promotion_at_test_time_has_a_cell_per_target_set_and_travels(load):
    attacks = "[{name: pgd, goal: promote, epsilon: [0.1, 0.2]}, {name: fgsm, epsilon: 0.1}]"
    plan = load(attacks, more="targets: {count: 2, sets: 3}")
    cells = [(c.columns()["attack"], c.epsilon, c.target_set) for c in plan.cells]
    assert cells == [
        ("none", 0.0, None),
        *(("pgd", e, number) for e in (0.1, 0.2) for number in (0, 1, 2)),
        ("fgsm", 0.1, None),
    ]
    assert len({c.id for c in plan.cells}) == len(plan.cells)
    assert all(cell_from_payload(cell_to_payload(c)) == c for c in plan.cells)
    assert [(t.threat.goal, str(t.metric)) for t in plan.ranking] == [("promote", "t-hr@10"), ("untargeted", "ndcg@10")]


@pytest.mark.parametrize(
    ("ranking", "problem"),
    [
        ("{surface: embedding, goal: promote, metric: ndcg@10, epsilon: 0.1}", "where items are promoted at test time"),
        ("{surface: embedding, goal: untargeted, metric: t-hr@10, epsilon: 0.1}", "where items are promoted"),
    ],
)
def test_a_table_of_a_metric_that_is_not_measured_is_refused(load, ranking, problem):
    attacks = "[{name: pgd, goal: promote, epsilon: 0.1}, {name: pgd, epsilon: 0.1}]"
    with pytest.raises(UserError, match=problem):
        load(attacks, more=f"ranking: [{ranking}]")


@pytest.mark.parametrize(
    ("attack", "problem"),
    [
        ("{name: auto, surface: history, epsilon: [1, 0.05]}", "a number of edits is whole"),
        ("{name: random-edit, epsilon: 1.5}", "a number of edits is whole"),
        ("{name: pgd, positives: known, epsilon: 0.1}", "surface parameters"),
        ("{name: pgd, surface: parameters, positives: known, epsilon: 0.1}", "write loss: bpr"),
        (
            "{name: pgd, surface: parameters, positives: known, loss: bpr, goal: promote, epsilon: 1}",
            "goal: promote does not go with positives: known",
        ),
        ("{name: cw, surface: parameters, epsilon: 0.1}", "surface"),
        (
            "{name: auto, unit: fraction, epsilon: 0.1}",
            "unit fraction belongs to the surface history, not to embedding",
        ),
    ],
)
def test_a_budget_or_setting_that_means_nothing_is_refused(load, attack, problem):
    with pytest.raises(UserError, match=problem):
        load(f"[{attack}]", "[lstm]")


def test_a_share_of_a_history_may_be_any(load):
    load("[{name: random-edit, unit: fraction, epsilon: 0.05}]", "[lstm]")


@pytest.mark.parametrize(
    ("metric", "fine"), [("ndcg@10", True), ("ndcg@5", True), ("ndcg@20", False), ("recall@50", False)]
)
def test_a_table_asks_an_ensemble_for_metrics_within_k_only(load, metric, fine):
    ranking = f"metrics: [{metric}]\nranking: [{{surface: embedding, norm: l2, metric: {metric}, epsilon: 0.1}}]"
    if fine:
        assert load("[{name: auto, epsilon: 0.1}]", more=ranking).ranking[0].metric == Measure.parse(metric)
    else:
        with pytest.raises(UserError, match="within k = 10"):
            load("[{name: auto, epsilon: 0.1}]", more=ranking)


def test_a_table_of_histories_means_whole_edits_unless_it_says_otherwise(load):
    attacks = (
        "[{name: auto, surface: history, epsilon: 1}, {name: auto, surface: history, unit: fraction, epsilon: 0.1}]"
    )
    plan = load(
        attacks,
        "[lstm]",
        "ranking: [{surface: history, epsilon: 1}, {surface: history, scale: relative, epsilon: 0.1}]",
    )
    assert [t.threat.scale for t in plan.ranking] == ["absolute", "relative"]


def test_auto_is_of_the_threat_model_of_its_surface(load):
    attacks = "[{name: auto, surface: history, unit: fraction, epsilon: 0.1}, {name: auto, norm: linf, epsilon: 0.1}]"
    plan = load(attacks, "[lstm]")
    threats = [c.threat for c in plan.cells if c.attack is not None]
    assert [(t.surface, t.norm, t.scale) for t in threats] == [
        ("history", "edits", "relative"),
        ("embedding", "linf", "relative"),
    ]
    assert {c.kind for c in plan.cells if c.attack is not None} == {"ensemble"}
    (first, *_) = (c for c in plan.cells if c.attack is not None)
    assert first.attack.config["version"] == 2


def test_rules_for_edits_make_tables_of_their_own(load):
    rules = ["", ", place: end", ", plausible: 0.1", ", white_box: true"]
    attacks = ", ".join(f"{{name: auto, surface: history, epsilon: 1{rule}}}" for rule in rules)
    norms = ["edits", "edits-at-end", "edits-plausible-0.1", "edits-white-box"]
    ranking = ", ".join(f"{{surface: history, norm: {norm}, epsilon: 1}}" for norm in norms)
    plan = load(f"[{attacks}]", "[ease, lstm]", f"ranking: [{ranking}]")
    assert [table.threat.norm for table in plan.ranking] == norms
    assert [table.threat.ranks_models for table in plan.ranking] == [True, True, True, False]
    rows = {cell.id: cell.row() for cell in plan.cells}
    assert len(rows) == 2 * (1 + len(norms))
    assert all(row.threat == cell.threat for cell in plan.cells if (row := rows[cell.id]).surface)
    with pytest.raises(UserError, match="several threat models are meant"):
        load(f"[{attacks}]", "[ease]", "ranking: [{surface: history, epsilon: 1}]")


def test_knowledge_and_goals_of_fake_users_make_tables_of_their_own(load):
    rules = ["", ", knowledge: {data: 0.2}", ", goal: demote", ", goal: degrade"]
    attacks = ", ".join(f"{{name: bandwagon, epsilon: 0.05{rule}}}" for rule in rules)
    entries = [
        "norm: users, goal: promote, metric: t-hr@10",
        "norm: users-seen-0.2, goal: promote, metric: t-hr@10",
        "goal: demote, metric: t-hr@10",
        "goal: untargeted, metric: ndcg@10",
    ]
    ranking = ", ".join(f"{{surface: interactions, {entry}, epsilon: 0.05}}" for entry in entries)
    plan = load(f"[{attacks}]", "[ease]", f"targets: {{sets: 2}}\nranking: [{ranking}]")
    threats = [(table.threat.norm, table.threat.goal) for table in plan.ranking]
    assert threats == [
        ("users", "promote"),
        ("users-seen-0.2", "promote"),
        ("users", "demote"),
        ("users", "untargeted"),
    ]
    # An untargeted attack has no targets, so a second set would repeat the same victim.
    assert [cell.victim.poison.target_set for cell in plan.cells if cell.victim.poison] == [0, 1, 0, 1, 0, 1, 0]
    assert {cell.victim.poison.attack.label for cell in plan.cells if cell.victim.poison} == {
        "bandwagon",
        "bandwagon[knowledge.data=0.2]",
        "bandwagon[goal=demote]",
        "bandwagon[goal=untargeted]",
    }
    with pytest.raises(UserError, match="several threat models are meant"):
        load(f"[{attacks}]", "[ease]", "ranking: [{surface: interactions, goal: promote, metric: t-hr@10, epsilon: 1}]")


def test_the_plan_names_the_surrogate_of_each_attack(load):
    attacks = ["bandwagon", "revadv", "revadv, surrogate: item-ae", "pga", "dpa2dl"]
    plan = load(f"[{', '.join(f'{{name: {attack}, epsilon: 0.05}}' for attack in attacks)}]", "[wmf, ease]")
    named = {(row.attack_label, row.surrogate) for cell in plan.cells if (row := cell.row()).stage == "train"}
    assert named == {
        ("bandwagon", ""),
        ("revadv", "wmf"),
        ("revadv[surrogate=item-ae]", "item-ae"),
        ("pga", "wmf"),
        ("dpa2dl", "pointwise mf"),
    }
    bandwagon = next(row for cell in plan.cells if (row := cell.row()).attack == "bandwagon")
    assert "surrogate" not in encode(bandwagon), "plans of other attacks stay as they were"


def test_the_surrogate_of_an_attack_on_the_victim_s_pipeline_is_the_victim_s_model(load):
    class Adaptive(PoisoningAttack):
        Config = AdaptivePoisoningConfig

        def profiles(self, train, **of):
            raise AssertionError

    class Suspicious(Adaptive):
        """An attack that knows the defence and fits no model."""

        class Config(PoisoningConfig):
            knowledge: ModelKnowledgeConfig = ModelKnowledgeConfig()

    plan = load("[{name: bandwagon, epsilon: 0.05}]", "[wmf, ease]")
    names = []
    for cls, knowledge in [*((Adaptive, one) for one in ("none", "surrogate", "victim")), (Suspicious, "surrogate")]:
        attack = cls.make(knowledge={"model": knowledge})
        planned = PlannedAttack(Part("adaptive", {}, "adaptive"), attack, True, attack.threat(), (0.05,))
        names.append([name_surrogate(planned, cell.victim) for cell in plan.cells if cell.victim.poison])
    assert names == [["", ""], ["wmf", "ease"], ["wmf", "ease"], ["", ""]]
