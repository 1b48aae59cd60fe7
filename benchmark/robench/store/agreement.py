"""Compares the plan with the specs in the records.

The id of a cell is the digest of its spec. If a row of the plan contradicts the record of its cell, somebody has edited
the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from robench.spec import CellRow, strength_of
from robench.store.plan_file import PlanFile
from robench.store.record import Record

_SAME = ("surface", "norm", "scale", "goal", "k")  # the settings of an attack that are also fields of its threat model


def find_contradiction(plan: PlanFile, records: Mapping[str, Record]) -> str:
    """Describes the first contradiction between a plan and the records of its cells.

    The result is empty if there is none. Every column that follows from the spec in a record must agree with that spec.
    A label must have one meaning in the whole plan.

    Args:
        plan: the plan.
        records: the records, by the id of the cell. Cells without a record are not compared.
    """
    labels: dict[tuple[object, ...], object] = {}
    for row in plan.cells:
        record = records.get(row.cell)
        if record is None:
            continue
        if text := contradiction(plan, row, record) or _find_shared_label(row, record["spec"], labels):
            return text
    return ""


def contradiction(plan: PlanFile, row: CellRow, record: Record) -> str:
    """Describes how a row contradicts its cell's record, or returns an empty string."""
    targets = record["spec"]["targets"] or {}
    if targets.get("count") and {**targets, "set": 0} != {**plan.targets.content(), "set": 0}:
        return f"the targets are not those of cell {row.cell}"
    for name, (planned, said) in _compared(row, record).items():
        if planned != said or isinstance(planned, bool) != isinstance(said, bool):
            return f"cell {row.cell} has {name} {planned!r} here, and {said!r} in its record"
    return ""


def _compared(row: CellRow, record: Record) -> dict[str, tuple[object, object]]:
    spec: Mapping[str, Any] = record["spec"]
    victim, attack, key = spec["victim"], spec["attack"], row.key
    poison = victim["poison"]
    part = attack if poison is None else poison["attack"]
    try:
        weight, train_epsilon = strength_of(victim["defense"]["config"])
    except (TypeError, ValueError):
        weight, train_epsilon = None, None
    settings = {} if part is None else part["config"]
    target_set = (spec["targets"] or {}).get("set") if poison is None else poison["target_set"]
    return {
        "victim": (row.victim, record["victim"]),
        "model": (key.model, victim["model"]["name"]),
        "defense": (key.defense, victim["defense"]["name"]),
        "lambda": (key.lambda_, weight),
        "train_epsilon": (key.train_epsilon, train_epsilon),
        "attack": (row.attack, "none" if part is None else part["name"]),
        "stage": (row.stage, "train" if poison is not None else "" if attack is None else "test"),
        "epsilon": (row.epsilon, spec["epsilon"] if poison is None else poison["epsilon"]),
        "target_set": (row.target_set, target_set),
        "seed": (row.seed, victim["seed"]),
        **{name: (getattr(row, name), settings[name]) for name in _SAME if name in settings},
    }


def _find_shared_label(row: CellRow, spec: Mapping[str, Any], labels: dict[tuple[object, ...], object]) -> str:
    """Describes a label in a row that has a different meaning in an earlier row.

    The result is empty if there is no such label.

    ``labels`` holds the meanings of the labels in earlier rows. The function adds the meanings in this row.
    """
    for label, content in _labelled(row, spec):
        if label not in labels:
            labels[label] = content
        elif labels[label] != content:
            return f"two of its cells have the {label[0]} '{label[1]}', and their records say two different ones"
    return ""


def _labelled(row: CellRow, spec: Mapping[str, Any]) -> Iterator[tuple[tuple[object, ...], object]]:
    victim, key = spec["victim"], row.key
    yield ("data set", key.dataset), victim["dataset"]
    yield ("split", key.split), victim["split"]
    yield ("model", key.model_label, key.model), victim["model"]
    yield ("defense", key.defense_label, key.defense, key.lambda_, key.train_epsilon), victim["defense"]
    poison = victim["poison"]
    yield ("attack", row.attack_label, row.attack), spec["attack"] if poison is None else poison["attack"]
