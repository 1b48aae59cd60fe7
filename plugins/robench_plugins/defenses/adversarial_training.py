"""Adversarial training on embedded inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from robench.api import SettingError
from robench_plugins.defenses.training import TrainingConfig, TrainingDefense

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Embedded, Model, Step


class AdversarialTraining(TrainingDefense):
    """Trains on inputs that an inner attack perturbs within ε.

    The loss is L_total = λ · L_clean + (1 − λ) · L_robust (Goodfellow et al., ICLR 2015, section 6; Madry et al., ICLR
    2018, eq. 2.1). L_clean is the model's own loss on the clean inputs. L_robust is the model's own loss on the
    perturbed inputs, or the hinge loss. The hinge loss is the mean of max(0, margin − (s_y − s_neg)). The target has
    the score s_y, and a negative item has the score s_neg. A new perturbation is computed for every batch, with the
    dropout of the clean pass. Its size ε is relative to the RMS of the batch's inputs. With λ = 1 no inner attack runs,
    and the model is bit for bit the undefended one.

    A ``noise`` k > 0 turns the inner FGSM into N-FGSM (de Jorge et al., NeurIPS 2022, algorithm 1, with k = 2). Every
    entry of the noise η is uniform in [−kε, kε]. The gradient g is computed at the noisy inputs x + η, and δ = η + ε
    sign(g). Nothing is clipped, so δ may exceed ε. The record holds the ratio of δ to ε (``train_epsilon_share``). The
    paper covers only L∞. The L2 form δ = η + r g / ‖g‖₂, with the same η and the radius r, is our own. The width of η
    is the same in both norms, because ε · RMS is the budget of one entry in both.
    """

    class Config(TrainingConfig):
        """Settings of adversarial training."""

        norm: Literal["l2", "linf"] = Field(
            default="linf", description="Norm of the ball that the perturbation stays in"
        )
        inner: Literal["fgsm", "pgd"] = Field(default="fgsm", description="Attack that perturbs the inputs")
        steps: int = Field(default=5, ge=1, description="Gradient steps of the inner PGD")
        noise: float = Field(
            default=0.0, ge=0, description="Width of the random start of the inner FGSM, in ε; N-FGSM uses 2"
        )
        loss: Literal["own", "hinge"] = Field(
            default="own", description="Robust loss: the model's own, or the hinge on its margins"
        )
        margin: float = Field(default=1.0, gt=0, description="Margin of the hinge, in units of the scores")

        @model_validator(mode="after")
        def _check_noise(self) -> Self:
            """Checks that noise is used only with FGSM as the inner attack.

            Raises:
                SettingError: if there is noise and the inner attack is not FGSM.
            """
            if self.noise and self.inner != "fgsm":
                raise SettingError("noise belongs to inner fgsm", "noise", "leave it out, or write inner: fgsm")
            return self

    config: Config

    def problem(self, model: type[Model]) -> str:
        """Returns what a model lacks, or an empty string.

        A model may lack a training loss, or margins for the hinge.
        """
        problem = super().problem(model)
        if not problem and self.config.loss == "hinge" and not model.has_margins():
            return "has no margins, which the hinge loss needs"
        return problem

    def total_loss(self, step: Step) -> Tensor:
        """Returns (1 − λ) · L_robust, a scalar.

        L_robust is the loss on the perturbed inputs, and L_clean is the model's own loss on the clean inputs. The
        method also backpropagates λ · L_clean. If the inner attack uses the model's own loss without noise, this
        backward pass also gives the first gradient of the attack.
        """
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
        # If the inner attack uses the model's own loss, the clean pass gives the first gradient of the attack.
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
