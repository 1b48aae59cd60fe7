"""The shape of a suite file, but for the components, whose plugins say what they take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError
from pydantic_core import ErrorDetails

from robench.api.errors import UserError, did_you_mean
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
Share = Annotated[float, Field(gt=0, lt=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TargetsEntry(_Model):
    """``targets``."""

    count: int = Field(default=5, ge=1)
    pick: Literal["unpopular", "popular", "random"] = "unpopular"
    sets: int = Field(default=1, ge=1)


class UsersEntry(_Model):
    """``users``."""

    sample: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)


class RankingEntry(_Model):
    """A table of the leaderboard. What is left out matches anything, as long as one threat model is meant."""

    surface: Literal["embedding", "parameters", "history", "text", "interactions"]
    stage: Literal["test", "train"] | None = None
    norm: Literal["l2", "linf", "edits", "users", "share"] | None = None
    scale: Literal["relative", "absolute"] = "relative"
    goal: Literal["untargeted", "promote", "demote"] = "untargeted"
    k: int = Field(default=10, ge=1)
    metric: StrictStr = "ndcg@10"
    epsilon: float = Field(ge=0)


class LeaveLastOut(_Model):
    """``split: {name: leave-last-out}``: the last item per user is held out, the one before is for validation."""

    seed: int = Field(default=0, ge=0)


class RandomRatio(_Model):
    """``split: {name: random-ratio}``: per user, train : validation : test."""

    ratios: tuple[float, float, float] = (8, 1, 1)
    seed: int = Field(default=0, ge=0)


class GlobalTime(_Model):
    """``split: {name: global-time}``: the last shares of all events by time."""

    validation: Share = 0.1
    test: Share = 0.1
    seed: int = Field(default=0, ge=0)


SPLITS: dict[str, type[_Model]] = {
    "leave-last-out": LeaveLastOut,
    "random-ratio": RandomRatio,
    "global-time": GlobalTime,
}


class SuiteFile(_Model):
    """The top level."""

    name: Annotated[StrictStr, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    seeds: list[Annotated[StrictInt, Field(ge=0)]] = Field(default=[0], min_length=1)
    threads: StrictInt = Field(default=1, ge=1)
    device: Annotated[StrictStr, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
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


class Mistakes:
    """Collects mistakes with their places, so that all are reported at once."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.found: list[tuple[str, UserError]] = []

    def add(self, problem: str, path: Path, hint: str = "") -> None:
        """A mistake at a path of the suite."""
        place = self.tree.place(path)
        self.found.append((place, UserError(problem, where=place, path=dotted(path), hint=hint)))

    def add_validation(self, error: ValidationError, path: Path, fields: Sequence[str]) -> None:
        """Every mistake of a pydantic model whose root stands at ``path``; ``fields`` are its known keys."""
        for detail in error.errors():
            where = (*path, *(part for part in detail["loc"] if part != "function-after"))
            top = len(detail["loc"]) == 1
            self.add(*_in_words(detail, where, fields if top else ()))

    def in_order(self) -> list[UserError]:
        """By line."""
        return [e for _, e in sorted(self.found, key=lambda pair: int(pair[0].rpartition(":")[2] or 0))]


def _in_words(detail: ErrorDetails, where: Path, fields: Sequence[str]) -> tuple[str, Path, str]:
    kind, name = detail["type"], str(detail["loc"][-1]) if detail["loc"] else ""
    if kind == "extra_forbidden":
        return f"unknown key '{name}'", where, did_you_mean(name, fields) if fields else ""
    if kind == "missing":
        return f"missing key '{name}'", where[:-1], ""
    if kind == "too_short":
        return "the list is empty", where, "give at least one entry"
    shown = "" if isinstance(detail["input"], (dict, list)) else f", got {detail['input']!r}"
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}{shown}", where, ""
