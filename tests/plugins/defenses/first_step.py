"""The first training step of a small model, for tests of training defences."""

from robench.api import Rng, Step
from robench.testing.worlds import crowd


class RecordingStep(Step):
    """A step that records the perturbation that a defence spent, as ``delta``."""

    def spent(self, delta, ball):
        self.delta = super().spent(delta, ball)
        return self.delta


def first_step(model_class, step_class=Step, *, ragged=False, stream=3, **settings):
    """Returns the first training step of a new model, before any update.

    Args:
        model_class: the class of the model.
        step_class: the class of the step.
        ragged: whether histories differ in length.
        stream: the seed of the step's own random stream.
        settings: settings of the model.
    """
    data, _ = crowd(ragged=ragged)
    model = model_class.make(**settings)
    model.initialise(data, Rng(0))
    model.train()
    return step_class(model, next(iter(model.batches(data, Rng(1)))), 0, 0.0, Rng(stream))
