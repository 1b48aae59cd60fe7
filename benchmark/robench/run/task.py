"""The messages between the runner and a worker.

The runner sends the payload of a task. The worker answers with events, which contain the records of cells.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal, NotRequired, TypedDict

from numpy.typing import NDArray

from robench.api.threat import Threat
from robench.run.dependencies import attack_of
from robench.spec import Cell, Part, Poison, TargetChoice, UserSample, Victim
from robench.store.record import Record, Status, new_record


class Payload(TypedDict):
    """A victim with its open cells, as plain data.

    - ``metrics`` are measures such as ``ndcg@10``.
    - ``cache`` is a folder.
    - ``data_key`` is the key of the prepared data in this folder, and ``data_sha`` is the digest of that data.
    - ``files`` maps the path of each file of this data, relative to ``cache``, to its sha256.
    - ``limits`` are the limits of the victim: ``seconds``, and ``memory`` in bytes.
    - ``largest`` is the maximum size of an event in bytes.
    """

    cells: list[Mapping[str, Any]]
    metrics: list[str]
    device: str
    threads: int
    cache: str
    data_key: str
    data_sha: str
    files: Mapping[str, str]
    limits: Mapping[str, float]
    largest: int


class CellEvent(TypedDict):
    """An event that reports a finished cell.

    ``arrays`` is None if the cell failed.
    """

    kind: Literal["cell"]
    task: str
    record: Record
    arrays: dict[str, NDArray[Any]] | None


class ProgressEvent(TypedDict):
    """An event that reports the progress of a victim.

    The phase is ``fit`` if epochs are counted, and ``measure`` if cells are counted.
    """

    kind: Literal["progress"]
    task: str
    phase: Literal["fit", "measure"]
    done: int
    total: int


class NoteEvent(TypedDict):
    """An event with a message for the user, from an executor or a worker.

    Without ``once``, the message is about the task. With ``once``, it is about the whole run and is shown only once.
    """

    kind: Literal["note"]
    task: str
    text: str
    once: NotRequired[bool]


class LostEvent(TypedDict):
    """An event that reports the death of a task's process.

    ``again`` is False if a second attempt would end in the same way.
    """

    kind: Literal["lost"]
    task: str
    error: str
    again: NotRequired[bool]


WorkerEvent = CellEvent | ProgressEvent | NoteEvent | LostEvent


def record_of(cell: Cell, status: Status, **content: Any) -> Record:
    """Returns the record of a cell.

    The record holds the spec of the cell, the settings as the suite gives them, and ``content``.
    """
    victim = cell.victim
    known = {"protocol_version": victim.protocol, "spec": cell.content(), "passed": _typed_settings(cell)}
    return new_record(cell.id, victim.id, status, **known, **content)


def _typed_settings(cell: Cell) -> dict[str, dict[str, Any]]:
    victim = cell.victim
    parts = {
        "dataset": victim.dataset,
        "split": victim.split,
        "model": victim.model,
        "defense": victim.defense,
        "attack": attack_of(cell),
    }
    return {role: dict(part.passed) for role, part in parts.items() if part is not None}


def cell_to_payload(cell: Cell) -> Mapping[str, Any]:
    """Returns the cell as plain data that can be sent to a worker."""
    return asdict(cell)


def victim_from_payload(payload: Mapping[str, Any]) -> Victim:
    """Restores a victim from the output of ``dataclasses.asdict``.

    The restored victim has the same id.
    """
    poison = payload["poison"]
    return Victim(
        Part(**payload["dataset"]),
        Part(**payload["split"]),
        Part(**payload["model"]),
        Part(**payload["defense"]),
        payload["seed"],
        payload["threads"],
        TargetChoice(**{**payload["targets"], "items": tuple(payload["targets"].get("items", ()))}),
        poison and Poison(Part(**poison["attack"]), poison["epsilon"], poison["target_set"]),
        payload["protocol"],
    )


def cell_from_payload(payload: Mapping[str, Any]) -> Cell:
    """Restores a cell from the output of ``cell_to_payload``.

    The restored cell has the same id.
    """
    attack, users, threat = payload["attack"], payload["users"], payload["threat"]
    parts = {
        "victim": victim_from_payload(payload["victim"]),
        "attack": attack and Part(**attack),
        "users": users and UserSample(**users),
        "threat": threat and Threat(**threat),
    }
    return Cell(**{**payload, **parts})
