"""The parts, victims and cells of a suite as frozen data with ids.

Most packages use this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from robench.api.codec import IF_SET, encode, inline
from robench.api.digest import canonical, digest, digest_text, digest_with_victim
from robench.api.surfaces import Scale, Surface
from robench.api.threat import NORMS, GoalName, Stage, Threat

PROTOCOL_VERSION = 1  # increased if equal specs no longer give equal numbers
CLEANING_VERSION = 2  # the same, for victims whose defence cleans the training data
Content = dict[str, object]  # plain data from which an id is made
LARGEST = 2**63 - 1
# the types of values that are read from files, where they may be invalid
CellId = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]  # also the type of a victim's id; part of file names
Number = Annotated[float, Field(allow_inf_nan=False)]
Whole = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]
Count = Annotated[int, Field(ge=0, le=LARGEST)]
Epsilon = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Part:
    """One configured component of a suite.

    Args:
        name: the identity of the component. See ``Registry.identity``.
        config: the resolved settings as JSON types, including defaults. The key of λ is ``lambda``. The budget ε of an
            attack is not included.
        label: the name of the part in tables.
        passed: the settings that the suite's author wrote.
        owner: ``distribution:entry`` of the plugin.
        limits: the most that a victim with this part may use: ``seconds``, and ``memory`` in bytes. Limits do not
            change the id.
    """

    name: str
    config: Mapping[str, Any]
    label: str
    passed: Mapping[str, Any] = field(default_factory=dict)
    owner: str = ""
    limits: Mapping[str, float] = field(default_factory=dict, compare=False)

    def content(self) -> Content:
        """Returns the data that identifies the part."""
        return {"name": self.name, "config": dict(self.config)}

    @cached_property
    def id(self) -> str:
        """The digest of ``content``, 16 hex digits."""
        return digest(self.content())


TRIALS_FILE = "trials.jsonl"  # the file of trials in a folder of results
RESOLVED = "# The validated suite, defaults spelled out.\n"  # the first line of suite.yaml in a folder of results
OWN_STRENGTHS = ("lambda", "epsilon")  # settings of a defence with columns of their own
NO_DEFENSE = Part("none", {}, "none")  # the default defence, which overrides nothing


@dataclass(frozen=True)
class TargetChoice:
    """The choice of the target items: ``sets`` disjoint draws of ``count`` items.

    If ``pick`` is ``listed``, the ids in ``items`` are the only set.
    """

    count: Count = 5
    pick: str = "unpopular"
    sets: Count = 1
    items: tuple[str, ...] = field(default=(), metadata=IF_SET)

    def content(self) -> Content:
        """Returns the data that identifies the choice."""
        drawn: Content = {"count": self.count, "pick": self.pick, "sets": self.sets}
        return drawn | ({"items": list(self.items)} if self.items else {})


@dataclass(frozen=True)
class UserSample:
    """A random sample of the users to evaluate.

    ``sample`` is the number of users, and ``seed`` is the seed of the draw.
    """

    sample: int
    seed: int = 0

    def content(self) -> Content:
        """Returns the data that identifies the sample."""
        return {"sample": self.sample, "seed": self.seed}


@dataclass(frozen=True)
class Poison:
    """An attack on the training data at one ε for one target set."""

    attack: Part
    epsilon: float
    target_set: int

    def content(self) -> Content:
        """Returns the data that identifies the poisoning."""
        return {"attack": self.attack.content(), "epsilon": self.epsilon, "target_set": self.target_set}


@dataclass(frozen=True)
class Victim:
    """The specification of one fitted model.

    The fields include the data set, the split, the model, the defence, the seed, the poisoning or None, and the version
    of the protocol.
    """

    dataset: Part
    split: Part
    model: Part
    defense: Part
    seed: int
    threads: int
    targets: TargetChoice
    poison: Poison | None = None
    protocol: int = PROTOCOL_VERSION

    def content(self) -> Content:
        """Returns the data that identifies the victim.

        The choice of targets matters only for a poisoned victim.
        """
        return {
            "dataset": self.dataset.content(),
            "split": self.split.content(),
            "model": self.model.content(),
            "defense": self.defense.content(),
            "seed": self.seed,
            "threads": self.threads,
            "poison": None if self.poison is None else {**self.poison.content(), "targets": self.targets.content()},
            "protocol": self.protocol,
        }

    @cached_property
    def text(self) -> str:
        """The data that identifies the victim, in canonical JSON."""
        return canonical(self.content())

    @cached_property
    def id(self) -> str:
        """The id, which has 16 hex digits."""
        return digest_text(self.text)

    @property
    def strength(self) -> tuple[float, float | None]:
        """The λ and the training ε of the defence.

        A defence without λ has 1.0, and a defence without ε has None.
        """
        return strength_of(self.defense.config)


def strength_of(config: Mapping[str, Any]) -> tuple[float, float | None]:
    """Returns λ and the training ε of a defence with these settings.

    The default of λ is 1.0, and the default of ε is None.
    """
    epsilon = config.get("epsilon")
    return float(config.get("lambda", 1.0)), None if epsilon is None else float(epsilon)


@dataclass(frozen=True)
class RowKey:
    """The key of a table row: the data and the victim, without the seed.

    Args:
        dataset: the label of the data set.
        split: the label of the split.
        model: the identity of the model.
        model_label: the label of the model in tables.
        defense: the identity of the defence, or ``none`` for an undefended victim.
        defense_label: the label of the defence in tables.
        lambda_: the weight of the clean loss, which is 1 for an undefended victim.
        train_epsilon: the ε of the defence, or None if the defence has no ε.
    """

    dataset: str
    split: str
    model: str
    model_label: str
    defense: str
    defense_label: str
    lambda_: Weight
    train_epsilon: Epsilon | None

    @property
    def place(self) -> tuple[str, str]:
        """The labels of the data set and the split."""
        return self.dataset, self.split

    @property
    def defended(self) -> bool:
        """True if the row's victims have a defence."""
        return self.defense != NO_DEFENSE.name

    @property
    def model_key(self) -> tuple[str, str, str, str]:
        """The place and the model, which a defended row shares with its undefended twin."""
        return self.dataset, self.split, self.model, self.model_label


