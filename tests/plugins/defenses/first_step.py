"""Provides training steps of small models, and a projected step by hand.

The tests of defences that change the training use these steps.
"""

import numpy as np
import torch

from robench.api import Batch, Rng, Step
from robench.testing.worlds import ReferencePairwise, crowd


class RecordingStep(Step):
    """A step that records the perturbation of a defence as ``delta``."""

    def spent(self, delta, ball):
        self.delta = super().spent(delta, ball)
        return self.delta


def first_step(model_class, step_class=Step, *, ragged=False, stream=3, **settings):
    """Returns the first training step of a new model, before any update.

    Args:
        model_class: The class of the model.
        step_class: The class of the step.
        ragged: Whether histories differ in length.
        stream: The seed of the step's own random stream.
        **settings: The settings of the model.
    """
    data, _ = crowd(ragged=ragged)
    model = model_class.make(**settings)
    model.initialise(data, Rng(0))
    model.train()
    return step_class(model, next(iter(model.batches(data, Rng(1)))), 0, 0.0, Rng(stream))


def triple_step():
    """Returns a step with the triple u = (3, 4), i = (1, 0) and j = 0.

    The user has the vector u, the positive item i and the negative item j. All further entries are 0.
    """
    model = first_step(ReferencePairwise).model
    with torch.no_grad():
        for table in (model.user_vectors, model.item_vectors):
            table.weight.zero_()
        model.user_vectors.weight[0, :2] = torch.tensor([3.0, 4.0])
        model.item_vectors.weight[0, 0] = 1.0
    triple = {"positives": torch.tensor([0]), "negatives": torch.tensor([1])}
    return Step(model, Batch(torch.tensor([0]), torch.empty(1, 0, dtype=torch.int64), triple), 0, 0.0, Rng(3))


def projected_step(delta, gradient, norm, radius, steps):
    """Returns δ after one of ``steps`` projected steps along the gradient.

    The length of a step is 2.5 / ``steps`` times the radius (Madry et al. 2018). The result is float64.

    Args:
        delta: the perturbation before the step, float64 [n, d].
        gradient: the gradient of the loss with respect to δ, float64 [n, d].
        norm: ``l2`` for rows in L2, or ``linf``.
        radius: the radius of the ball.
        steps: the number of steps.
    """
    if norm == "linf":
        return np.clip(delta + 2.5 / steps * radius * np.sign(gradient), -radius, radius)
    delta = delta + 2.5 / steps * radius * gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
    return delta * np.minimum(1, radius / np.linalg.norm(delta, axis=1, keepdims=True))
