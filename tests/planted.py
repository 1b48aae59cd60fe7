"""Plants false defences for the tests of the alarms.

A false defence changes the scores and gradients that an attack sees. The true strength of the attack stays the same.
"""

import torch

from robench.api import BaseConfig, Defense, Wrapped, hookimpl


class _Steps(Wrapped):
    """A model with scores in coarse steps.

    The gradient is zero or does not exist.
    """

    def score_from(self, batch, e):
        scores = self.inner.score_from(batch, e)
        step = 0.02 * scores.detach().std()
        return torch.round(scores / step) * step


class _Cut(Wrapped):
    """A model with scores that are detached from the inputs."""

    def score_from(self, batch, e):
        return self.inner.score_from(batch, e).detach()


class _Faint(Wrapped):
    """A model with the right scores, and with gradients that are scaled by 1e-12."""

    def score_from(self, batch, e):
        scores = self.inner.score_from(batch, e)
        return scores.detach() + 1e-12 * (scores - scores.detach())


class _Noisy(Wrapped):
    """A model that adds a little noise to its scores, drawn anew at every look.

    The noise is a steep function of the inputs. The scores therefore hardly change, but the gradient of one draw is
    noise.
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
