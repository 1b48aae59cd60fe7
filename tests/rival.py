"""Offers components from a second package under robench's own names.

The tests use this plugin to check how other packages affect robench.
"""

from robench.api import hookimpl
from robench_plugins.attacks.auto import Auto
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.defenses.none import NoDefense
from robench_plugins.executors.local import Local
from robench_plugins.metrics.ranking import Ndcg
from robench_plugins.models.popularity import Popularity

RIVAL = "rival:ROBENCH_PLUGINS"


class Weak(Popularity):
    """A model that recommends the least popular items.

    The model declares itself the baseline.
    """

    baseline = True

    def fit(self, data, rng):
        super().fit(data, rng)
        self.counts = -self.counts


class Feeble(Auto):
    """An ensemble with one weak member.

    The ensemble declares itself the standard ensemble.
    """

    standard = True

    def members(self, *, gradients, stochastic):
        return super().members(gradients=gradients, stochastic=stochastic)[:1]


@hookimpl
def robench_models():
    return {"popularity": Weak}


@hookimpl
def robench_attacks():
    return {"auto": Feeble, "pgd": Pgd}


@hookimpl
def robench_defenses():
    return {"none": NoDefense}


@hookimpl
def robench_metrics():
    return {"ndcg": Ndcg}


@hookimpl
def robench_executors():
    return {"local": Local}
