import pytest
import torch
from tests.plugins.defenses.first_step import RecordingStep, first_step

from robench.api import Step
from robench.testing import DefenseTests
from robench.testing.worlds import ReferencePairwise, ReferenceSequence
from robench_plugins.defenses.gaussian import Gaussian


class TestGaussian(DefenseTests):
    defense = Gaussian
    settings = {"epsilon": 0.2}
    adversarial = False


class TestGaussianLinf(DefenseTests):
    defense = Gaussian
    settings = {"epsilon": 0.2, "norm": "linf", "shortcut": False}
    adversarial = False


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("kind", [ReferencePairwise, ReferenceSequence])
def test_the_noise_is_as_long_as_the_budget(kind, norm):
    step, other = (first_step(kind, RecordingStep, ragged=True, stream=stream) for stream in (3, 4))
    for one in (step, other):
        Gaussian.make(epsilon=0.3, norm=norm).loss(one)
    (name,) = step.delta
    part = step.delta[name]
    radius = step.ball(step.embed(), 0.3, norm).radius
    size = part.flatten(1).norm(dim=1) if norm == "l2" else part.flatten(1).abs().amax(1)
    torch.testing.assert_close(size, radius, rtol=1e-5, atol=0)
    assert step.achieved["epsilon_share"] == pytest.approx(1, abs=1e-5)
    valid = step.embed().valid[name]
    assert not part[~valid].any()
    entries = part[valid]
    assert abs(float((entries > 0).double().mean()) - 0.5) < 0.1
    assert not torch.equal(part, other.delta[name]), "every step must draw its own noise"
    if norm == "linf":
        torch.testing.assert_close(part.abs().flatten(1).amax(1), radius)


def test_no_gradient_is_asked_for(monkeypatch):
    monkeypatch.setattr(Step, "gradient", lambda *_: pytest.fail("a gradient"))
    monkeypatch.setattr(Step, "accumulate", lambda *_: pytest.fail("a gradient"))
    step = first_step(ReferencePairwise)
    loss = Gaussian.make(**{"lambda": 0.25, "epsilon": 0.0}).loss(step)
    torch.testing.assert_close(loss, step.losses(step.embed()).value.mean())
