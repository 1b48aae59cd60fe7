"""Runs the checks of a victim and summarises their results over the users."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from robench.api.models.torch import TorchModel
from robench.engine.attack.victim import EvaluatedVictim
from robench.engine.checks.inputs_alone import foreign_differences
from robench.engine.checks.looks import look_differences
from robench.engine.checks.movement import movements
from robench.engine.checks.probe import Probe, choose_users, foreign_batch
from robench.engine.checks.saturation import saturations
from robench.engine.checks.slopes import slope_errors
from robench.engine.checks.table_slopes import table_slope_errors
from robench.engine.checks.wrapper import hides_context, wrapper_differences
from robench.engine.rank.chunk import build_chunk, chunk_size
from robench.engine.surfaces.features.vectors import FeatureVectors
from robench.engine.surfaces.parameters.tables import EmbeddingTables

USERS = 64  # the number of users at which a victim is checked
# A check fails if a quarter of the users fail. Single users may stand at a kink of the scores.
UPPER, LOWER = 0.75, 0.25


def measure_checks(victim: EvaluatedVictim, rms: float) -> dict[str, float]:
    """Returns the results of the checks on a sample of the users, by name.

    ``measure_table_checks`` runs the checks for attacks on embedding tables. ``docs/reference/results.md`` explains
    each result.

    Args:
        victim: a victim with a neural model.
        rms: the root mean square of all genuine input entries of the victim.

    Raises:
        PluginError: if the model is not neural, or if a score is not finite.
    """
    probes = _probes(victim, rms)
    inner = victim.inner if isinstance(victim.inner, TorchModel) else None
    reranks = victim.model.candidates(probes[0].users, victim.history) is not None
    parts = [_measure(probe, inner) for probe in probes]
    whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    hidden = any(hides_context(probe, inner, reranks=reranks) for probe in probes)
    return {
        "users": float(sum(len(probe.users) for probe in probes)),
        "rms": rms,
        "declared_stochastic": float(victim.neural().stochastic),
        "hidden_context": float(hidden),
        **_summary(whole),
    }


def measure_table_checks(victim: EvaluatedVictim, rms: float, surface: str = "parameters") -> dict[str, float]:
    """Returns the results of the checks for attacks on tables or on vectors of items.

    If a chunk holds fewer users than the sample, only the first chunk of the sample is checked.

    Args:
        victim: a victim with a neural model.
        rms: the root mean square of all genuine input entries of the victim.
        surface: ``parameters`` or ``features``.

    Raises:
        PluginError: if the model is not neural, if its tables cannot be perturbed, or if a score is not finite.
    """
    model = victim.neural()
    if surface == "features":
        weights = FeatureVectors(model, torch.arange(victim.history.n_items), victim.catalogue).weights
    else:
        weights = EmbeddingTables(model).weights
    return table_slope_errors(_probes(victim, rms)[0], weights)


def _probes(victim: EvaluatedVictim, rms: float) -> list[Probe]:
    """Returns the sampled users in one or more probes.

    A probe holds no more users than a chunk. With a large catalogue, a chunk is small.
    """
    model, rng = victim.neural(), victim.check_rng
    users = choose_users(victim.users, USERS, rng)
    size = min(USERS, chunk_size(victim.history.n_items, model.device))
    probes = []
    for start in range(0, max(1, len(users)), size):
        some = users[start : start + size]
        own = model.queries(some, victim.history)
        foreign = foreign_batch(model, own, some, victim.history, rng.child("part", start))
        chunk = build_chunk(some, victim.history, victim.held)
        place = model.device
        probe = Probe(model, some, own.to(place), foreign.to(place), chunk.to(place), rms, rng.child("part", start))
        probes.append(probe)
    return probes


def _measure(probe: Probe, inner: TorchModel | None) -> dict[str, Tensor]:
    """Returns the result of every check for each user, float64 [b] each.

    Only the b users with at least one entry that may be perturbed are included. The result also holds the number of
    places and the radius of each user.
    """
    numbers = {
        **foreign_differences(probe),
        **look_differences(probe),
        **movements(probe),
        **slope_errors(probe),
        **saturations(probe),
        **wrapper_differences(probe, inner),
        "places": probe.places,
        "radius": probe.radius.double(),
    }
    return {name: part[probe.movable].double().cpu() for name, part in numbers.items()}


def _summary(numbers: Mapping[str, Tensor]) -> dict[str, float]:
    """Returns one number per check.

    For movements, the number is the lower quartile over the users. For errors of slopes, it is the upper quartile. For
    shares and sizes, it is the mean. The other properties must hold for every user, so the number is the largest value.
    Without users, every number is 0.
    """
    quartiles = {"movement": LOWER, "slope_own": UPPER, "slope_random": UPPER}
    means = ("saturated", "places", "radius")
    summary = {}
    for name, values in numbers.items():
        if not len(values):
            summary[name] = 0.0
        elif name in quartiles:
            summary[name] = float(values.quantile(quartiles[name]))
        else:
            summary[name] = float(values.mean() if name in means else values.amax())
    return summary
