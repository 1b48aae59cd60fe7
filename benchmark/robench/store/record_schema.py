"""The fields of a record as Pydantic models.

Records are checked against these models, and the JSON schema is generated from the models.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from robench.spec import CellId, Count, Epsilon, Number, Whole
from robench.store.models import Content, Sha256


class PartContent(Content):
    """A component and its resolved settings."""

    name: str
    config: dict[str, Any]


class TargetsContent(Content):
    """The rule that picks the target items, and the index of the cell's set."""

    count: Count
    pick: str
    sets: Count
    items: list[str] = Field(default_factory=list)
    set: Count = 0


class PoisonContent(Content):
    """An attack on the training data."""

    attack: PartContent
    epsilon: Epsilon
    target_set: Count
    targets: TargetsContent


class VictimContent(Content):
    """The content from which the id of a victim is hashed."""

    dataset: PartContent
    split: PartContent
    model: PartContent
    defense: PartContent
    seed: Whole
    threads: Count
    poison: PoisonContent | None
    protocol: Count


class UsersContent(Content):
    """The size and the seed of a sample of users."""

    sample: Count
    seed: Whole


class SpecContent(Content):
    """The content from which the id of a cell is hashed."""

    victim: VictimContent
    attack: PartContent | None
    epsilon: Epsilon
    users: UsersContent | None
    targets: TargetsContent | None


class MetricValue(Content):
    """The mean of a measure over users, and the version of its metric.

    ``value`` is None if no user has a value.
    """

    value: Number | None
    version: Count


class MemberContent(Content):
    """One member of an ensemble."""

    name: str
    kind: str
    everyone: bool
    steps: Count | None
    users: Count
    queries: Count
    gradients: Count
    first_breaks: Count = 0
    damage: Number | None = None


class TitleContent(Content):
    """One rewritten title."""

    item: str
    row: Count
    before: str
    after: str
    edits: Count
    similarity: Number = 1.0
    likelihood_before: Number = 0.0
    likelihood_after: Number = 0.0


class PrivacyContent(Content):
    """The guarantee of a differentially private fit.

    ``not_covered`` lists what the fit also depends on, although the guarantee is not about it.
    """

    eps_dp: Number | Literal["inf"]
    delta: Number
    unit: Literal["user"]
    covers: str
    not_covered: list[str] = Field(default_factory=list)


class ErrorContent(Content):
    """The reason why a cell failed."""

    type: str
    message: str
    traceback: str


class Provenance(Content):
    """The versions, the machine, and the digests of code and data."""

    robench: str
    plugins: dict[str, str]
    python: str
    torch: str
    numpy: str
    platform: str
    processor: str = ""
    device: str
    threads: Count
    date: str = ""
    code: dict[str, str]
    data_sha256: str
    outside: dict[str, str] = Field(default_factory=dict)


class RecordHead(Content):
    """The fields that every record has."""

    format_version: Literal[1, 2]
    protocol_version: Count
    id: CellId
    victim: CellId
    spec: SpecContent
    passed: dict[str, dict[str, Any]] = Field(default_factory=dict)
    metrics: dict[str, MetricValue]
    sha256: Sha256


class MeasuredRecord(RecordHead):
    """The record of a measured cell."""

    status: Literal["ok"]
    achieved: dict[str, Number]
    diagnostics: dict[str, Number | None]
    checks: dict[str, Number] = Field(default_factory=dict)
    detection: dict[str, Number | None] = Field(default_factory=dict)
    certificate: dict[str, Number | None] = Field(default_factory=dict)
    privacy: PrivacyContent | None = None
    membership: dict[str, Number | None] = Field(default_factory=dict)
    fit: dict[str, Number | None]
    members: list[MemberContent] = Field(default_factory=list)
    titles: list[TitleContent] = Field(default_factory=list)
    reading: dict[str, Count] = Field(default_factory=dict)
    seconds: Number
    fit_seconds: Number | None
    peak_memory_mib: Number | None
    provenance: Provenance
    error: None
    rerun_error: ErrorContent | None = None
    arrays_sha256: Sha256


class FailedRecord(RecordHead):
    """The record of a cell that failed."""

    status: Literal["failed"]
    error: ErrorContent
    provenance: Provenance | None = None
    arrays_sha256: None


class SkippedRecord(RecordHead):
    """The record of a cell that cannot be measured."""

    status: Literal["skipped"]
    reason: str
    arrays_sha256: None


AnyRecord = Annotated[MeasuredRecord | FailedRecord | SkippedRecord, Field(discriminator="status")]


@cache
def record_adapter() -> TypeAdapter[AnyRecord]:
    """Returns the adapter that checks records and gives their JSON schema."""
    return TypeAdapter(AnyRecord)
