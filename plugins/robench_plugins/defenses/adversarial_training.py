"""Adversarial training on embedded inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from robench.api import SettingError
from robench_plugins.defenses.family import FamilyConfig, TrainingDefense

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Embedded, Step


class AdversarialTraining(TrainingDefense):
    """L_total = λ · L_original + (1 − λ) · L_robust (Goodfellow et al. 2015, section 6; Madry et al. 2018, eq. 2.1).

    L_robust is the model's own loss, or the hinge mean max(0, margin − (s_y − s_neg)), on inputs that the inner attack
    perturbs within ε of the batch's RMS, made anew for every batch with the dropout of the clean pass. λ = 1 runs no
    inner attack and is the undefended model bit for bit.

    ``noise`` k > 0 makes the inner fgsm N-FGSM (de Jorge et al., NeurIPS 2022, algorithm 1, where k = 2): η uniform in
    [−kε, kε] per entry, δ = η + ε sign(g), g the gradient at x + η, and nothing is clipped, so δ is longer than ε
    (``train_epsilon_share`` in the record says how much). The paper is about linf; the l2 form is ours: the same η, for
    ε · RMS is the share of an entry in both norms, then δ = η + r g / ‖g‖₂.
    """

    class Config(FamilyConfig):
        """Settings; ``epsilon`` is relative to the batch's RMS."""

        norm: Literal["l2", "linf"] = "linf"
        inner: Literal["fgsm", "pgd"] = "fgsm"
        steps: int = Field(default=5, ge=1, description="of inner pgd")
        noise: float = Field(default=0.0, ge=0, description="of inner fgsm, in ε; the paper's N-FGSM has 2")
        loss: Literal["own", "hinge"] = "own"
        margin: float = Field(default=1.0, gt=0, description="of the hinge")

        @model_validator(mode="after")
        def _noise_is_of_one_step(self) -> Self:
            if self.noise and self.inner != "fgsm":
                raise SettingError("noise belongs to inner fgsm", "noise", "leave it out, or write inner: fgsm")
            return self

    config: Config

    def defended(self, step: Step) -> Tensor:
        """The perturbed part; the clean part is backpropagated on the way, once for optimiser and inner attack."""
        c = self.config

        def robust(moved: Embedded) -> Tensor:
            if c.loss == "own":
                return step.losses(moved).value.mean()
            return (c.margin - step.margins(moved).value).clamp_min(0).mean()

        gradient = None
        if c.lambda_ > 0:
            e = step.embed()
            gradient = step.accumulate(c.lambda_ * step.losses(e).value.mean(), e)
        e = step.embed()
        if c.noise:
            delta = step.perturb_noisily(e, epsilon=c.epsilon, norm=c.norm, noise=c.noise, objective=robust)
            return (1 - c.lambda_) * robust(e.plus(delta))
        # The clean pass's gradient by the inputs is the inner attack's first gradient where both share a loss.
        delta = step.perturb(
            e,
            inner=c.inner,
            epsilon=c.epsilon,
            norm=c.norm,
            steps=c.steps,
            objective=robust,
            gradient=gradient if c.loss == "own" else None,
        )
        return (1 - c.lambda_) * robust(e.plus(delta))
