import numpy as np
import pytest

from robench.api import PluginError, Rng
from robench.engine.fit import training
from robench.engine.fit.loop import fit
from robench.testing import DefenseTests
from robench.testing.worlds import CPU, ReferencePairwise, ReferenceSequence, crowd, fitted
from robench_plugins.defenses.adversarial_training import AdversarialTraining
from robench_plugins.defenses.apr import Apr
from robench_plugins.defenses.gaussian import Gaussian
from robench_plugins.defenses.none import NoDefense
from robench_plugins.defenses.sam import Sam
from robench_plugins.defenses.trades import Trades
from robench_plugins.defenses.vat import Vat

DEFENSES = [AdversarialTraining, Apr, Vat, Trades, Sam, Gaussian]


class TestWarmUp(DefenseTests):
    defense = AdversarialTraining
    settings = {"epsilon": 0.1, "warmup": 1}


def states(kind, defense, epochs):
    """Returns the state of the model after each epoch, and the training report."""
    data, _ = crowd()
    model, states_by_epoch = kind.make(epochs=epochs), []
    rng = Rng(0).child("fit")

    def record(done, total):
        states_by_epoch.append({name: np.array(part) for name, part in model.state().items()})

    return states_by_epoch, fit(model, data, defense, rng, CPU, record)


def same(one, two):
    """Returns whether two states are equal bit for bit."""
    return all(np.array_equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("kind", [ReferencePairwise, ReferenceSequence])
@pytest.mark.parametrize("defense", DEFENSES)
def test_the_epochs_of_the_warm_up_are_the_undefended_ones(defense, kind):
    plain, _ = states(kind, NoDefense(), 4)
    warm, report = states(kind, defense.make(warmup=2, epsilon=0.3), 4)
    assert [same(one, two) for one, two in zip(plain, warm, strict=True)] == [True, True, False, False]
    assert report.best_epoch > 2


@pytest.mark.parametrize("warmup", [1, 3])
def test_weights_of_the_warm_up_are_never_selected(monkeypatch, warmup):
    """The validation value falls with every epoch.

    The best epoch is therefore the first epoch after the warm-up.
    """
    calls = []
    monkeypatch.setattr(training, "validation_ndcg", lambda *_, **__: calls.append(1) or 1 - 0.1 * len(calls))
    data, _ = crowd()
    _, report = fitted(ReferencePairwise.make(epochs=6, patience=9), data, AdversarialTraining.make(warmup=warmup))
    assert (report.best_epoch, len(calls)) == (warmup + 1, 6 - warmup)


def test_the_warm_up_costs_no_patience(monkeypatch):
    monkeypatch.setattr(training, "validation_ndcg", lambda *_, **__: 0.5)
    data, _ = crowd()
    defense = AdversarialTraining.make(warmup=4)
    _, report = fitted(ReferencePairwise.make(epochs=20, patience=2), data, defense)
    assert (report.best_epoch, report.epochs) == (5, 7)


def test_a_warm_up_as_long_as_the_training_is_refused():
    data, _ = crowd()
    with pytest.raises(PluginError, match="warming up"):
        fitted(ReferencePairwise.make(epochs=3), data, AdversarialTraining.make(warmup=3))


def test_at_lambda_one_the_warm_up_is_ignored():
    data, _ = crowd()
    _, plain = fitted(ReferencePairwise.make(epochs=3), data)
    _, warm = fitted(ReferencePairwise.make(epochs=3), data, AdversarialTraining.make(**{"lambda": 1.0, "warmup": 9}))
    assert plain == warm


def test_a_perturbation_that_lowers_the_loss_is_caught():
    class Lowering(AdversarialTraining):
        def total_loss(self, step):
            c, e = self.config, step.embed()
            delta = step.perturb(
                e,
                inner="fgsm",
                epsilon=c.epsilon,
                norm=c.norm,
                objective=lambda moved: -step.losses(moved).value.mean(),
            )
            return (1 - c.lambda_) * step.losses(e.plus(delta)).value.mean()

    class Tests(DefenseTests):
        defense = Lowering

    with pytest.raises(AssertionError):
        Tests().test_the_perturbed_loss_is_not_below_the_clean_one(ReferencePairwise)
