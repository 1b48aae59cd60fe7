"""The shape of a suite file, but for the components, whose plugins say what they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from robench.api.errors import UserError, did_you_mean, likeliest
from robench.suite.words import DEVICE, NAME, field_of, in_words, meant
from robench.suite.yaml import Path, Tree, dotted

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
Count = Annotated[StrictInt, Field(ge=1)]
Seed = Annotated[StrictInt, Field(ge=0)]
Share = Annotated[StrictFloat, Field(gt=0, lt=1)]
Weight = Annotated[StrictFloat, Field(gt=0)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TargetsEntry(_Model):
    """``targets``."""

    count: Count = 5
    pick: Literal["unpopular", "popular", "random"] = "unpopular"
    sets: Count = 1


class UsersEntry(_Model):
    """``users``."""

    sample: Count
    seed: Seed = 0


class RankingEntry(_Model):
    """A table of the leaderboard. What is left out matches anything, as long as one threat model is meant; ``scale``
    is then absolute on histories, which are edited by whole items, and relative elsewhere.
    """

    surface: Literal["embedding", "parameters", "history", "text", "interactions"]
    stage: Literal["test", "train"] | None = None
    norm: Literal["l2", "linf", "edits", "words", "characters", "users", "share"] | None = None
    scale: Literal["relative", "absolute"] | None = None
    goal: Literal["untargeted", "promote", "demote"] = "untargeted"
    k: Count = 10
    metric: StrictStr = "ndcg@10"
    epsilon: StrictFloat = Field(ge=0)


class LeaveLastOut(_Model):
    """``split: {name: leave-last-out}``: the last item per user is held out, the one before is for validation."""

    seed: Seed = 0


class RandomRatio(_Model):
    """``split: {name: random-ratio}``: per user, train : validation : test, whatever their sum."""

    ratios: list[Weight] = [8.0, 1.0, 1.0]
    seed: Seed = 0

    @field_validator("ratios", mode="before")
    @classmethod
    def _three(cls, value: Any) -> Any:
        if isinstance(value, list) and len(value) != len(("training", "validation", "test")):
            raise ValueError("must be three numbers, training : validation : test")
        return value


class GlobalTime(_Model):
    """``split: {name: global-time}``: the last shares of all events by time."""

    validation: Share = 0.1
    test: Share = 0.1
    seed: Seed = 0

    @model_validator(mode="after")
    def _leaves_training(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("the shares of validation and test leave nothing to train on")
        return self


SPLITS: dict[str, type[_Model]] = {
    "leave-last-out": LeaveLastOut,
    "random-ratio": RandomRatio,
    "global-time": GlobalTime,
}


class SuiteFile(_Model):
    """The top level."""

    name: Annotated[StrictStr, Field(pattern=NAME)]
    seeds: list[Seed] = Field(default=[0], min_length=1)
    threads: Count = 1
    device: Annotated[StrictStr, Field(pattern=DEVICE)] = "auto"
    datasets: list[Any] = Field(min_length=1)
    split: Any = Field(default_factory=lambda: {"name": "leave-last-out"})
    models: list[Any] = Field(min_length=1)
    defenses: list[Any] = Field(default_factory=lambda: [{"name": "none"}], min_length=1)
    attacks: list[Any] = Field(default_factory=list)
    targets: TargetsEntry = Field(default_factory=TargetsEntry)
    ranking: list[RankingEntry] | None = None
    exclude: list[dict[str, Any]] = Field(default_factory=list)
    metrics: list[StrictStr] = Field(default=list(DEFAULT_METRICS), min_length=1)
    users: UsersEntry | None = None


# The keys known inside the sections of the top level.
SECTIONS: Mapping[str, Sequence[str]] = {
    "targets": list(TargetsEntry.model_fields),
    "users": list(UsersEntry.model_fields),
    "ranking": list(RankingEntry.model_fields),
}


class Mistakes:
    """Collects mistakes with their places, so that all are reported at once, and notes on what is no mistake."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.found: dict[str, tuple[int, UserError, Path | None]] = {}
        self.meant: set[Path] = set()
        self.notes: list[str] = []

    def add(self, problem: str, path: Path, hint: str = "", absent: Path | None = None) -> None:
        """A mistake at a path of the suite; the same one twice is told once.

        ``absent``: the key that is missing. Where a misspelt one was meant to be it, only that is told.
        """
        error = UserError(problem, where=self.tree.place(path), path=dotted(path), hint=hint)
        self.found.setdefault(str(error), (self.tree.line(path), error, absent))

    def add_validation(
        self,
        error: ValidationError,
        path: Path,
        fields: Sequence[str],
        homes: Mapping[str, Path] | None = None,
        strange: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        """Every mistake of a pydantic model whose root stands at ``path``.

        ``fields`` are its known keys; ``homes`` says where a key stands that is not right below ``path``; ``strange``
        has a problem and a hint of its own for keys that are not known.
        """
        for detail in error.errors():
            loc = field_of(detail)
            home = (homes or {}).get(str(loc[0]), (*path, loc[0])) if loc else path
            if detail["type"] == "extra_forbidden" and len(loc) == 1 and loc[0] in (strange or {}):
                problem, hint = (strange or {})[str(loc[0])]
                self.add(problem, home, hint)
                continue
            known = fields if len(loc) == 1 else SECTIONS.get(str(loc[0]), ()) if loc and not path else ()
            if detail["type"] == "extra_forbidden" and (key := likeliest(str(loc[-1]), known)) is not None:
                self.meant.add((*path, *loc[:-1], key))
            absent = (*path, *loc) if detail["type"] == "missing" else None
            self.add(*_told(detail, (*home, *loc[1:]), known), absent=absent)

    def in_order(self) -> list[UserError]:
        """By line; what the command line has set comes first."""
        told = [(line, error) for line, error, absent in self.found.values() if absent not in self.meant]
        return [error for _, error in sorted(told, key=lambda pair: pair[0])]


def _told(detail: ErrorDetails, where: Path, fields: Sequence[str]) -> tuple[str, Path, str]:
    kind, name = detail["type"], str(detail["loc"][-1]) if detail["loc"] else ""
    if kind == "extra_forbidden":
        return f"unknown key '{name}'", where, did_you_mean(name, fields) if fields else ""
    if kind == "missing":
        return f"missing key '{name}'", where[:-1], ""
    if kind == "too_short" and not detail["input"]:
        return "the list is empty", where, "give at least one entry"
    return in_words(detail), where, meant(detail)
