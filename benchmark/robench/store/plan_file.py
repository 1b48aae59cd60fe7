"""The file plan.json, which holds the plan of a run for the tables and ``robench show``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from robench.api.codec import IF_SET, decode, inline
from robench.api.errors import UserError
from robench.api.metric import Measure
from robench.api.threat import Threat
from robench.spec import CellRow, TargetChoice

PLAN_VERSION = 1


@dataclass(frozen=True)
class PlannedTable:
    """A table of the leaderboard, for one threat model with budgets up to ``epsilon``."""

    threat: Threat = field(metadata=inline())
    metric: Measure
    epsilon: float


@dataclass(frozen=True)
class PlanFile:
    """The content of plan.json.

    Args:
        format_version: the version of the file format.
        suite: the name of the suite.
        protocol_version: the version of the measurement protocol.
        metrics: the measures of every cell.
        ranking: the tables of the leaderboard.
        targets: which items are promoted.
        seeds: the seeds of the victims.
        cells: every cell of the suite, including skipped ones.
        data_sha256: the digest of the data by data set and split, such as ``movielens-small/leave-last-out``.
    """

    format_version: int
    suite: str
    protocol_version: int
    metrics: tuple[Measure, ...]
    ranking: tuple[PlannedTable, ...]
    targets: TargetChoice
    seeds: tuple[int, ...]
    cells: tuple[CellRow, ...]
    data_sha256: Mapping[str, str] = field(default_factory=dict, metadata=IF_SET)


def read_plan(folder: Path) -> PlanFile:
    """Reads plan.json of a folder of results.

    Raises:
        UserError: if the file is missing or is not a plan.
    """
    path = folder / "plan.json"
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            "no plan.json: not a folder of results", where=str(folder), hint="robench run writes one"
        ) from None
    except NotADirectoryError:
        raise UserError("a file, not a folder of results", where=str(folder)) from None
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except UnicodeDecodeError:
        raise UserError("not UTF-8", where=str(path)) from None
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON: {error.msg}", where=f"{path}:{error.lineno}") from None
    if not isinstance(plan, dict) or plan.get("format_version") != PLAN_VERSION:
        raise UserError(f"not a plan of format {PLAN_VERSION}", where=str(path))
    try:
        return decode(PlanFile, plan)
    except ValueError as error:
        raise UserError(f"not a plan: {error}", where=str(path)) from None
