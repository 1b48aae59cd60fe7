"""Adversarial training on embedded inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from robench.api import BaseConfig, Defense

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Embedded, Step


class AdversarialTraining(Defense):
    """L_total = λ · L_original + (1 − λ) · L_robust (Goodfellow et al. 2015, section 6; Madry et al. 2018, eq. 2.1).

    L_robust is the model's own loss, or the hinge mean max(0, margin − (s_y − s_neg)), on inputs that the inner attack
    perturbs within ε of the batch's RMS, made anew for every batch with the dropout of the clean pass. APR's weight
    (He et al., SIGIR 2018, eq. 6) is (1 − λ)/λ. λ = 1 runs no inner attack and is the undefended model bit for bit.
    """

    class Config(BaseConfig):
        """Settings; ``epsilon`` is relative to the batch's RMS."""

        lambda_: float = Field(default=0.5, ge=0, le=1, alias="lambda")
        epsilon: float = Field(default=0.05, ge=0)
        norm: Literal["l2", "linf"] = "linf"
        inner: Literal["fgsm", "pgd"] = "fgsm"
        steps: int = Field(default=5, ge=1, description="of inner pgd")
        loss: Literal["own", "hinge"] = "own"
        margin: float = Field(default=1.0, gt=0, description="of the hinge")
        shortcut: bool = Field(default=True, description="skip the inner attack at λ = 1; False only to test that")

    config: Config

    def loss(self, step: Step) -> Tensor:
        """The perturbed part; the clean part is backpropagated on the way, once for optimiser and inner attack."""
        c = self.config
        e = step.embed()
        clean = step.losses(e).value.mean()
        if c.lambda_ == 1 and c.shortcut:
            return clean

        def robust(moved: Embedded) -> Tensor:
            if c.loss == "own":
                return step.losses(moved).value.mean()
            return (c.margin - step.margins(moved).value).clamp_min(0).mean()

        # The clean pass's gradient by the inputs is the inner attack's first gradient where both share a loss.
        shared = c.loss == "own" and c.lambda_ > 0
        gradient = step.accumulate(c.lambda_ * clean, e) if c.lambda_ > 0 else None
        e = step.embed()
        delta = step.perturb(
            e,
            inner=c.inner,
            epsilon=c.epsilon,
            norm=c.norm,
            steps=c.steps,
            objective=robust,
            gradient=gradient if shared else None,
        )
        return (1 - c.lambda_) * robust(e.plus(delta))
