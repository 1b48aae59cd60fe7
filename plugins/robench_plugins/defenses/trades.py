"""TRADES: training for predictions that a perturbation does not change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from robench.api.attacks.ball import scaled
from robench.api.models.divergence import kl_divergence
from robench_plugins.defenses.training import PerturbationConfig, TrainingDefense

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Embedded, Model, Step

START = 0.03  # the standard deviation of the start in ε; the authors' code has 0.001 at ε = 0.031


class Trades(TrainingDefense):
    """Trains on the loss plus the divergence of clean and perturbed predictions.

    TRADES (Zhang et al., ICML 2019) minimises L(x) + β · KL(p(x) ‖ p(x + δ)). Here L is the model's own loss on the
    clean inputs x, and p are the predicted probabilities. The perturbation δ maximises the same divergence within ε
    (eq. 5 and algorithm 1). The paper writes 1/λ for β. Robench minimises L_total = λ L + (1 − λ) (L + β KL), which is
    L + (1 − λ) β KL. So λ = 0 is the objective of the paper, and λ = 1 is the undefended model. As in the authors'
    code, the gradient passes through both p(x) and p(x + δ).

    The probabilities p are those that the training loss compares with the targets (``logits_from`` of the model). The
    divergence is a mean over all these distributions in the batch.

    - A cross-entropy over the catalogue gives one softmax over all items per target. For ``multi-vae`` there is one
      softmax per user, at the draw of the latent vector that the loss uses.
    - A pairwise loss, such as BPR, gives one distribution per triple over the positive and the negative item. The
      positive has the probability σ(s_pos − s_neg), where s are the scores and σ is the logistic function.
    - A binary loss, such as that of ``neumf``, gives each positive and each negative a distribution over the classes
      used and unused. An item with the score s is used with the probability σ(s).

    At δ = 0 the divergence has its minimum and no gradient. Therefore δ starts at normal noise with the standard
    deviation 0.03 ε, and ``steps`` projected gradient steps follow. For one triple of ``mf`` or ``lightgcn``, the score
    difference is the only direction, and the noise decides whether it rises or falls.

    This defence deviates from the paper as follows.

    - ε is relative to the RMS of the batch's embedded inputs, and the default norm is L2.
    - A step has length 2.5 ε / steps. In the authors' code the length is 0.003 for ε = 0.031 and 10 steps.
    - All passes have the dropout of the training pass.
    - λ weights the two losses as in every training defence.
    """

    class Config(PerturbationConfig):
        """Settings of TRADES."""

        beta: float = Field(default=6.0, gt=0, description="Weight β of the divergence if λ = 0; 1/λ in the paper")
        steps: int = Field(default=5, ge=1, description="Gradient steps that increase the divergence; 10 in the paper")

    config: Config

    def problem(self, model: type[Model]) -> str:
        """Returns what a model lacks, or an empty string.

        A model may lack a training loss, or the distributions of the loss.
        """
        problem = super().problem(model)
        return problem or ("" if model.has_logits() else "has no logits, whose divergence this defence needs")

    def total_loss(self, step: Step) -> Tensor:
        """Returns L + (1 − λ) · β · KL, a scalar.

        L is the model's own loss on the clean inputs. KL is the divergence of the clean and the perturbed predictions.
        """
        c = self.config
        e = step.embed()
        logits = step.logits(e)
        constant = logits.detach()

        def divergence(moved: Embedded) -> Tensor:
            return kl_divergence(constant, step.logits(moved).by_states()).mean()

        start = scaled(step.noise(e, "normal"), START * step.ball(e, c.epsilon, "linf").radius)
        delta = step.perturb(
            e, inner="pgd", epsilon=c.epsilon, norm=c.norm, steps=c.steps, objective=divergence, start=start
        )
        distance = kl_divergence(logits, step.logits(e.plus(delta))).mean()
        step.achieved["divergence"] = float(distance.detach())
        return step.losses(e).value.mean() + (1 - c.lambda_) * c.beta * distance
