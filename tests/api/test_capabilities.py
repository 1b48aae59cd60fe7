"""Tests the defaults of the capabilities that the base classes declare.

Because every capability has a default, callers need no ``hasattr``.
"""

import pytest

from robench.api import (
    BaseConfig,
    Defense,
    Ensemble,
    PoisoningAttack,
    TextAttack,
    TorchModel,
    Wrapped,
)
from robench.api.attacks.base import Attack
from robench.testing.text_world import ReferenceText
from robench.testing.worlds import ReferencePairwise, ReferenceSequence
from robench_plugins.attacks.auto import Auto
from robench_plugins.attacks.embedding.fgsm import Fgsm
from robench_plugins.attacks.embedding.msap import Msap
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.history.greedy_gradient import GreedyGradient
from robench_plugins.attacks.text.prompt_injection import PromptInjection
from robench_plugins.attacks.text.typo import TypoAttack
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.popularity import Popularity


class Marginless(TorchModel):
    """A neural model without margins and logits."""


def test_a_plain_model_has_no_gradients_tables_margins_logits_or_slopes_by_tokens():
    assert not Popularity.neural
    assert not Popularity.has_margins()
    assert not Popularity.has_logits()
    assert Popularity.tables == Popularity.token_goals == ()


@pytest.mark.parametrize(("model", "margins"), [(ReferencePairwise, True), (Bert4Rec, True), (Marginless, False)])
def test_a_neural_model_says_so_and_has_the_margins_and_logits_that_it_computes(model, margins):
    assert model.neural
    assert model.has_margins() is margins
    assert model.has_logits() is margins


def test_a_wrapped_model_has_the_capabilities_of_the_inner_one():
    inner = ReferenceText()
    wrapped = Wrapped(inner)
    assert wrapped.neural
    assert wrapped.token_goals == inner.token_goals == ("promote", "untargeted")
    assert wrapped.tables == ()
    assert Wrapped(ReferenceSequence()).tables == ("inner.item_table.weight",)


@pytest.mark.parametrize(
    ("attack", "expectation", "steps", "positives"),
    [
        (Pgd.make(steps=7, expectation=3), 3, 7, "held-out"),
        (Fgsm.make(), 1, None, "held-out"),
        (Msap.make(surface="parameters"), 1, 25, "known"),
        (GreedyGradient.make(expectation=2), 2, None, "held-out"),
        (TypoAttack.make(), 1, None, "held-out"),
        (Auto.make(), 1, None, "held-out"),
    ],
)
def test_an_attack_tells_its_settings_or_their_defaults(attack, expectation, steps, positives):
    assert (attack.expectation(), attack.steps(), attack.positives()) == (expectation, steps, positives)


def test_only_an_attack_that_writes_instructions_says_so():
    assert PromptInjection.instructs
    assert not any(kind.instructs for kind in (Attack, TextAttack, Ensemble, PoisoningAttack, TypoAttack))


def test_a_setting_is_read_from_the_instance_and_has_a_default():
    class Mine(Defense):
        class Config(BaseConfig):
            epsilon: float = 0.2

    assert Mine.has_setting("epsilon")
    assert not Mine.has_setting("lambda_")
    assert Mine.make(epsilon=0.5).strength() == (1.0, 0.5)
    assert Defense().strength() == (1.0, None)
    assert Mine().setting("no_such", "default") == "default"
    assert Defense(Mine.make(epsilon=0.3).config).setting("epsilon", 0.0) == 0.3, "of the config at hand"


def test_a_plain_model_that_declares_embeddings_is_no_class():
    with pytest.raises(TypeError, match="only a TorchModel"):
        type("Wrong", (Popularity,), {"surfaces": frozenset({"embedding"})})
