"""Provides the first training step of a small model.

The tests of defences that change the training use this step.
"""

from robench.api import Rng, Step
from robench.testing.worlds import crowd


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
