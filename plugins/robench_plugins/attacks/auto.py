"""The ensemble ``auto``, the standard attack of leaderboards."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, TypeGuard

from pydantic import Field, ValidationError, model_validator

from robench.api import Ensemble, Member, SettingError, Surface, Threat
from robench.api.attacks.history import RulesConfig
from robench.api.attacks.text import StealthConfig
from robench.api.edit_rules import EditRules
from robench.api.surfaces import SURFACES
from robench.api.threat import Norm
from robench.api.title_rules import TitleRules
from robench_plugins.attacks.embedding.apgd import Apgd
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.random_noise import RandomNoise
from robench_plugins.attacks.embedding.random_search import RandomSearch
from robench_plugins.attacks.embedding.smooth_rank import SmoothRank
from robench_plugins.attacks.history.edit_effects import EditEffects
from robench_plugins.attacks.history.greedy_edit import GreedyEdit
from robench_plugins.attacks.history.greedy_gradient import GreedyGradient
from robench_plugins.attacks.history.random_edit import RandomEdit
from robench_plugins.attacks.text.hotflip import HotFlip
from robench_plugins.attacks.text.prefix import Prefix
from robench_plugins.attacks.text.prompt_injection import PromptInjection
from robench_plugins.attacks.text.random_rewrite import RandomRewrite
from robench_plugins.attacks.text.typo import TypoAttack

DRAWS = 8  # the number of draws that an evaluation of a stochastic victim averages
# The version of each surface's list of members. Since version 3 on embedding and parameters, some members also lower
# held-out items within the top k. Since version 2 on history, all models face the same members.
VERSIONS = {name: rules.ensemble_version for name, rules in SURFACES.items() if rules.ensemble_version}
UNITS = {"history": ("edits", "fraction"), "text": ("words", "characters")}
RULES = {name: field.default for name, field in RulesConfig.model_fields.items()}


def _one_of(value: Any, names: Collection[str]) -> TypeGuard[str]:
    """Returns whether the value is one of the names.

    The value may have any type, because a suite may contain a list or a mapping in place of a name.
    """
    return isinstance(value, str) and value in names


def _rules_of(given: Mapping[str, Any]) -> EditRules:
    """Returns the rules for edits that the settings contain.

    Rules that are not given have their defaults. If any rule is invalid, all rules have their defaults.
    """
    try:
        return RulesConfig(**{name: given[name] for name in RULES if name in given}).rules
    except ValidationError:
        return EditRules()


def _floor_of(given: Mapping[str, Any]) -> float | None:
    """Returns the floor of the similarity that the settings contain.

    The result is None if there is none, or if it is invalid.
    """
    try:
        return StealthConfig(stealth=given.get("stealth")).stealth
    except ValidationError:
        return None


class Auto(Ensemble):
    """Takes the worst case over a fixed list of attacks with fixed settings.

    The idea of such an ensemble comes from AutoAttack (Croce & Hein, ICML 2020). Some members run on every user, so
    that their results can be compared. The other members run only on the remaining users, which no earlier member has
    broken.

    Members on ``embedding``, in order:

    - On every user: random points, and PGD on ``ce`` with 10 and with 40 steps.
    - On the remaining users: APGD on ``margin``, APGD on ``hinge``, and ``smooth-rank``. The last two also lower
      held-out items that stay in the top k.
    - On every user: a random search on ``hinge``, which needs no gradient.

    Members on ``parameters``, in order, each with one δ for all users: random points, PGD on ``ce``, APGD on ``hinge``,
    ``smooth-rank``, and a random search on ``ce``.

    Members on ``history``, in order:

    - On every user: random edits.
    - On every user, only with ``white_box`` and if the model has a gradient: greedy substitutions along the gradient.
    - On every user: ``edit-effects``, and greedy edits that raise ``margin``. Both need only scores. So without
      ``white_box``, every model faces the same members, with the same number of scorings per user.

    Members on ``text``, in order, with the same rewritten titles for all users:

    - If edits are words: random words, and added popular words.
    - If edits are words and the model has a gradient: flips along the gradient.
    - If edits are words, the goal is ``promote`` and the model follows instructions: added instructions.
    - If edits are characters: random letters, and typos.

    If the victim is stochastic, most members on the first three surfaces average over several draws (expectation over
    transformation, Athalye et al., ICML 2018). Changing a list raises the ``version`` of its surface, because results
    under different lists are not comparable.
    """

    class Config(RulesConfig, StealthConfig):
        """Settings of ``auto``: the threat model and the version of the list."""

        surface: Literal["embedding", "parameters", "history", "text"] = Field(
            default="embedding", description="What the members attack"
        )
        norm: Norm = Field(
            default="l2",
            description="Norm of the budget: l2 or linf; on history and text it follows from the other settings",
        )
        scale: Literal["relative", "absolute"] = Field(
            default="relative", description="Whether ε is relative to the size of the genuine values, or absolute"
        )
        unit: Literal["edits", "fraction", "words", "characters"] = Field(
            default="edits", description="Unit of ε: edits or fraction on history, words or characters on text"
        )
        goal: Literal["untargeted", "promote"] = Field(
            default="untargeted",
            description="Push held-out items out of the top k, or promoted items into it (the default on text)",
        )
        k: int = Field(default=10, ge=1, description="Length of the list that the goal refers to, in items")
        version: int = Field(
            default=VERSIONS["embedding"], description="Version of the list of members; each surface has one"
        )

        @model_validator(mode="before")
        @classmethod
        def _with_version(cls, given: Any) -> Any:
            """Adds the version of the surface's list, unless the settings contain a version."""
            if not isinstance(given, dict):
                return given
            surface = given.get("surface", "embedding")
            return {"version": VERSIONS[surface], **given} if _one_of(surface, VERSIONS) else given

        @model_validator(mode="before")
        @classmethod
        def _with_norm_of_unit(cls, given: Any) -> Any:
            """Adds the norm and the scale that the surfaces history and text imply.

            The settings of other surfaces do not change. On text, the default goal is ``promote``.

            Raises:
                SettingError: if a given norm or scale contradicts the implied one.
            """
            surface = given.get("surface") if isinstance(given, dict) else None
            if not _one_of(surface, UNITS):
                return given
            default: str = given["norm"] if _one_of(given.get("norm"), UNITS[surface]) else UNITS[surface][0]
            if surface == "text" and (stated := TitleRules.of(str(given.get("norm")))) is not None:
                default = stated.unit
            unit = given.get("unit", default)
            if surface == "text":
                if not _one_of(unit, UNITS["text"]):
                    return {**given, "norm": "words"}  # the validation of the field then lists the units
                norm = TitleRules("characters" if unit == "characters" else "words", _floor_of(given)).norm
                implied, hint = {"norm": norm, "scale": "relative"}, f"leave it out; ε is a share of the title's {unit}"
                given = {"goal": "promote", "unit": unit, **given}
            else:
                scale = "relative" if unit == "fraction" else "absolute"
                implied = {"norm": _rules_of(given).norm, "scale": scale}
                hint = "leave it out; unit: fraction makes ε a share of the history"
            for name, value in implied.items():
                if given.get(name, value) != value:
                    problem = f"on the surface {surface} ε counts edits, so {name} can only be {value}"
                    raise SettingError(problem, name, hint)
            return {**given, **implied}

        @model_validator(mode="after")
        def _check_surface(self) -> Self:
            """Checks that the settings fit the surface and each other.

            Raises:
                SettingError: if a setting does not fit.
            """
            if self.version != VERSIONS[self.surface]:
                problem = f"auto on the surface {self.surface} is version {VERSIONS[self.surface]}, not {self.version}"
                raise SettingError(problem, "version", "leave it out")
            if self.surface not in UNITS and self.norm not in ("l2", "linf"):
                raise SettingError(f"on the surface {self.surface} the norm is l2 or linf, not {self.norm}", "norm")
            changed = [name for name, default in RULES.items() if getattr(self, name) != default]
            if changed and self.surface != "history":
                raise SettingError(
                    f"{changed[0]} is a rule for histories, not for {self.surface}", changed[0], "leave it out"
                )
            if self.stealth is not None and self.surface != "text":
                raise SettingError(f"stealth is a rule for titles, not for {self.surface}", "stealth", "leave it out")
            if self.white_box and self.place == "end":
                problem = "gradients guide substitutions, and at the end of a history items can only be inserted"
                raise SettingError(problem, "white_box", "leave it out")
            if self.unit not in UNITS.get(self.surface, ("edits",)):
                surfaces = {unit: surface for surface, units in UNITS.items() for unit in units}
                problem = f"unit {self.unit} belongs to the surface {surfaces[self.unit]}, not to {self.surface}"
                raise SettingError(problem, "unit", f"leave it out, or write surface: {surfaces[self.unit]}")
            return self

    config: Config
    surface: ClassVar[Surface] = "embedding"
    standard: ClassVar[bool] = True

    def threat(self) -> Threat:
        """Returns the threat model that the settings describe, with the stage ``test``."""
        c = self.config
        return Threat(c.surface, "test", c.norm, c.scale, c.goal, c.k)

    def members(self, *, gradients: bool, stochastic: bool) -> Sequence[Member]:
        """Returns the list of members for the surface.

        Args:
            gradients: whether the victim has gradients with respect to its inputs.
            stochastic: whether two evaluations of the same inputs differ.
        """
        match self.config.surface:
            case "history":
                return self._for_history(gradients, stochastic)
            case "text":
                return self._for_text(gradients)
            case "parameters":
                return self._for_parameters(stochastic)
            case "embedding":
                return self._for_embedding(stochastic)

    def _ball(self, stochastic: bool) -> dict[str, Any]:
        """Returns the settings of the threat model, and the number of draws to average."""
        c = self.config
        threat = {"surface": c.surface, "norm": c.norm, "scale": c.scale, "goal": c.goal, "k": c.k}
        return {**threat, "expectation": DRAWS if stochastic else 1}

    def _for_embedding(self, stochastic: bool) -> list[Member]:
        """Returns the members on the surface ``embedding``."""
        ball = self._ball(stochastic)
        return [
            Member("random-noise", RandomNoise.make(**{**ball, "expectation": 1}, draws=40), everyone=True),
            Member("pgd-10", Pgd.make(**ball, steps=10), everyone=True),
            Member("pgd-40", Pgd.make(**ball, steps=40), everyone=True),
            Member("apgd-margin", Apgd.make(**ball, loss="margin", steps=50)),
            Member("apgd-hinge", Apgd.make(**ball, loss="hinge", steps=30)),
            Member("smooth-rank", SmoothRank.make(**ball, steps=40)),
            Member("random-search", RandomSearch.make(**ball, loss="hinge", queries=150), everyone=True),
        ]

    def _for_parameters(self, stochastic: bool) -> list[Member]:
        """Returns the members on the surface ``parameters``."""
        ball = self._ball(stochastic)
        return [
            Member("random-noise", RandomNoise.make(**ball, draws=20)),
            Member("pgd-20", Pgd.make(**ball, steps=20)),
            Member("apgd-hinge", Apgd.make(**ball, loss="hinge", steps=30)),
            Member("smooth-rank", SmoothRank.make(**ball, steps=30)),
            Member("random-search", RandomSearch.make(**ball, loss="ce", queries=30)),
        ]

    def _edits(self, **settings: Any) -> dict[str, Any]:
        """Returns the given settings together with those of the threat model.

        The result suits attacks on histories and titles.
        """
        c = self.config
        rules = {name: getattr(c, name) for name in RULES if c.surface == "history"}
        rules |= {"stealth": c.stealth} if c.surface == "text" else {}
        return {"unit": c.unit, "goal": c.goal, "k": c.k, **rules, **settings}

    def _for_history(self, gradients: bool, stochastic: bool) -> list[Member]:
        """Returns the members on the surface ``history``."""
        shared = self._edits(expectation=DRAWS if stochastic else 1)
        steepest = gradients and self.config.white_box
        return [
            Member("random-edit", RandomEdit.make(**self._edits(draws=100)), everyone=True),
            *([Member("greedy-gradient", GreedyGradient.make(**shared), everyone=True)] if steepest else []),
            Member("edit-effects", EditEffects.make(**shared), everyone=True),
            Member("greedy-edit", GreedyEdit.make(**shared), everyone=True),
        ]

    def _for_text(self, gradients: bool) -> list[Member]:
        """Returns the members on the surface ``text``."""
        c, edits = self.config, self._edits()
        if c.unit == "characters":
            return [
                Member("random-letters", RandomRewrite.make(**edits, draws=210)),
                Member("typo", TypoAttack.make(**edits)),
            ]
        return [
            Member("random-words", RandomRewrite.make(**edits, draws=300)),
            Member("prefix", Prefix.make(**edits)),
            *([Member("hotflip", HotFlip.make(**edits))] if gradients else []),
            *([Member("prompt-injection", PromptInjection.make(**edits))] if c.goal == "promote" else []),
        ]
