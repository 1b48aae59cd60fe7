"""The surfaces that attacks may touch, and the rules of each surface.

The engine, the plan, the tables and the flags read the rules from ``SURFACES``. A new surface needs a row in
``SURFACES``, a name in ``Surface``, and a folder in ``robench.engine.surfaces``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Surface = Literal["embedding", "parameters", "features", "history", "text", "interactions", "membership"]
Scale = Literal["relative", "absolute"]


@dataclass(frozen=True)
class SurfaceRules:
    """The rules that hold for every attack on one surface.

    Args:
        each_user_alone: whether every user has a separate perturbation. If so, the worst case is taken per user.
            Otherwise, one perturbation serves all users, and the worst case is the attack with the worst mean.
        leaves_broken_users: whether an ensemble may stop attacking a user once the goal is reached for this user. If
            so, stored ranks are only bounds.
        ranks_models: whether models are ranked against each other. A ranking requires that the same ε is equally strong
            for all models.
        whole_units: whether a budget is rounded to whole edits, users or interactions. Otherwise, ε bounds the length
            of a perturbation.
        attacks: the base classes of attacks on this surface, as ``module:class``.
        each_item_alone: whether every item has a separate perturbation. If so, a loss belongs to an item, not to a
            user.
        scale: the default scale of ε.
        checks_victims: whether the host checks a victim before it measures attacks on this surface. The checks compare
            scores at perturbed vectors.
        checks_tables: whether the host also checks the gradients with respect to the embedding tables.
        measured_by: the class that measures attacks on this surface at test time, as ``module:class``. The string is
            empty if attacks on this surface act before the fit.
        ensemble_version: the current version of the standard ensemble on this surface, or 0 if there is no such
            ensemble. A board under an earlier version is expired.
        perturbs: whether attacks on this surface perturb anything. Attacks that do not have no ε, change no list, and
            are in no ranking table.
    """

    each_user_alone: bool
    leaves_broken_users: bool
    ranks_models: bool
    whole_units: bool
    attacks: tuple[str, ...]
    each_item_alone: bool = False
    scale: Scale = "relative"
    checks_victims: bool = False
    checks_tables: bool = False
    measured_by: str = ""
    ensemble_version: int = 0
    perturbs: bool = True


SURFACES: Mapping[str, SurfaceRules] = MappingProxyType(
    {
        "embedding": SurfaceRules(
            each_user_alone=True,
            leaves_broken_users=True,
            ranks_models=False,
            whole_units=False,
            attacks=("robench.api.attacks.embedding:EmbeddingAttack",),
            checks_victims=True,
            measured_by="robench.engine.surfaces.embedding.surface:EmbeddingSurface",
            ensemble_version=3,
        ),
        "parameters": SurfaceRules(
            each_user_alone=False,
            leaves_broken_users=False,
            ranks_models=False,
            whole_units=False,
            attacks=("robench.api.attacks.embedding:EmbeddingAttack",),
            checks_victims=True,
            checks_tables=True,
            measured_by="robench.engine.surfaces.parameters.surface:ParametersSurface",
            ensemble_version=3,
        ),
        "features": SurfaceRules(
            each_user_alone=False,
            leaves_broken_users=False,
            ranks_models=True,
            whole_units=False,
            attacks=("robench.api.attacks.embedding:EmbeddingAttack",),
            checks_victims=True,
            checks_tables=True,
            measured_by="robench.engine.surfaces.features.surface:FeaturesSurface",
        ),
        "history": SurfaceRules(
            each_user_alone=True,
            leaves_broken_users=True,
            ranks_models=True,
            whole_units=True,
            attacks=("robench.api.attacks.history:HistoryAttack",),
            scale="absolute",
            measured_by="robench.engine.surfaces.history.surface:HistorySurface",
            ensemble_version=2,
        ),
        "text": SurfaceRules(
            each_user_alone=False,
            leaves_broken_users=False,
            ranks_models=True,
            whole_units=True,
            attacks=("robench.api.attacks.text:TextAttack",),
            each_item_alone=True,
            measured_by="robench.engine.surfaces.text.surface:TextSurface",
            ensemble_version=2,
        ),
        "interactions": SurfaceRules(
            each_user_alone=False,
            leaves_broken_users=False,
            ranks_models=True,
            whole_units=True,
            attacks=("robench.api.attacks.poisoning:PoisoningAttack", "robench.api.attacks.poisoning:Corruption"),
        ),
        "membership": SurfaceRules(
            each_user_alone=False,
            leaves_broken_users=False,
            ranks_models=False,
            whole_units=False,
            attacks=("robench.api.attacks.membership:MembershipAttack",),
            scale="absolute",
            measured_by="robench.engine.surfaces.membership.surface:MembershipSurface",
            perturbs=False,
        ),
    }
)
