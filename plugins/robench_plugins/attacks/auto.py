"""auto: the fixed ensemble by which leaderboards are ranked."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Literal, Self, TypeGuard

from pydantic import Field, model_validator

from robench.api import BaseConfig, Ensemble, Member, SettingError, Surface, Threat
from robench_plugins.attacks.embedding.apgd import Apgd
from robench_plugins.attacks.embedding.cw import CarliniWagner
from robench_plugins.attacks.embedding.pgd import Pgd
from robench_plugins.attacks.embedding.random_noise import RandomNoise
from robench_plugins.attacks.embedding.random_search import RandomSearch
from robench_plugins.attacks.history.greedy_edit import GreedyEdit
from robench_plugins.attacks.history.greedy_gradient import GreedyGradient
from robench_plugins.attacks.history.random_edit import RandomEdit
from robench_plugins.attacks.text.hotflip import HotFlip
from robench_plugins.attacks.text.prefix import Prefix
from robench_plugins.attacks.text.prompt_injection import PromptInjection
from robench_plugins.attacks.text.random_rewrite import RandomRewrite
from robench_plugins.attacks.text.typo import TypoAttack

DRAWS = 8  # per look of a gradient attack at a victim that draws at test time
VERSIONS = {
    "embedding": 2,
    "parameters": 2,
    "history": 1,
    "text": 2,
}  # 2: PGD proposes its best iterate; hotflip deletes
UNITS = {"history": ("edits", "fraction"), "text": ("words", "characters")}


def _one_of(given: Any, known: Collection[str]) -> TypeGuard[str]:
    """A suite may have a list or a mapping where a word is meant."""
    return isinstance(given, str) and given in known


class Auto(Ensemble):
    """The worst over a fixed list of attacks, per surface; nothing of it can be tuned (Croce & Hein, ICML 2020, made
    the case: AutoAttack).

    ``embedding``: random points and PGD with 10 and with 40 steps on everybody, so that they can be compared; on who
    still stands APGD on ``ce``, ``margin`` and ``bpr`` and in L2 Carlini & Wagner; on everybody again a random search
    that asks for no gradient. ``parameters``, one δ for all users: random points, PGD, APGD on the three losses and a
    random search.
    ``history``: on everybody random edits, where there are gradients greedy substitutions along them, and a greedy
    search for substitutions through scores; on who still stands one for edits of all kinds.
    ``text``, one rewriting for all users, by words: random words, added popular words, where there are gradients by
    tokens words along them, and instructions where the model follows any; by characters: random letters and typos.
    At a victim that draws at test time gradients are means over draws (EOT, Athalye et al., ICML 2018).
    A change of a list raises its surface's ``version``, as results under two lists do not compare.
    """

    class Config(BaseConfig):
        """The threat model, and the version of the list."""

        surface: Literal["embedding", "parameters", "history", "text"] = "embedding"
        norm: Literal["l2", "linf", "edits", "words", "characters"] = "l2"
        scale: Literal["relative", "absolute"] = "relative"
        unit: Literal["edits", "fraction", "words", "characters"] = Field(
            default="edits", description="of ε: edits or fraction on the surface history, words or characters on text"
        )
        goal: Literal["untargeted", "promote"] = Field(default="untargeted", description="on text promote")
        k: int = Field(default=10, ge=1, description="the top k that an item shall leave, or enter")
        version: int = Field(default=VERSIONS["embedding"], description="of the surface's list")

        @model_validator(mode="before")
        @classmethod
        def _versioned(cls, given: Any) -> Any:
            """The surface says which version is built in."""
            if not isinstance(given, dict):
                return given
            surface = given.get("surface", "embedding")
            return {"version": VERSIONS[surface], **given} if _one_of(surface, VERSIONS) else given

        @model_validator(mode="before")
        @classmethod
        def _counted(cls, given: Any) -> Any:
            """On histories and titles the unit says what norm and scale are."""
            surface = given.get("surface") if isinstance(given, dict) else None
            if not _one_of(surface, UNITS):
                return given
            named = given.get("norm") if _one_of(given.get("norm"), UNITS[surface]) else UNITS[surface][0]
            unit = given.get("unit", named)
            if surface == "text":
                if not _one_of(unit, UNITS["text"]):
                    return {**given, "norm": "words"}  # the field says what it may be
                settled, hint = {"norm": unit, "scale": "relative"}, f"leave it out; ε is a share of the title's {unit}"
                given = {"goal": "promote", "unit": unit, **given}
            else:
                scale = "relative" if unit == "fraction" else "absolute"
                settled, hint = (
                    {"norm": "edits", "scale": scale},
                    "leave it out; unit: fraction makes ε a share of the history",
                )
            for name, only in settled.items():
                if given.get(name, only) != only:
                    raise SettingError(
                        f"on the surface {surface} ε counts edits, so {name} can only be {only}", name, hint
                    )
            return {**given, **settled}

        @model_validator(mode="after")
        def _fits(self) -> Self:
            if self.version != VERSIONS[self.surface]:
                problem = f"auto on the surface {self.surface} is version {VERSIONS[self.surface]}, not {self.version}"
                raise SettingError(problem, "version", "leave it out")
            if self.surface not in UNITS and self.norm not in ("l2", "linf"):
                raise SettingError(f"on the surface {self.surface} the norm is l2 or linf, not {self.norm}", "norm")
            if self.unit not in UNITS.get(self.surface, ("edits",)):
                homes = {unit: surface for surface, units in UNITS.items() for unit in units}
                problem = f"unit {self.unit} is of the surface {homes[self.unit]}, not of {self.surface}"
                raise SettingError(problem, "unit", f"leave it out, or write surface: {homes[self.unit]}")
            return self

    config: Config
    surface: ClassVar[Surface] = "embedding"

    def threat(self) -> Threat:
        """As configured, at test time."""
        c = self.config
        return Threat(c.surface, "test", c.norm, c.scale, c.goal, c.k)

    def members(self, *, gradients: bool, stochastic: bool) -> Sequence[Member]:
        """The list of the surface."""
        match self.config.surface:
            case "history":
                return self._history(gradients, stochastic)
            case "text":
                return self._titles(gradients)
            case "parameters":
                return self._tables(stochastic)
            case "embedding":
                return self._inputs(stochastic)

    def _ball(self, stochastic: bool, **more: Any) -> dict[str, Any]:
        c = self.config
        shared = {"surface": c.surface, "norm": c.norm, "scale": c.scale, "goal": c.goal, "k": c.k}
        return {**shared, "expectation": DRAWS if stochastic else 1, **more}

    def _inputs(self, stochastic: bool) -> list[Member]:
        ball = self._ball(stochastic)
        found = [
            Member("random-noise", RandomNoise.make(**{**ball, "expectation": 1}, draws=40), everyone=True),
            Member("pgd-10", Pgd.make(**ball, steps=10), everyone=True),
            Member("pgd-40", Pgd.make(**ball, steps=40), everyone=True),
            Member("apgd-ce", Apgd.make(**ball, loss="ce", steps=50)),
            Member("apgd-margin", Apgd.make(**ball, loss="margin", steps=50)),
            Member("apgd-bpr", Apgd.make(**ball, loss="bpr", steps=30)),
        ]
        if self.config.norm == "l2":
            found.append(Member("cw", CarliniWagner.make(**ball, steps=40, search=4)))
        return [*found, Member("random-search", RandomSearch.make(**ball, queries=300), everyone=True)]

    def _tables(self, stochastic: bool) -> list[Member]:
        ball = self._ball(stochastic)
        return [
            Member("random-noise", RandomNoise.make(**ball, draws=20)),
            Member("pgd-20", Pgd.make(**ball, steps=20)),
            *(Member(f"apgd-{loss}", Apgd.make(**ball, loss=loss, steps=30)) for loss in ("ce", "margin", "bpr")),
            Member("random-search", RandomSearch.make(**ball, loss="ce", queries=50)),
        ]

    def _edits(self, **more: Any) -> dict[str, Any]:
        c = self.config
        return {"unit": c.unit, "goal": c.goal, "k": c.k, **more}

    def _history(self, gradients: bool, stochastic: bool) -> list[Member]:
        draws = DRAWS if stochastic else 1
        steep = GreedyGradient.make(**self._edits(expectation=draws))
        search = GreedyEdit.make(**self._edits(expectation=draws, edits=("substitute",)))
        return [
            Member("random-edit", RandomEdit.make(**self._edits(draws=100)), everyone=True),
            *([Member("greedy-gradient", steep, everyone=True)] if gradients else []),
            Member("greedy-substitution", search, everyone=True),
            Member("greedy-edit", GreedyEdit.make(**self._edits(expectation=draws))),
        ]

    def _titles(self, gradients: bool) -> list[Member]:
        c = self.config
        shared = {"unit": c.unit, "goal": c.goal, "k": c.k}
        if c.unit == "characters":
            return [
                Member("random-letters", RandomRewrite.make(**shared, draws=210)),
                Member("typo", TypoAttack.make(**shared)),
            ]
        return [
            Member("random-words", RandomRewrite.make(**shared, draws=300)),
            Member("prefix", Prefix.make(**shared)),
            *([Member("hotflip", HotFlip.make(**shared))] if gradients else []),
            *([Member("prompt-injection", PromptInjection.make(**shared))] if c.goal == "promote" else []),
        ]