@dataclass(frozen=True, kw_only=True)
class CellRow:
    """A cell in the flat form of plan.json.

    Tables are computed from these rows and from the records of the cells.

    Args:
        cell: the id of the cell.
        victim: the id of the victim.
        key: the key of the table row to which the cell belongs.
        attack: the identity of the attack at test or training time, or ``none`` for a clean cell.
        attack_label: the label of the attack in tables.
        stage: when the attack acts. This field and the next five make up the threat model, and are empty for a clean
            cell.
        surface: the surface of the attack.
        norm: the norm or unit of ε.
        scale: the scale of ε, ``relative`` or ``absolute``.
        goal: the goal of the attack.
        k: the k of the threat model, or None for a clean cell.
        epsilon: the budget, which is 0 for a clean cell.
        adaptive: the value of ``Attack.adaptive``, or an empty string for a clean cell.
        kind: the kind of an attack at test time, or an empty string. See ``Attack.kind``.
        target_set: the number of the target set, or None for a clean cell and for an untargeted attack at test time.
        seed: the seed of the victim.
        status: ``planned`` or ``skipped``.
        reason: the reason why the cell is skipped.
        baseline: whether the model is the baseline that other models must beat.
        standard: whether the attack is the fixed ensemble that ranks the rows of leaderboards.
        surrogate: the model that an attack with fake users fits in place of the victim, or an empty string.
    """

    cell: CellId
    victim: CellId
    key: RowKey = field(metadata=inline())
    attack: str
    attack_label: str
    stage: Literal[Stage, ""]
    surface: Literal[Surface, ""]
    norm: Annotated[str, Field(pattern=f"^$|{NORMS}")]
    scale: Literal[Scale, ""]
    goal: Literal[GoalName, ""]
    k: Annotated[int, Field(ge=1, le=LARGEST)] | None
    epsilon: Epsilon
    adaptive: str
    kind: str = ""
    target_set: Count | None = None
    seed: Whole
    status: Literal["planned", "skipped"] = "planned"
    reason: str = ""
    baseline: bool = field(default=False, metadata=IF_SET)
    standard: bool = field(default=False, metadata=IF_SET)
    surrogate: str = field(default="", metadata=IF_SET)

    @cached_property
    def threat(self) -> Threat | None:
        """The threat model, or None for a clean cell."""
        if not self.surface:
            return None
        names = {name.name: getattr(self, name.name) for name in fields(Threat)}
        return Threat(**names)

    @property
    def clean(self) -> bool:
        """True if the cell is clean, without any attack."""
        return self.attack == "none"


