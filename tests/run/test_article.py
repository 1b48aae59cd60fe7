"""Tests the claims of docs/findings/article.md that no other test covers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

from robench.api import Outcome
from robench.api.models.step import Step
from robench.api.rng import Rng
from robench.host.discovery import Host
from robench.host.registry import Registry
from robench.plan.plan import make_plan
from robench.suite.load import load_suite
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd
from robench_plugins.defenses.adversarial_training import AdversarialTraining
from robench_plugins.metrics.classification import LikeF1, LikePrecision, LikeRecall

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def suite():
    registry = Registry.of(Host.discover())
    loaded = load_suite(ROOT / "suites" / "article.yaml", registry)
    return loaded, make_plan(loaded, registry)


def test_the_suite_collects_cleans_and_splits_as_the_article_says(suite):
    loaded, _ = suite
    (data,) = loaded.datasets
    assert (data.name, data.config["min_user_interactions"], data.config["min_item_interactions"]) == (
        "movielens-small",
        5,
        20,
    )
    assert loaded.split.name == "leave-last-out"
    assert loaded.seeds == (0, 1, 2)


def test_the_suite_trains_attacks_first_in_one_step_and_defends_along_lambda(suite):
    loaded, plan = suite
    assert {m.name for m in loaded.models} == {"popularity", "lstm", "text-bert"}
    assert [entry.part.name for entry in loaded.attacks] == ["fgsm", "pgd"]
    strengths = {(c.victim.defense.name, c.victim.strength[0]) for c in plan.cells if c.victim.model.name == "lstm"}
    assert strengths >= {("none", 1.0), ("adversarial-training", 0.75), ("adversarial-training", 0.5)}
    assert set(plan.metrics) == {"accuracy", "like-precision", "like-recall", "like-f1", "ndcg@10", "hr@10"}


def test_titles_are_normalised_for_the_model_that_reads_them_alone(suite):
    _, plan = suite
    reads = {c.victim.model.name for c in plan.cells if c.victim.defense.name == "normalise" and not c.skip}
    assert reads == {"text-bert"}


@pytest.mark.parametrize("kind", [ReferencePairwise, ReferenceSequence])
@pytest.mark.parametrize("weight", [0.75, 0.5, 0.0])
def test_the_total_loss_is_lambda_original_plus_the_rest_robust(kind, weight):
    """The gradient of the total loss is ∇L_total = λ ∇L + (1 − λ) ∇L_robust.

    L is the loss on clean inputs. L_robust is the loss on inputs shifted by δ = ε · RMS · sign(∇L).
    """

    def step():
        data, _ = crowd()
        model = kind()
        model.initialise(data, Rng(0))
        model.train()
        return Step(model, next(iter(model.batches(data, Rng(1)))), 0, 0.0, Rng(3))

    mine, theirs = step(), step()
    AdversarialTraining.make(**{"lambda": weight, "epsilon": 0.3}).loss(theirs).backward()
    e = mine.embed()
    ((name, x),) = e.inputs.items()
    original = mine.losses(e).value.mean()
    (slope,) = torch.autograd.grad(original, x, retain_graph=True)
    real = e.valid[name].unsqueeze(-1)
    rms = x[real.expand_as(x)].detach().square().mean().sqrt()
    robust = mine.losses(mine.embed().plus({name: 0.3 * rms * slope.sign() * real})).value.mean()
    assert float(robust.detach()) > float(original.detach())
    (weight * original + (1 - weight) * robust).backward()
    for one, two in zip(mine.model.parameters(), theirs.model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad, rtol=1e-4, atol=1e-7)


def test_the_hinge_over_a_distance_to_the_label_rewards_wrong_predictions_and_the_margin_does_not():
    """The hinge as the article writes it, max(0, 1 − |y − p|), rewards errors.

    Here y is the label and p is the predicted probability. The hinge is 0 for the worst prediction and 1 for the best
    one.
    """
    right, wrong = 1.0, 0.0  # predictions p for a liked item, with the label y = 1
    literal = [max(0.0, 1 - abs(1 - p)) for p in (right, wrong)]
    assert literal == [1.0, 0.0]

    class Given:
        def __init__(self, margin):
            self.margin = margin

        def embed(self):
            return type("Inputs", (), {"plus": lambda e, delta: e})()

        def margins(self, e):
            return type("Losses", (), {"value": torch.tensor([self.margin])})()

        def perturb(self, e, **settings):
            return {}

    defense = AdversarialTraining.make(**{"lambda": 0.0, "loss": "hinge"})
    losses = [float(defense.total_loss(Given(margin))) for margin in (2.0, 1.0, 0.0, -1.0)]
    assert losses == [0.0, 0.0, 1.0, 2.0]


def test_f1_is_the_harmonic_mean_of_precision_and_recall():
    likes, dislikes = np.array([0.9, 0.8, 0.3, 0.7, 0.2]), np.array([0.6, 0.1, 0.2, 0.4, 0.3])
    found = Outcome(
        np.arange(6), np.ones(5, np.int64), np.zeros((5, 10)), np.full(5, 9), likes=likes, dislikes=dislikes
    )
    precision, recall, f1 = (float(m().per_user(found, 0).mean()) for m in (LikePrecision, LikeRecall, LikeF1))
    assert (precision, recall) == (pytest.approx(3 / 4), pytest.approx(3 / 5))
    assert f1 == pytest.approx(2 * precision * recall / (precision + recall))
    assert f1 == pytest.approx(f1_score([1] * 5 + [0] * 5, np.concatenate([likes, dislikes]) > 0.5))
