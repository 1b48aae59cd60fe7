"""Smoothing, which takes the mean or the median of scores on noisy inputs."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from robench.api import BaseConfig, Batch, Defense, Embedded, Model, PluginError, Rng, TorchModel, Wrapped
from robench.api.attacks.ball import wide


class SmoothedModel(Wrapped):
    """A fitted model that averages its scores over noisy copies of the inputs.

    Every evaluation draws new noise from the global generator of torch. The host seeds that generator around its
    evaluations, so an attack cannot predict the noise. The scores are differentiable with respect to the
    inputs.

    Args:
        inner: the fitted model.
        sigma: the standard deviation of an entry's noise, relative to the RMS of the valid entries in its row.
        draws: the number of noisy copies.
        average: ``mean``, or ``median`` (the lower of two middle values), entry by entry.
    """

    stochastic: ClassVar[bool] = True

    def __init__(self, inner: TorchModel, sigma: float, draws: int, average: Literal["mean", "median"]) -> None:
        super().__init__(inner)
        self.sigma, self.draws, self.average = sigma, draws, average

    def score_from(self, batch: Batch, e: Embedded) -> Tensor:
        """Returns the averaged scores, float [B, n_items]."""
        square = e.square_sum() / e.sizes().double().clamp_min(1)
        # The clamp prevents an infinite gradient of the root at a row of zeros.
        spread = self.sigma * square.clamp_min(torch.finfo(torch.float32).tiny).sqrt()
        draws = (self.inner.score_from(batch, self._noisy(e, spread)) for _ in range(self.draws))
        if self.average == "median":
            return torch.stack(list(draws)).median(0).values
        total = next(draws)
        for scores in draws:
            total = total + scores
        return total / self.draws

    def _noisy(self, e: Embedded, spread: Tensor) -> Embedded:
        """Returns the inputs with normal noise.

        Args:
            e: the inputs.
            spread: the standard deviation of the noise per row, float [B].
        """
        factor = {name: wide(spread.to(part.dtype), part) for name, part in e.inputs.items()}
        return e.plus({name: factor[name] * torch.randn_like(part) for name, part in e.inputs.items()})


class Smoothing(Defense):
    """Averages the scores of a fitted model over normal noise on the embedded inputs.

    The defence follows randomised smoothing (Cohen et al., ICML 2019, eq. 1, a majority vote under noise) and median
    smoothing of a real-valued output (Chiang et al., NeurIPS 2020). Here the scores are averaged, with few draws, and
    no radius is certified. The training is that of the undefended model. The standard deviation of the noise,
    ``sigma``, is relative to the RMS over the valid entries of a row, so a user's scores do not depend on the rest of
    the batch. A model that is linear in its inputs (MF) gains nothing from the mean.
    """

    class Config(BaseConfig):
        """Settings of the smoothing."""

        sigma: float = Field(
            default=0.1, gt=0, description="Standard deviation of the noise, relative to the RMS of the row's inputs"
        )
        draws: int = Field(default=8, ge=1, description="Noisy copies of the inputs per evaluation")
        average: Literal["mean", "median"] = Field(default="mean", description="How the scores of the copies combine")

    config: Config
    neural: ClassVar[bool] = True
    changes_fit: ClassVar[bool] = False

    def wrap(self, model: Model, rng: Rng) -> Model:
        """Returns the smoothed model.

        Raises:
            PluginError: if the model is not neural, because only neural models have embedded inputs.
        """
        if not isinstance(model, TorchModel):
            raise PluginError(f"smoothing needs embedded inputs, which {type(model).__name__} does not have")
        return SmoothedModel(model, self.config.sigma, self.config.draws, self.config.average)
