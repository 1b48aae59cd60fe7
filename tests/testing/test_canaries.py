"""Tests that the conformance classes detect planted faults.

The models, attacks and defences below have such faults. Similar faults have gone unnoticed in other projects.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.forked import conformance

from robench.api import Batch, Embedded, EmbeddingAttack, Rng, Step
from robench.testing import DefenseTests, EmbeddingAttackTests, ModelTests, TorchModelTests
from robench.testing.fitted_models import scores_of
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd, fitted, measured_victim
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.defenses.adversarial_training import AdversarialTraining
from robench_plugins.models.ease import Ease


class Detached(ReferencePairwise):
    """A model with a planted fault: no gradient reaches the inputs."""

    def score_from(self, batch: Batch, e: Embedded):
        return super().score_from(batch, Embedded({n: x.detach() for n, x in e.inputs.items()}, e.valid, e.context))


class Bypass(ReferencePairwise):
    """A model with a planted fault: the scores hardly use the perturbed input.

    The model looks up the user's vector again.
    """

    def score_from(self, batch: Batch, e: Embedded):
        own = self.user_vectors(batch.users)
        return (own + 1e-3 * e.inputs["user"]) @ e.context["items"].T


class Leaky(ReferenceSequence):
    """A model with a planted fault: padding affects the scores and may be perturbed."""

    def embed(self, batch: Batch):
        e = super().embed(batch)
        return Embedded(e.inputs, {"items": torch.ones_like(e.valid["items"])}, e.context)

    def states_at(self, batch, e, row, position):
        return super().states_at(batch, e, row, position) + e.inputs["items"].mean(1)[row]


class Blurred(Leaky):
    """A model with a planted fault: padding affects the scores.

    The model rightly declares that padding may not be perturbed.
    """

    def embed(self, batch: Batch):
        return ReferenceSequence.embed(self, batch)


class Idling(Leaky):
    """A model with a planted fault: padding may be perturbed.

    Padding rightly does not affect the scores.
    """

    def states_at(self, batch, e, row, position):
        return ReferenceSequence.states_at(self, batch, e, row, position)


class Uneven(Idling):
    """A model with a planted fault: the number of entries depends on the other users.

    Like ``Idling``, it declares that padding may be perturbed. The longest history of a batch decides how much padding
    the others get.
    """

    def last_items(self, users, history, length):
        items = super().last_items(users, history, length)
        return items[:, : max(1, int((items != self.n_items).sum(1).max()))]


class Deaf(ReferencePairwise):
    """A model with a planted fault: training ignores fake users.

    The poison therefore never reaches the loss.
    """

    def batches(self, data, rng):
        for b in super().batches(data, rng):
            real = b.users < data.n_real_users
            if real.all():
                yield b
            else:
                yield Batch(b.users[real], b.histories[real], {n: t[real] for n, t in b.targets.items()})


class Neighbourly(Ease):
    """A model with a planted fault: scores depend on the previous user of the call."""

    def scores(self, users, history):
        own = super().scores(users, history)
        return own + np.float32(0.3) * np.roll(own, 1, axis=0)


class Egalitarian(Ease):
    """A model with a planted fault: the scores of a call are centred over its users."""

    def scores(self, users, history):
        own = super().scores(users, history)
        return own - own.mean(0)


class Favourite(Ease):
    """A model with a planted fault: all users get the scores of the first user."""

    def scores(self, users, history):
        return super().scores(np.zeros_like(users), history)


@pytest.mark.parametrize("kind", [Neighbourly, Egalitarian, Favourite])
def test_a_model_whose_users_are_mixed_fails_its_conformance_test(kind):
    class Tests(ModelTests):
        model = kind

    with pytest.raises(AssertionError, match="who else is asked for"):
        Tests().test_a_user_gets_the_same_scores_alone_and_beside_others_in_any_order(Tests.fit_crowd())


class Narrow(Ease):
    """A model with a planted fault: the last two items have no scores."""

    def newcomers(self, history):
        return super().newcomers(history)[:, :-2]


class Everybody(Ease):
    """A model with a planted fault: all users are scored, whichever are requested."""

    def scores(self, users, history):
        return super().scores(np.arange(history.n_users), history)


class Double(Ease):
    """A model with a planted fault: the scores have double precision."""

    def scores(self, users, history):
        return super().scores(users, history).astype(np.float64)


def test_scores_of_a_wrong_width_are_told_in_words():
    class Tests(ModelTests):
        model = Narrow

    problem = r"newcomers\(\) gave shape \(40, 22\), not \(40, 24\): a row per user, a column per item"
    with pytest.raises(AssertionError, match=problem):
        Tests().test_a_newcomer_gets_what_its_items_ask_for()
    with pytest.raises(AssertionError, match=r"newcomers\(\) gave shape \(3, 38\), not \(3, 40\)"):
        Tests().test_newcomers_without_items_get_one_list(Tests.fit_crowd())


def test_scores_of_other_users_or_of_another_dtype_are_told_in_words():
    tests = [type("Tests", (ModelTests,), {"model": model})() for model in (Everybody, Double)]
    problems = (r"scores\(\) gave shape \(2, 40\), not \(1, 40\)", r"scores\(\) gave float64, not float32")
    data, _ = crowd(n_users=2)
    for test, problem in zip(tests, problems, strict=True):
        model, _ = fitted(test.make(), data)
        with pytest.raises(AssertionError, match=problem):
            scores_of(model, np.arange(1), data.train)


def test_conformance_runs_torch_on_one_thread_and_restores_the_number(tmp_path):
    """Only the tests of a conformance class run on one thread."""
    (tmp_path / "test_threads.py").write_text(
        "import torch\n"
        "torch.set_num_threads(3)\n"
        "from robench.testing import MetricTests\n"
        "from robench_plugins.metrics.ranking import Ndcg\n"
        "def test_before(): assert torch.get_num_threads() == 3\n"
        "class TestThreads(MetricTests):\n"
        "    metric = Ndcg\n"
        "    def test_threads(self): assert torch.get_num_threads() == 1\n"
        "def test_after(): assert torch.get_num_threads() == 3\n"
    )
    done = conformance(tmp_path, "-q", "test_threads.py")
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({"surfaces": "history"}, "must be a set of"),
        ({"surfaces": {"histroy"}}, "must be a set of"),
        ({"surfaces": {"history", "text"}}, "no rewritten"),
        ({"surfaces": {"history", "embedding"}}, "only a TorchModel"),
    ],
)
def test_a_model_that_declares_a_surface_it_has_not_is_no_class(declared, problem):
    with pytest.raises(TypeError, match=problem):
        type("Wrong", (Ease,), declared)


def suite_for(model_class):
    class Tests(TorchModelTests):
        model = model_class
        settings = {"epochs": 5}

    return Tests()


def prepared(tests):
    world = tests.fit_crowd()
    return world, measured_victim(*world)


def test_a_detached_model_fails_its_conformance_test():
    tests = suite_for(Detached)
    _, victim = prepared(tests)
    with pytest.raises(AssertionError, match="disconnected"):
        tests.test_every_valid_input_reaches_the_scores_and_no_other(victim)


@pytest.mark.parametrize(
    ("model", "problem"),
    [(Uneven, "add entries"), (Leaky, "padding of input"), (Blurred, "padding of input"), (Idling, "disconnected")],
)
def test_a_model_with_padding_that_counts_fails_its_conformance_test(model, problem):
    tests = suite_for(model)
    _, victim = prepared(tests)
    with pytest.raises(AssertionError, match=problem):
        tests.test_every_valid_input_reaches_the_scores_and_no_other(victim)


def test_a_model_with_a_bypass_fails_its_conformance_test():
    tests = suite_for(Bypass)
    _, victim = prepared(tests)
    with pytest.raises(AssertionError):
        tests.test_embeddings_of_another_user_give_that_users_scores(victim)


def test_a_model_that_never_sees_the_poison_fails_its_conformance_test():
    tests = suite_for(Deaf)
    world, _ = prepared(tests)
    with pytest.raises(AssertionError, match="fake users"):
        tests.test_a_poisoned_row_reaches_the_training_loss(world)


def test_honest_models_pass_the_same_tests():
    for model in (ReferencePairwise, ReferenceSequence):
        tests = suite_for(model)
        world, victim = prepared(tests)
        tests.test_every_valid_input_reaches_the_scores_and_no_other(victim)
        tests.test_embeddings_of_another_user_give_that_users_scores(victim)
        tests.test_a_poisoned_row_reaches_the_training_loss(world)


class Idle(EmbeddingAttack):
    """An attack with a planted fault: the proposal changes nothing."""

    def perturb(self, oracle, ball, rng):
        yield oracle.zero()


class Greedy(Fgsm):
    """An attack with a planted fault: the proposal has ten times the budget."""

    def perturb(self, oracle, ball, rng):
        yield from super().perturb(oracle, ball.shrunk(10), rng)


class Backwards(Fgsm):
    """An attack with a planted fault: the step descends the loss."""

    def perturb(self, oracle, ball, rng):
        for delta in super().perturb(oracle, ball, rng):
            yield {n: -part for n, part in delta.items()}


def attack_tests(attack_class):
    class Tests(EmbeddingAttackTests):
        attack = attack_class

    return Tests()


@pytest.mark.parametrize("victim", ["pairwise", "sequence"])
def test_false_attacks_fail_their_conformance_tests(victim):
    with pytest.raises(AssertionError):
        attack_tests(Idle).test_it_attacks(victim)
    with pytest.raises(AssertionError, match="had to project"):
        attack_tests(Greedy).test_the_budget_holds_without_the_hosts_help(victim, 0.05)
    with pytest.raises(AssertionError):
        attack_tests(Backwards).test_a_gradient_attack_beats_random_points_with_as_many_evaluations(victim)


class Clean(AdversarialTraining):
    """A defence with a planted fault: the robust loss is computed on clean inputs."""

    def loss(self, step):
        return step.losses(step.embed()).value.mean()


def test_a_defence_that_trains_on_clean_inputs_fails_its_conformance_test():
    class Tests(DefenseTests):
        defense = Clean

    with pytest.raises(AssertionError, match="not connected"):
        Tests().test_below_lambda_one_it_changes_the_model(ReferencePairwise)


@pytest.mark.parametrize("model", [ReferencePairwise, ReferenceSequence])
def test_the_robust_loss_is_on_perturbed_inputs_and_above_the_clean_one(model):
    """Compares losses at λ = 0, because the total is then the robust loss alone."""
    data, _ = crowd()
    trained, _ = fitted(model(), data)
    trained.train()
    for number, batch in enumerate(trained.batches(data, Rng(1))):
        clean = Step(trained, batch, 0, 0.0, Rng(number))
        before = float(clean.losses(clean.embed()).value.mean().detach())
        for inner in ("fgsm", "pgd"):
            defense = AdversarialTraining.make(**{"lambda": 0.0, "epsilon": 0.02, "inner": inner})
            step = Step(trained, batch, 0, 0.0, Rng(number))
            assert float(defense.loss(step).detach()) > before
            assert step.achieved["epsilon_share"] == pytest.approx(1, rel=1e-3)


def test_scores_of_a_planted_fake_user_reach_the_real_ones():
    data, _ = crowd()
    target = 7
    fakes = [[target, *range(0, 40, 4)]] * 30
    poisoned = replace(data, train=data.train.appended(fakes))
    clean, _ = fitted(ReferenceSequence(), data)
    dirty, _ = fitted(ReferenceSequence(), poisoned)
    one, two = (m.scores(np.arange(60), data.train) for m in (clean, dirty))
    assert not np.allclose(one, two)
