import math

import pytest
import torch
from tests.plugins.defenses.first_step import first_step, triple_step

from robench.api import PluginError
from robench.testing import DefenseTests
from robench.testing.worlds import ReferencePairwise, ReferenceSequence, crowd, fitted
from robench_plugins.defenses.apr import Apr
from robench_plugins.models.bert4rec import Bert4Rec
from robench_plugins.models.lightgcn import LightGcn
from robench_plugins.models.lstm import Lstm
from robench_plugins.models.multi_vae import MultiVae
from robench_plugins.models.neumf import NeuMf


class TestApr(DefenseTests):
    defense = Apr
    settings = {"epsilon": 0.1, "scale": "absolute"}


class TestAprRelative(DefenseTests):
    defense = Apr
    settings = {"epsilon": 0.1, "shortcut": False, "warmup": 1}


def perturbed(defense, step):
    """Returns the gradients with respect to the tables, and the shifts of the tables.

    The defence computes the shifts from the gradients.
    """
    gradients = step.table_gradients(step.losses(step.embed()).value.mean())
    return gradients, defense.perturbation(step, gradients)


def test_one_triple_by_hand():
    """The triple has the user vector u, the positive item i and the negative item j.

    The clean margin of u = (3, 4) and i − j = (1, 0) is ⟨u, i − j⟩ = 3. With ε = .5, u becomes (2.5, 4) and i − j
    becomes (1, 0) − (.6, .8) = (.4, −.8). The margin is then −2.2.
    """
    step = triple_step()
    assert float(step.losses(step.embed()).value.detach()) == pytest.approx(math.log1p(math.exp(-3)), rel=1e-5)
    left = Apr.make(**{"lambda": 0.25, "scale": "absolute", "epsilon": 0.5}).loss(step)
    assert float(left.detach()) == pytest.approx(0.75 * math.log1p(math.exp(2.2)), rel=1e-5)
    assert step.achieved == pytest.approx({"lambda_apr": 3.0, "epsilon_share": 1.0})


@pytest.mark.parametrize("scale", ["absolute", "relative"])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (ReferencePairwise, {}),
        (ReferenceSequence, {}),
        (LightGcn, {"factors": 8}),
        (NeuMf, {"batch_size": 16}),
        (MultiVae, {"hidden": 8, "latent": 4}),
        (Lstm, {"dim": 8, "hidden": 8}),
        (Bert4Rec, {"dim": 8, "batch_size": 8}),
    ],
)
def test_a_row_moves_by_epsilon_or_stays(kind, settings, scale):
    step = first_step(kind, **settings)
    gradients, delta = perturbed(Apr.make(epsilon=0.3, scale=scale), step)
    assert set(delta) == set(step.model.tables)
    for name, part in delta.items():
        touched = gradients[name].abs().amax(1) > 0
        table = step.model.get_parameter(name).detach()
        length = 0.3 * (float(table.norm(dim=1).mean()) if scale == "relative" else 1)
        assert touched.any()
        torch.testing.assert_close(part.norm(dim=1)[touched], torch.full((int(touched.sum()),), length))
        assert not part[~touched].any()


@pytest.mark.parametrize("kind", [LightGcn, NeuMf, MultiVae, Lstm, Bert4Rec])
def test_the_loss_under_a_small_perturbation_is_higher_with_the_same_dropout(kind):
    step = first_step(kind)
    _, delta = perturbed(Apr.make(epsilon=0.01, scale="absolute"), step)
    clean = step.losses(step.embed()).value.mean()
    assert float(step.losses_under(delta).value.mean().detach()) > float(clean.detach())
    nothing = {name: torch.zeros_like(part) for name, part in delta.items()}
    torch.testing.assert_close(step.losses_under(nothing).value.mean(), clean, rtol=1e-6, atol=0)


def test_one_backward_pass_gives_the_gradient_by_the_tables():
    step = first_step(ReferenceSequence)
    expected = step.table_gradients(step.losses(step.embed()).value.mean())
    assert all(p.grad is None for p in step.model.parameters())
    first = step.accumulate_tables(step.losses(step.embed()).value.mean())
    again = step.accumulate_tables(step.losses(step.embed()).value.mean())
    for name, part in expected.items():
        torch.testing.assert_close(first[name], part, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(again[name], part, rtol=1e-4, atol=1e-7)
        torch.testing.assert_close(step.model.get_parameter(name).grad, 2 * part, rtol=1e-4, atol=1e-7)


def test_rows_outside_the_batch_stay():
    step = first_step(ReferencePairwise)
    _, delta = perturbed(Apr.make(), step)
    in_batch = torch.zeros(len(delta["user_vectors.weight"]), dtype=torch.bool)
    in_batch[step.batch.users] = True
    assert not in_batch.all()
    assert torch.equal(delta["user_vectors.weight"].abs().amax(1) > 0, in_batch)


def test_both_weights_are_in_the_report():
    data, _ = crowd()
    _, report = fitted(ReferencePairwise.make(epochs=1), data, Apr.make(**{"lambda": 0.8}))
    assert report.as_dict()["train_lambda_apr"] == pytest.approx(0.25)
    _, report = fitted(ReferencePairwise.make(epochs=1), data, Apr.make(**{"lambda": 0.0}))
    assert "train_lambda_apr" not in report.as_dict()


def test_a_model_without_tables_is_refused():
    class Bare(ReferencePairwise):
        tables = ()

    with pytest.raises(PluginError, match="Bare names no tables"):
        Apr.make().loss(first_step(Bare))


def test_a_table_without_a_gradient_does_not_lower_the_share_of_epsilon():
    step = first_step(ReferencePairwise)
    gradients = step.table_gradients(step.model.user_vectors.weight.square().sum())
    delta = Apr.make().perturbation(step, gradients)
    assert [bool(part.any()) for part in delta.values()] == [True, False]
    assert step.achieved["epsilon_share"] == pytest.approx(1.0)
