"""Denoising training: T-CE and R-CE, which trust interactions with a small loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field

from robench.api import BaseConfig, Defense, SettingError

if TYPE_CHECKING:
    from torch import Tensor

    from robench.api import Model, Step


LACKS = "has no loss with a term per interaction, which denoising drops"


class Denoise(Defense):
    """Trains less on interactions that the model finds unlikely.

    The method is adaptive denoising training (Wang et al., WSDM 2021). Noisy interactions have large losses early in
    training, so a large loss is a sign of noise. The paper has two losses:

    - ``t-ce`` (truncated, eq. 3): a positive with a loss above a threshold has the loss 0. The threshold is such that a
      share ε(T) of the interactions is dropped. The share grows with the training time T up to ε_max, as
      ε(T) = min(α T, ε_max) (eq. 4). Here the share is ``drop`` · min(T / ``ramp``, 1). Negatives are never dropped.
    - ``r-ce`` (reweighted, eqs. 5 to 7): a positive has the weight p^β, and a negative has the weight (1 − q)^β. Here p
      and q are the predicted probabilities of the positive and of the negative. As in the authors' code, no gradient
      passes through the weights.

    The paper defines both for the binary cross-entropy, which ``neumf`` and ``sasrec`` with ``loss: bce`` have. A
    pairwise loss, such as BPR, and a cross-entropy over the catalogue are also sums of terms −ln p, one per observed
    interaction. There p is the probability of the observed item in the model's own comparison, and there are no
    negatives. ``denoise`` applies the same rules to these terms, which is not in the paper. Other models are skipped:
    the losses of ``multi-vae`` and ``llm`` have no such terms.

    Further deviations from the paper:

    - ``drop`` is a share of the positives. In the paper, it is a share of all terms, of which one half are positives.
      So 0.2 here is 0.1 there, and the number of negatives has no influence.
    - T counts finished epochs, not steps. So the share does not depend on the size of the batches.
    - The model's weights after an epoch in which the share still grows are never selected.
    """

    class Config(BaseConfig):
        """Settings of denoising training."""

        method: Literal["t-ce", "r-ce"] = Field(
            default="t-ce", description="Whether likely noise is dropped (t-ce) or has a smaller weight (r-ce)"
        )
        drop: float = Field(
            default=0.2, ge=0, lt=1, description="Largest share of the positives that t-ce drops; 2 ε_max of the paper"
        )
        ramp: int = Field(default=3, ge=0, description="Epochs until t-ce drops the largest share")
        beta: float = Field(default=0.2, ge=0, description="Exponent β of the weights of r-ce; 0 weights nothing")

    config: Config

    def problem(self, model: type[Model]) -> str:
        """Returns what a model lacks, or an empty string.

        A model may lack a training loss, or a loss with one term per interaction.
        """
        problem = super().problem(model)
        return problem or (
            "" if model.has_terms() else "has no loss with a term per interaction, which denoising drops"
        )

    def loss(self, step: Step) -> Tensor:
        """Returns the mean loss, with likely noise dropped or weighted less: a scalar."""
        c = self.config
        strength = c.beta if c.method == "r-ce" else self.share(step.epoch)
        if strength == 0:
            return step.losses(step.embed()).value.mean()
        positive, negative = step.terms(step.embed())
        if c.method == "t-ce":
            kept = smallest(positive.detach(), strength)
            step.achieved["dropped_share"] = 1 - float(kept.mean())
            return (kept * positive + negative.sum(1)).mean()
        weight, other = (torch.exp(-strength * part.detach()) for part in (positive, negative))
        step.achieved["weight_mean"] = float(weight.mean())
        return (weight * positive + (other * negative).sum(1)).mean()

    def share(self, epoch: int) -> float:
        """Returns the share of the positives that ``t-ce`` drops in an epoch.

        Args:
            epoch: the number of the epoch, from 0.
        """
        c = self.config
        return c.drop if epoch >= c.ramp else c.drop * epoch / c.ramp

    def settled(self, epoch: int) -> bool:
        """Returns whether the share of dropped interactions no longer grows in an epoch.

        With ``r-ce``, nothing is dropped, and the result is always True.

        Args:
            epoch: the number of the epoch, from 0.
        """
        return self.config.method == "r-ce" or epoch >= self.config.ramp

    def check_epochs(self, epochs: int) -> None:
        """Checks that the ramp of ``t-ce`` is shorter than the training.

        Raises:
            SettingError: if the ramp is too long. The error names the field ``ramp``.
        """
        if not self.settled(epochs - 1):
            hint = f"give it a ramp below {epochs}, or the model more epochs"
            raise SettingError("is still dropping fewer interactions after them", "ramp", hint)


def smallest(values: Tensor, drop: float) -> Tensor:
    """Returns 0 for the largest values, and 1 for the others: float [N].

    Args:
        values: the loss of each interaction, float [N].
        drop: the share of the values that get 0, rounded down to a whole number of values.
    """
    kept = torch.ones_like(values)
    kept[values.topk(int(drop * len(values))).indices] = 0
    return kept
