"""Reads and writes external attacks: artefacts that the host has scored.

The folder ``attacks`` of a folder of results holds three files for each external attack: the artefact, the arrays of
its outcome, and a sealed record.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from robench.api.errors import UserError
from robench.files.atomic import write_bytes
from robench.files.reading import read_file
from robench.spec import CellId, Number
from robench.store.arrays import find_array_problem
from robench.store.artefact import Artefact, parse_artefact
from robench.store.models import Content, Sha256, first_problem
from robench.store.npz import Arrays, arrays_from_bytes, arrays_to_bytes
from robench.store.record import Record, to_text
from robench.store.record_schema import MetricValue, Provenance
from robench.store.seal import parse_sealed, seal

FOLDER = "attacks"
ENDINGS = (".json", ".npz", ".outcome.npz")
FORMAT_VERSION = 1


class ExternalRecord(Content):
    """The record of an external attack.

    Args:
        format_version: the version of the format.
        kind: the kind of the record.
        id: the first 16 hex digits of ``artefact_sha256``.
        author: the person who found the perturbations.
        cell: the id of the attacked cell, which gives the threat model and the budget.
        victim: the id of the cell's victim.
        surface: the surface that the artefact perturbs.
        epsilon: the budget of the cell.
        artefact_sha256: the sha256 of the artefact.
        arrays_sha256: the sha256 of the file with the arrays of the outcome.
        metrics: the value and the version of each measure.
        achieved: the budget that the artefact spends.
        diagnostics: the diagnostics of the measurement.
        seconds: the seconds that the measurement took, without the fit.
        provenance: versions, machine, and digests of code and data.
    """

    format_version: Literal[1]
    kind: Literal["external"]
    id: CellId
    author: Annotated[str, Field(min_length=1, max_length=200)]
    cell: CellId
    victim: CellId
    surface: str
    epsilon: Number
    artefact_sha256: Sha256
    arrays_sha256: Sha256
    metrics: dict[str, MetricValue]
    achieved: dict[str, Number]
    diagnostics: dict[str, Number | None]
    seconds: Number
    provenance: Provenance
    sha256: Sha256


@dataclass(frozen=True, eq=False)
class ExternalAttack:
    """An external attack with the arrays of its outcome.

    Args:
        record: the sealed record.
        arrays: the arrays of the outcome, with the names that the arrays of a cell have.
    """

    record: Record
    arrays: Arrays

    @property
    def id(self) -> str:
        """The id of the artefact."""
        return str(self.record["id"])

    @property
    def cell(self) -> str:
        """The id of the attacked cell."""
        return str(self.record["cell"])


def list_ids(folder: Path) -> list[str]:
    """Returns the sorted ids of the external attacks in a folder of results."""
    return sorted(path.stem for path in (folder / FOLDER).glob("*.json"))


def external_files(folder: Path) -> list[str]:
    """Returns the names of the files of all external attacks in a folder of results."""
    return [f"{FOLDER}/{attack}{ending}" for attack in list_ids(folder) for ending in ENDINGS]


def write_external(folder: Path, artefact: Artefact, content: Mapping[str, Any], arrays: Arrays) -> ExternalAttack:
    """Stores an external attack.

    Args:
        folder: the folder of results.
        artefact: the artefact.
        content: the metrics, the achieved budget, the diagnostics, the seconds and the provenance.
        arrays: the arrays of the outcome.
    """
    outcome = arrays_to_bytes(arrays)
    hashes = {"artefact_sha256": artefact.sha256, "arrays_sha256": hashlib.sha256(outcome).hexdigest()}
    head = {"format_version": FORMAT_VERSION, "kind": "external", "id": artefact.id, "author": artefact.author}
    record = seal({**head, "cell": artefact.cell, "victim": artefact.victim, **content, **hashes})
    ExternalRecord.model_validate(record)
    place = folder / FOLDER
    place.mkdir(exist_ok=True)
    parts = (to_text(record).encode(), artefact.content, outcome)
    for ending, part in reversed(list(zip(ENDINGS, parts, strict=True))):  # the record comes last
        write_bytes(place / f"{artefact.id}{ending}", part)
    return ExternalAttack(record, arrays)


def read_external(folder: Path, attack: str) -> ExternalAttack:
    """Reads an external attack and checks its files.

    Args:
        folder: the folder of results.
        attack: the id of the attack.

    Raises:
        UserError: if a file is missing, damaged or changed, or if the files do not fit each other.
    """
    paths = [folder / FOLDER / f"{attack}{ending}" for ending in ENDINGS]
    try:
        text, artefact, outcome = map(read_file, paths)
    except FileNotFoundError as error:
        raise UserError("the file is missing", where=str(error.filename)) from None
    record = parse_sealed(text, "an external attack", FORMAT_VERSION, str(paths[0]))
    try:
        ExternalRecord.model_validate(record)
    except ValidationError as error:
        raise UserError(f"not an external attack: {first_problem(error)}", where=str(paths[0])) from None
    hashes = [hashlib.sha256(part).hexdigest() for part in (artefact, outcome)]
    if record["id"] != attack or hashes[0][:16] != attack:
        raise UserError("its id is not that of its artefact", where=str(paths[0]))
    for path, expected, found in zip(paths[1:], ("artefact_sha256", "arrays_sha256"), hashes, strict=True):
        if record[expected] != found:
            raise UserError("it was changed after it was written: its sha256 differs", where=str(path))
    stated = parse_artefact(artefact, str(paths[1]))
    for name in ("cell", "victim", "author", "surface"):
        if record[name] != getattr(stated, name):
            raise UserError(f"its {name} is not that of its artefact", where=str(paths[0]))
    arrays = arrays_from_bytes(outcome, str(paths[2]))
    if problem := find_array_problem(record, arrays):
        raise UserError(problem, where=str(paths[2]))
    return ExternalAttack(record, arrays)


def read_stored_artefact(folder: Path, attack: str) -> Artefact:
    """Returns the artefact of an external attack in a folder of results."""
    path = folder / FOLDER / f"{attack}{ENDINGS[1]}"
    return parse_artefact(read_file(path), str(path))
