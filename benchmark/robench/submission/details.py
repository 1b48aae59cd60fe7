"""Reads and writes SUBMISSION.json, which states facts about a submission."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator

from robench.api.errors import UserError
from robench.files.reading import read_file
from robench.store.models import Content, Sha256, first_problem
from robench.store.seal import parse_sealed, seal
from robench.submission.rows import RowName

DETAILS = "SUBMISSION.json"
FORMAT_VERSION = 1
LARGEST = 1 << 24  # the largest size of SUBMISSION.json in bytes
MACHINE = ("processor", "platform", "device", "threads")  # the fields of a record's provenance that name the hardware

Number = Annotated[float, Field(allow_inf_nan=False)]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S(.*\S)?$")]


class Claim(Content):
    """A value that the author of a submission reports for one row.

    Args:
        dataset: the label of the data set.
        split: the label of the split.
        threat: the threat model of the table, as in ``RowName``.
        epsilon: the largest budget of the table.
        metric: the metric of the table.
        model: the label of the model.
        defence: the label of the defence.
        weight: the λ of the defence.
        train_epsilon: the ε of the defence, or None if the defence has no ε.
        column: the value to which the claim refers: ``clean`` or ``worst``.
        value: the claimed value.
        source: where the value was published.
    """

    dataset: str
    split: str
    threat: list[str]
    epsilon: Number
    metric: str
    model: str
    defence: str
    weight: Number
    train_epsilon: Number | None
    column: Literal["clean", "worst"]
    value: Number
    source: Line

    @property
    def row(self) -> RowName:
        """The name of the row."""
        values = {name: getattr(self, name) for name in RowName._fields}
        return RowName(**{**values, "threat": tuple(self.threat)})


class Machine(Content):
    """A machine on which cells were measured, with the number of its cells."""

    processor: str
    platform: str
    device: str
    threads: int
    cells: Annotated[int, Field(ge=1)]


class Details(Content):
    """The content of SUBMISSION.json.

    Args:
        format_version: the version of the format.
        suite: the name of the suite.
        root: the root of MANIFEST.json, which hashes all results.
        licence: the licence of the results, such as ``CC-BY-4.0``.
        contact: the e-mail address or the web page of the author.
        hardware: the machines on which the cells were measured.
        claims: the values that the author reports.
    """

    format_version: Literal[1]
    suite: str
    root: Sha256
    licence: Line
    contact: Line
    hardware: list[Machine]
    claims: list[Claim]

    @field_validator("contact")
    @classmethod
    def _check_contact(cls, value: str) -> str:
        if "@" not in value and "://" not in value:
            raise ValueError("neither an e-mail address nor a web page")
        return value


def collect_hardware(records: Iterable[Mapping[str, Any]]) -> list[Machine]:
    """Returns the machines on which measured cells were measured, the busiest first.

    Args:
        records: the records of the cells. Records of cells that were not measured are ignored.
    """
    facts = (record["provenance"] for record in records if record["status"] == "ok")
    counts = Counter(tuple(part.get(name, "") for name in MACHINE) for part in facts)  # old records name no processor
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], *map(str, pair[0])))
    return [Machine(**dict(zip(MACHINE, machine, strict=True)), cells=count) for machine, count in ordered]


def make_details(
    suite: str, root: str, licence: str, contact: str, hardware: list[Machine], claims: list[Claim]
) -> Details:
    """Returns the content of SUBMISSION.json.

    Raises:
        UserError: if the licence or the contact is missing or not one line of text.
    """
    content = {"licence": licence.strip(), "contact": contact.strip()}
    for name, value in content.items():
        if not value:
            raise UserError("is missing", path=f"--{name}", hint=_hint(name))
    try:
        return Details(format_version=1, suite=suite, root=root, hardware=hardware, claims=claims, **content)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        problem = first_problem(error).partition(": ")[2]
        raise UserError(problem, path=f"--{name}", hint=_hint(name)) from None


def _hint(name: str) -> str:
    return "such as CC-BY-4.0" if name == "licence" else "an e-mail address, or a web page with https://"


def to_text(details: Details) -> str:
    """Returns the text of SUBMISSION.json."""
    return json.dumps(seal(details.model_dump(mode="json")), indent=1, ensure_ascii=False) + "\n"


def read_details(folder: Path) -> Details:
    """Reads SUBMISSION.json.

    Raises:
        UserError: if the file is missing, has different content, or was changed after it was written.
    """
    path = folder / DETAILS
    try:
        content = read_file(path, LARGEST)
    except FileNotFoundError:
        raise UserError(f"no {DETAILS}: not a submission", where=folder.name, hint="robench submit makes one") from None
    value = parse_sealed(content, "a submission", FORMAT_VERSION, str(path))
    try:
        return Details.model_validate(value)
    except ValidationError as error:
        raise UserError(f"not a submission: {first_problem(error)}", where=str(path)) from None
