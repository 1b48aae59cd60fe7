"""The keys of a suite file as Pydantic models.

The settings of components are declared by their plugins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from robench.api.component import LATER, BaseConfig
from robench.api.errors import SettingError
from robench.api.surfaces import Scale, Surface
from robench.api.threat import GoalName, Norm, Stage
from robench.files.sizes import parse_size
from robench.spec import TargetChoice
from robench.suite.messages import DEVICE, NAME
from robench.suite.numerals import suggest_pairs

DEFAULT_METRICS = (
    "ndcg@10",
    "recall@10",
    "hr@10",
    "mrr@10",
    "rbo@10",
    "jaccard@10",
    "t-hr@10",
    "t-hr@50",
    "t-ndcg@10",
    "t-percentile",
)
PARTS_OF_A_SPLIT = 3  # training, validation and test
Count = Annotated[StrictInt, Field(ge=1)]
Seed = Annotated[StrictInt, Field(ge=0)]
Share = Annotated[StrictFloat, Field(gt=0, lt=1)]
FileName = Annotated[StrictStr, Field(min_length=1)]
Weight = Annotated[StrictFloat, Field(gt=0)]
MOST_NAME = 100  # the largest length of a suite's name or of a label, in bytes
# Windows reserves these names.
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _as_id(value: Any) -> Any:
    """Returns a whole number as text, and any other value unchanged.

    In YAML, an id of digits needs no quotes.
    """
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class TargetsEntry(_Model):
    """The value of the key ``targets``, which determines the target items."""

    count: Count = 5
    pick: Literal["unpopular", "popular", "lower-torso", "all", "random", "listed"] = "unpopular"
    sets: Count = 1
    items: list[Annotated[StrictStr, BeforeValidator(_as_id)]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _check_items(self) -> Self:
        if not self.items and self.pick == "listed":
            raise ValueError("pick: listed needs items: [ID, ...], the ids of the targets")
        if len(set(self.items)) < len(self.items):
            raise ValueError("items lists an item twice")
        listed = {"count": len(self.items), "pick": "listed", "sets": 1}
        for name, value in listed.items() if self.items else ():
            if name in self.model_fields_set and getattr(self, name) != value:
                raise ValueError(f"{name} does not go with items, which make one set of {len(self.items)}")
        return self

    def choice(self) -> TargetChoice:
        """Returns the choice of the targets."""
        if self.items:
            return TargetChoice(len(self.items), "listed", 1, tuple(self.items))
        return TargetChoice(self.count, self.pick, self.sets)


class UsersEntry(_Model):
    """The value of the key ``users``, which determines the users to evaluate."""

    sample: Count
    seed: Seed = 0


class TunedEntry(_Model):
    """The value of the key ``tuned``, which names the trials of a search."""

    file: Annotated[StrictStr, Field(min_length=1)]
    trials: Count
    sha256: Annotated[StrictStr, Field(pattern="^[0-9a-f]{64}$")]


class LimitsEntry(_Model):
    """The value of the key ``limits``, which states the most that a victim may use.

    A suite may have limits, and so may each of its entries.

    ``seconds`` count from the start of the victim's process. ``memory`` is a number of bytes or a string such as
    ``4 GiB`` or ``500 MB``.
    """

    seconds: Weight | None = None
    memory: Count | None = None

    @field_validator("memory", mode="before")
    @classmethod
    def _in_bytes(cls, value: Any) -> Any:
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        return parse_size(value if isinstance(value, str) else "")

    def content(self) -> dict[str, float]:
        """Returns the limits that are set, by name."""
        return self.model_dump(exclude_none=True)


class RankingEntry(_Model):
    """One entry of ``ranking``, which asks for a table of the leaderboard.

    If ``stage`` or ``norm`` is missing, any value matches. If ``scale`` is missing, the default scale of the surface is
    used. Only one threat model may match the entry.
    """

    surface: Surface
    stage: Stage | None = None
    norm: Norm | None = None
    scale: Scale | None = None
    goal: GoalName = "untargeted"
    k: Count = 10
    metric: StrictStr = "ndcg@10"
    epsilon: StrictFloat = Field(ge=0)


class LeaveLastOut(BaseConfig):
    """The split ``leave-last-out``.

    The last ``n`` items of each user are held out for the test, and the ``n`` items before them for validation.
    """

    n: Count = Field(default=1, json_schema_extra=LATER)
    seed: Seed = 0


class RandomRatio(BaseConfig):
    """The split ``random-ratio``.

    The items of each user are split at random in the given ratios.
    """

    ratios: list[Weight] = Field(default=[8.0, 1.0, 1.0])
    seed: Seed = 0

    @field_validator("ratios", mode="before")
    @classmethod
    def _three(cls, value: Any) -> Any:
        if isinstance(value, list) and len(value) != PARTS_OF_A_SPLIT:
            problem = "must be three numbers, training : validation : test"
            raise SettingError(problem, "ratios", suggest_pairs(value) if len(value) == 2 * PARTS_OF_A_SPLIT else "")
        return value


class GlobalTime(BaseConfig):
    """The split ``global-time``.

    The latest events of all users together are held out. ``validation`` and ``test`` are shares of all events.
    """

    validation: Share = 0.1
    test: Share = 0.1
    seed: Seed = 0

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("the shares of validation and test leave nothing to train on")
        return self


class ColdUsers(BaseConfig):
    """The split ``cold-users``.

    Random users are held out as a whole. ``known`` is the share of their events that models get at test time. The other
    events are drawn at random, or are the last ones of each user (``held_out``).
    """

    validation: Share = 0.1
    test: Share = 0.1
    known: Share = 0.8
    held_out: Literal["random", "last"] = "random"
    seed: Seed = 0

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("the shares of validation and test leave nobody to train on")
        return self


class OwnFiles(BaseConfig):
    """The split ``files``, which takes each part from a file of its own.

    The files may be left out if the data set finds them by itself. The file of validation items is optional.
    """

    train: FileName | None = Field(default=None, json_schema_extra=LATER)
    validation: FileName | None = Field(default=None, json_schema_extra=LATER)
    test: FileName | None = Field(default=None, json_schema_extra=LATER)

    @model_validator(mode="after")
    def _has_both(self) -> Self:
        given = {name for name in ("train", "validation", "test") if getattr(self, name) is not None}
        if given and not {"train", "test"} <= given:
            raise ValueError("the files of training and test items belong together: give train and test")
        return self


SPLITS: dict[str, type[BaseConfig]] = {
    "leave-last-out": LeaveLastOut,
    "random-ratio": RandomRatio,
    "global-time": GlobalTime,
    "files": OwnFiles,
    "cold-users": ColdUsers,
}


def _usable(name: str) -> str:
    """Returns the name of a suite if every file system allows a folder of this name.

    Raises:
        ValueError: if the name is not allowed. The message gives the reason.
    """
    if len(name) > MOST_NAME:
        raise ValueError(f"must be at most {MOST_NAME} characters, as it names a folder")
    if name.partition(".")[0] in RESERVED or name.endswith("."):
        raise ValueError("must be a name that Windows allows for a folder")
    return name


class SuiteFile(_Model):
    """The top level of a suite file."""

    name: Annotated[StrictStr, Field(pattern=NAME), AfterValidator(_usable)]
    seeds: list[Seed] = Field(default=[0], min_length=1)
    threads: Count = 1
    device: Annotated[StrictStr, Field(pattern=DEVICE)] = "auto"
    datasets: list[Any] = Field(min_length=1)
    split: Any = Field(default_factory=lambda: {"name": "leave-last-out"})
    models: list[Any] = Field(min_length=1)
    defenses: list[Any] = Field(default_factory=lambda: [{"name": "robench/none"}], min_length=1)
    attacks: list[Any] = Field(default_factory=list)
    targets: TargetsEntry = Field(default_factory=TargetsEntry)
    ranking: list[RankingEntry] | None = None
    exclude: list[Mapping[str, Any]] = Field(default_factory=list)
    metrics: list[StrictStr] = Field(default=list(DEFAULT_METRICS), min_length=1)
    users: UsersEntry | None = None
    limits: LimitsEntry = Field(default_factory=LimitsEntry)
    tuned: TunedEntry | None = None


# The keys of each top-level section, for hints about misspelt keys.
SECTIONS: Mapping[str, Sequence[str]] = {
    "targets": list(TargetsEntry.model_fields),
    "users": list(UsersEntry.model_fields),
    "limits": list(LimitsEntry.model_fields),
    "ranking": list(RankingEntry.model_fields),
    "tuned": list(TunedEntry.model_fields),
}