@dataclass(frozen=True)
class Cell:
    """One measurement of one victim: clean, or under one attack at one ε.

    Args:
        victim: the victim that is measured.
        attack: an attack at test time, or None for a clean cell and for a poisoned victim.
        epsilon: the budget of ``attack``.
        users: the sample of users to evaluate, or None for all users.
        threat: the threat model of the attack or the poisoning, or None for a clean cell.
        adaptive: the value of ``Attack.adaptive``, or an empty string for a clean cell.
        skip: the reason why the cell cannot be measured, or an empty string.
        kind: the kind of an attack at test time, on which its flags depend. See ``Attack.kind``.
        target_set: the number of the target set of an attack at test time, or None if the attack has no targets.
        baseline: whether the model is the baseline that other models must beat.
        standard: whether the attack is the ensemble that ranks the rows of leaderboards.
        surrogate: the model that an attack with fake users fits in place of the victim, or an empty string.
    """

    victim: Victim
    attack: Part | None = None
    epsilon: float = 0.0
    users: UserSample | None = None
    threat: Threat | None = None
    adaptive: str = ""
    skip: str = ""
    kind: str = ""
    target_set: int | None = None
    baseline: bool = False
    standard: bool = False
    surrogate: str = ""

    def content(self) -> Content:
        """Returns the data that identifies the cell.

        A clean cell also measures the target items, so the choice of targets counts.
        """
        return {"victim": self.victim.content(), **self._rest()}

    def _rest(self) -> Content:
        """Returns the data that identifies the cell, without the victim."""
        targets = self.victim.targets.content() if self.attack is None or self.target_set is not None else None
        return {
            "attack": None if self.attack is None else self.attack.content(),
            "epsilon": self.epsilon,
            "users": None if self.users is None else self.users.content(),
            "targets": targets if self.target_set is None else {**(targets or {}), "set": self.target_set},
        }

    @cached_property
    def id(self) -> str:
        """The id, which has 16 hex digits."""
        return digest_with_victim(self.victim.text, self._rest())

    @property
    def budget(self) -> float:
        """The ε of the attack or of the poisoning, which is 0 for a clean cell."""
        return self.epsilon if self.victim.poison is None else self.victim.poison.epsilon

    def row(self) -> CellRow:
        """Returns the cell in the form of plan.json.

        If the victim is poisoned, the row names the poisoning as the attack.
        """
        v, poison, threat = self.victim, self.victim.poison, self.threat
        attack = poison.attack if poison is not None else self.attack
        place = v.dataset.label, v.split.label
        return CellRow(
            cell=self.id,
            victim=v.id,
            key=RowKey(*place, v.model.name, v.model.label, v.defense.name, v.defense.label, *v.strength),
            attack="none" if attack is None else attack.name,
            attack_label="none" if attack is None else attack.label,
            stage="" if threat is None else threat.stage,
            surface="" if threat is None else threat.surface,
            norm="" if threat is None else threat.norm,
            scale="" if threat is None else threat.scale,
            goal="" if threat is None else threat.goal,
            k=None if threat is None else threat.k,
            epsilon=self.budget,
            adaptive=self.adaptive,
            kind=self.kind,
            target_set=self.target_set if poison is None else poison.target_set,
            seed=v.seed,
            status="skipped" if self.skip else "planned",
            reason=self.skip,
            baseline=self.baseline,
            standard=self.standard,
            surrogate=self.surrogate,
        )

    def columns(self) -> Mapping[str, Any]:
        """Returns the fields of ``row`` by name, for filters."""
        plain: Mapping[str, Any] = encode(self.row())
        return plain


def describe_victim(victim: Victim, *, seed: bool = True) -> str:
    """Returns a readable description of a victim, with or without its seed.

    For example: ``mf, adversarial-training λ=0.5, seed 0, bandwagon ε=0.01``.
    """
    weight, _ = victim.strength
    defense = victim.defense.label if weight == 1 else f"{victim.defense.label} λ={weight:g}"
    undefended = victim.defense.name == NO_DEFENSE.name
    parts = [victim.model.label, *([] if undefended else [defense]), *([f"seed {victim.seed}"] if seed else [])]
    if victim.poison is not None:
        parts.append(f"{victim.poison.attack.label} ε={victim.poison.epsilon:g}")
    return ", ".join(parts)
