"""Smoothing: the mean or median of the scores on noisy inputs."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from robench.api import BaseConfig, Batch, Defense, Embedded, Model, PluginError, Rng, TorchModel, Wrapped
from robench.api.attacks.ball import wide


class SmoothedModel(Wrapped):
    """``inner`` whose scores are the mean or the median of the scores of ``draws`` noisy copies of the inputs.

    The noise is drawn anew for every look, from torch's global generator, which the host seeds around its looks: an
    attack cannot foresee it. Scores are differentiable by the inputs, draw by draw.

    Args:
        inner: the fitted model.
        sigma: standard deviation of an entry's noise, relative to the RMS over the valid entries of its row.
        draws: of the noise.
        average: ``mean`` or ``median`` (the lower one of two), entry by entry.
    """

    def __init__(self, inner: TorchModel, sigma: float, draws: int, average: Literal["mean", "median"]) -> None:
        super().__init__(inner)
        self.sigma, self.draws, self.average = sigma, draws, average

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """float [B, n_items]."""
        square = e.square_sum() / e.sizes().double().clamp_min(1)
        # The clamp keeps the root of a row of zeros from having an infinite slope.
        spread = self.sigma * square.clamp_min(torch.finfo(torch.float32).tiny).sqrt()
        looks = (self.inner.score_from(batch, self._noisy(e, spread)) for _ in range(self.draws))
        if self.average == "median":
            return torch.stack(list(looks)).median(0).values
        total = next(looks)
        for scores in looks:
            total = total + scores
        return total / self.draws

    def _noisy(self, e: Embedded, spread: Tensor) -> Embedded:
        factor = {name: wide(spread.to(part.dtype), part) for name, part in e.inputs.items()}
        return e.plus({name: factor[name] * torch.randn_like(part) for name, part in e.inputs.items()})


class Smoothing(Defense):
    """Scores averaged over normal noise on the embedded inputs; the model is trained as without a defence.

    After randomised smoothing (Cohen et al., ICML 2019, eq. 1, a majority vote under noise) and median smoothing of a
    real-valued output (Chiang et al., NeurIPS 2020). Ours: it is scores that are averaged, with few draws, and no
    radius is certified. σ is relative to the RMS over a row's own valid entries, so that a user's scores do not depend
    on who else is in the batch. Under the mean, a model that is linear in its inputs (MF) gains nothing.
    """

    class Config(BaseConfig):
        """Settings."""

        sigma: float = Field(default=0.1, gt=0, description="of the noise, relative to the row's RMS")
        draws: int = Field(default=8, ge=1)
        average: Literal["mean", "median"] = "mean"

    config: Config
    neural: ClassVar[bool] = True

    def wrap(self, model: Model, rng: Rng) -> Model:
        """The smoothed model.

        Raises:
            PluginError: the model is not neural, so it has no embedded inputs.
        """
        if not isinstance(model, TorchModel):
            raise PluginError(f"smoothing needs embedded inputs, which {type(model).__name__} does not have")
        return SmoothedModel(model, self.config.sigma, self.config.draws, self.config.average)
