"""Offers false defences for the tests of the alarms.

A false defence distorts the scores or the gradients that an attack sees. The model itself stays as vulnerable as
before.
"""

import torch

from robench.api import BaseConfig, Defense, Wrapped, hookimpl


class _Steps(Wrapped):
    """A model that rounds its scores to multiples of a step.

    The gradient is zero wherever it exists.
    """

    def score_from(self, batch, e):
        scores = self.inner.score_from(batch, e)
        step = 0.02 * scores.detach().std()
        return torch.round(scores / step) * step


class _Cut(Wrapped):
    """A model that detaches its scores from the inputs, so that no gradient exists."""

    def score_from(self, batch, e):
        return self.inner.score_from(batch, e).detach()


class _Faint(Wrapped):
    """A model with the right scores, but with gradients multiplied by 1e-12."""

    def score_from(self, batch, e):
        scores = self.inner.score_from(batch, e)
        return scores.detach() + 1e-12 * (scores - scores.detach())


class _Noisy(Wrapped):
    """A model that adds a little new noise to its scores in every call.

    The noise is a steep function of the inputs. So the scores hardly change, but the gradient of a single call is
    mostly noise.
    """

    def score_from(self, batch, e):
        scores = self.inner.score_from(batch, e)
        phase = 0.0
        for part in e.inputs.values():
            flat = part.flatten(1)
            phase = phase + 1e4 * (flat * torch.randn_like(flat)).sum(1, keepdim=True) / flat.detach().norm()
        return scores + 0.02 * scores.detach().std() * torch.randn_like(scores) * torch.sin(phase)


def _wrapping(cls):
    class Planted(Defense):
        Config = BaseConfig

        def wrap(self, model, rng):
            return cls(model)

    return Planted


@hookimpl
def robench_defenses():
    return {
        "quantised": _wrapping(_Steps),
        "cut": _wrapping(_Cut),
        "faint": _wrapping(_Faint),
        "noisy": _wrapping(_Noisy),
    }
